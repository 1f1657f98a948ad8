"""A kernel: a remote compute session.

It is only a name on a server: no task runs for it here, so it needs no nursery of its own.
`backendai_trio.kernels.opening` makes kernels.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Literal

import trio

from .._groups import one_error
from ..errors import ApiError, InvalidRequest, LocalProtocolError, NotFound, ServerError
from ..transport.client import Client
from ..wire.execution import SHOW_VALUE, BatchOptions, ExecuteRequest, check_run_id
from ..wire.http import UNKNOWN_ROUTE, Request
from ..wire.json_fields import Fields
from ..wire.kernels import CreateReply, KernelInfo, Statistics, check_name
from ..wire.resumable import RESUMABLE_STREAMS
from . import files
from .execution import Execution, ExecutionResult, open_execution
from .kernel_records import KernelRecords
from .lifecycle import address_of, destroy_kernel, end_kernel
from .logs import kernel_logs
from .lookup import kernel_info
from .run_streams import loses_batch_ends

__all__ = ["TrioKernel"]


class TrioKernel:
    """A kernel on a server. Made by `open_kernel`, `run_kernel` or `attach_kernel`.

    Attributes:
        client: the client it was made with.
        token: client session token; the session's name from 20.03 on.
        kernel_id: session UUID from 20.03 on, before that the token.
        created: False when an existing kernel was joined.
        started: whether it is known to have run. Managers up to 25.x may start one that has not
            even after its destroy, which therefore takes longer.
        statistics: what it used in its life; None until it is destroyed, or if nobody tells.
        released: whether `release` was called.
    """

    def __init__(self, client: Client, reply: CreateReply) -> None:
        self.client = client
        self.token = reply.token
        self.kernel_id = reply.kernel_id
        self.created = reply.created
        self.statistics: Statistics | None = None
        self._destroyed = False
        self.started = reply.runs
        self.released = False
        self._records = client.extension(KernelRecords)
        self._record = self._records.named(self.token, self.kernel_id)

    @property
    def address(self) -> str:
        """What stands for the kernel in paths: its id from 20.09 on, before that its token."""
        return address_of(self.client, self.token, self.kernel_id)

    def __repr__(self) -> str:
        return f"<TrioKernel {self.token} at {self.client.config.endpoint.url}>"

    upload = files.upload
    upload_stream = files.upload_stream
    download = files.download
    download_as = files.download_as
    open_download = files.open_download
    list_files = files.list_files
    list_digests = files.list_digests
    mkdir = files.mkdir
    remove = files.remove

    def execute(
        self,
        code: str = "",
        *,
        mode: Literal["query", "batch"] = "query",
        options: BatchOptions | None = None,
        run_id: str | None = None,
        window: tuple[int, int] | None = None,
        term: str | None = None,
        show_value: bool = False,
    ) -> AbstractAsyncContextManager[Execution]:
        """Run code; use as ``async with kernel.execute(...) as run: async for event in run: ...``

        Args:
            code: the source, in query mode.
            mode: ``query`` runs `code` in the kernel's interpreter, where it has one; ``batch``
                builds and executes the files in the work folder.
            options: commands of a batch run; default: the runtime's own rules.
            run_id: name of the run, at most 64 characters; default: a fresh one.
            window: rows and columns of a terminal for the program, which then echoes and edits
                what is typed, and gets all output as `Stdout`. Only our own gateway has that.
            term: TERM of a program with a `window`, such as ``screen``; default:
                ``xterm-256color``.
            show_value: in query mode, print the value of the expression that the code ends in, as
                a prompt does. On servers other than our own gateway, the kernel's image decides.

        Returns:
            The block's `Execution`. Its last event has the program's exit code; what that is where
            the server does not tell it, `Finished` says.

        Raises:
            LocalProtocolError: the run id is malformed, or the server has no terminals for runs.

        Cancellation:
            Interrupts the code in the kernel and waits, for the grace time at most, until it has
            stopped. Leaving the block early does the same.

        Endpoint: ``POST /session/{name}`` (docs/protocol.md, section 4).
        """
        check_run_id(run_id)
        wanted = self._run_options(mode, options, show_value)
        if window is not None:
            if not self.client.has(RESUMABLE_STREAMS):
                raise LocalProtocolError(
                    "programs have no terminal on this server; use open_terminal"
                )
            wanted["tty"] = list(window)
            if term:
                wanted["term"] = term
        first = ExecuteRequest(mode, run_id or secrets.token_hex(8), code, wanted)
        return open_execution(self.client, self.address, first)

    def _run_options(
        self, mode: Literal["query", "batch"], options: BatchOptions | None, show_value: bool
    ) -> dict[str, object]:
        wanted = (options or BatchOptions()).as_json() if mode == "batch" else {}
        if show_value and self.client.has(SHOW_VALUE):
            wanted["showValue"] = True
        return wanted

    async def run(
        self,
        code: str = "",
        *,
        mode: Literal["query", "batch"] = "query",
        options: BatchOptions | None = None,
        stdin: bytes = b"",
        show_value: bool = False,
    ) -> ExecutionResult:
        """Run code to its end, and return what it has printed.

        Args:
            code: the source, in query mode.
            mode: as for `execute`.
            options: as for `execute`.
            stdin: all of the program's input. What it asks for beyond that is the end of input.
            show_value: as for `execute`.

        Returns:
            Its output and exit code (see `Finished.exit_code`). All output is held in memory;
            `execute` is for more than that.

        Raises:
            ExecutionError: the run ended without an outcome, or asks for more input on a server
                that cannot tell the program that there is none.
            ApiError: the server refused or failed.
            ConnectionFailed: it could not be reached, or the connection broke.

        Cancellation:
            Interrupts the code in the kernel and waits, for the grace time at most, until it has
            stopped.

        Endpoint: ``POST /session/{name}`` (docs/protocol.md, section 4); with `stdin`, a WebSocket
        where the server has one (section 6.2).
        """
        wanted = self._run_options(mode, options, show_value)
        first = ExecuteRequest(mode, secrets.token_hex(8), code, wanted)
        # Input has to flow as the program reads it: line by line is not enough. And a batch run
        # that waits for this client (see `held_batch`) begins sooner than its first poll ends.
        live = bool(stdin) or (mode == "batch" and loses_batch_ends(self.client))
        async with open_execution(self.client, self.address, first, live=live) as run:
            if stdin:
                await run.send_stdin(stdin)
            await run.close_stdin()
            while (result := await run.collect())["status"] == "waiting-input":
                pass
            return result

    async def interrupt(self) -> None:
        """Interrupt the code that runs now, as Ctrl-C would; without one, nothing happens.

        Raises:
            NotFound: the kernel is gone.
            ApiError: the server refused or failed.
            ConnectionFailed: it could not be reached.

        Endpoint: ``POST /session/{name}/interrupt`` (docs/protocol.md, section 4.5).
        """
        await self.client.call(self._request("POST", "interrupt"))

    async def restart(self) -> None:
        """Start the kernel anew: files stay, variables and processes go.

        Raises:
            NotFound: the kernel is gone.
            ServerError: the server cannot (managers from 26.4.4 on answer 501).
            ConnectionFailed: it could not be reached.

        Endpoint: ``PATCH /session/{name}`` (docs/protocol.md, section 3.1).
        """
        try:
            await self.client.call(self._request("PATCH"), answer_seconds=None)
        except ServerError as exc:
            if exc.status == 501:
                exc.advice = "end the kernel and create another; managers restart none since 26.4.4"
            raise
        self._record.reset()

    async def rename(self, token: str) -> None:
        """Give the kernel another token; `TrioKernel.token` is the new one from then on.

        Args:
            token: letters, digits, ``_``, ``.``, ``-``; managers want 4 to 64.

        Raises:
            LocalProtocolError: the token is malformed, or a manager before 21.09.3, which cannot
                rename kernels.
            NotFound: the kernel is gone.
            InvalidRequest: another kernel has the token.
            ConnectionFailed: the server could not be reached.

        Endpoint: ``POST /session/{name}/rename`` (docs/protocol.md, section 3.1).
        """
        if not self.client.era.names_session:
            await trio.lowlevel.checkpoint()
            raise self._not_renamed()
        body = {"name": check_name(self.client.hello, token)}
        await self._refuse_taken(token)
        path = self.client.era.session_path(self.address, "rename")
        # In both places: servers have looked in the one and in the other (docs/protocol.md,
        # section 3.8).
        try:
            await self.client.call(Request.of_json("POST", path, body, query=tuple(body.items())))
        except NotFound as exc:
            if exc.kind in UNKNOWN_ROUTE and not self.client.era.takes_ids:
                raise self._not_renamed() from exc
            raise
        self._records.rename(self._record, self.token, token)
        if self.kernel_id == self.token:
            self.kernel_id = token
        self.token = token

    async def _refuse_taken(self, token: str) -> None:
        """Refuse another kernel's token, where the server gives it to both (managers up to 23.09 at
        least)."""
        if self.client.has(RESUMABLE_STREAMS) or token == self.token:
            await trio.lowlevel.checkpoint()
            return
        try:
            await kernel_info(self.client, token)
        except NotFound:
            return
        raise InvalidRequest(
            400,
            kind="session-already-exists",
            title=f"The token is taken: a kernel {token!r} exists; use another token",
            request=f"POST {self.client.era.session_path(self.address, 'rename')}",
        )

    def _not_renamed(self) -> LocalProtocolError:
        return LocalProtocolError(
            f"kernel {self.token!r} cannot be renamed: managers can from 21.09.3 on"
        )

    async def complete(
        self, code: str, *, row: int = 0, col: int = 0, line: str = "", post: str = ""
    ) -> list[str]:
        """Candidates to go on with after `code`.

        Args:
            code: the text up to the cursor.
            row: the cursor's line, from 0.
            col: the cursor's column, from 0.
            line: the text of its line.
            post: the text behind it.

        Returns:
            The candidates; an empty list where the server fails to complete, which several
            generations of managers always do.

        Raises:
            NotFound: the kernel is gone.
            ConnectionFailed: the server could not be reached.

        Endpoint: ``POST /session/{name}/complete`` (docs/protocol.md, section 4.6).
        """
        options = {"row": row, "col": col, "line": line, "post": post}
        body = {"code": code, "options": options}
        path = self.client.era.session_path(self.address, "complete")
        try:
            reply = await self.client.call(Request.of_json("POST", path, body))
        except ApiError as exc:
            if exc.status >= 500:
                return []
            raise
        return _candidates(Fields.parse(reply.body, "reply to complete").raw("result"))

    async def info(self) -> KernelInfo:
        """What the server says of the kernel.

        Raises:
            NotFound: the kernel is gone.
            ApiError: the server does not say.
            ConnectionFailed: it could not be reached.

        Endpoint: ``GET /session/{name}`` (docs/protocol.md, section 3.5).
        """
        return await kernel_info(self.client, self.address)

    async def logs(self, container: str = "") -> str:
        """What the kernel has printed so far, as far as the server keeps it.

        Args:
            container: of a cluster, the id or host name (``sub1``) of one of its containers.
                Default: the main one.

        Raises:
            NotFound: the kernel is gone, or has no such container.
            LocalProtocolError: a manager of before 24.03.7 has no logs of single containers.
            ApiError: the server refused or failed.
            ConnectionFailed: it could not be reached.

        Endpoint: ``GET /session/{name}/logs`` (docs/protocol.md, section 3.1).
        """
        return await kernel_logs(self.client, self.address, self.kernel_id, container)

    async def destroy(self, *, force: bool = False, recursive: bool = False) -> Statistics | None:
        """End the kernel. May be repeated; one that is gone already is fine.

        Args:
            force: destroy it in any state, also while it is being started or is ending already, in
                which managers refuse to otherwise; what it holds may be accounted for wrongly then.
                Up to 22.x only administrators may.
            recursive: destroy the sessions that depend on it (`KernelSpec.dependencies`) as well.

        Returns:
            What it used in its life, where the server tells.

        Raises:
            LocalProtocolError: the server's release has no such way to destroy it (`force` before
                20.03, `recursive` before 23.03.1).
            ServerError: the server says that there is no such kernel, and lists it all the same.
            ApiError: the server refused or failed.
            ConnectionFailed: it could not be reached.

        Cancellation:
            Is raised when the kernel has ended all the same, or after the grace time.

        Endpoint: ``DELETE /session/{name}`` (docs/protocol.md, section 3.6).
        """
        if self._destroyed:
            await trio.lowlevel.checkpoint()
            return self.statistics
        try:
            with one_error():
                self.statistics = await destroy_kernel(
                    self.client,
                    self.token,
                    self.kernel_id,
                    started=self.started,
                    force=force,
                    recursive=recursive,
                )
            self._destroyed = True
            self._record.reset()
        except trio.Cancelled:
            await self.destroy_or_warn(force=force, recursive=recursive)  # noqa: ASYNC102
            raise
        return self.statistics

    async def destroy_or_warn(self, *, force: bool = False, recursive: bool = False) -> bool:
        """End the kernel, as the end of the block that owns it does.

        Args:
            force: as for `destroy`.
            recursive: as for `destroy`.

        Returns:
            Whether it has ended. If not, a `KernelLeftBehindWarning` says why.

        Raises: no error.

        Cancellation:
            Is not raised. It leaves the kernel the grace time, or six times as long if it has not
            been started.

        Endpoint: ``DELETE /session/{name}`` (docs/protocol.md, section 3.6).
        """
        if self._destroyed:
            await trio.lowlevel.cancel_shielded_checkpoint()
            return True
        self._destroyed, self.statistics = await end_kernel(
            self.client,
            self.token,
            self.kernel_id,
            started=self.started,
            force=force,
            recursive=recursive,
        )
        self._record.reset()
        return self._destroyed

    def release(self) -> None:
        """Let the kernel live on when the block of its `open_kernel` ends."""
        self.released = True

    def _request(self, method: str, *tail: str) -> Request:
        return Request(method, self.client.era.session_path(self.address, *tail))


def _candidates(result: Any) -> list[str]:
    """Candidates in any of the forms that servers have used (docs/protocol.md, section 4.6)."""
    while isinstance(result, Mapping):
        for name in ("completions", "suggestions", "result"):
            if result.get(name) is not None:
                result = result[name]
                break
        else:
            return []
    return [item for item in result if isinstance(item, str)] if isinstance(result, list) else []
