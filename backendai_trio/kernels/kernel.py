"""Kernels: remote compute sessions, and who ends them.

There are two ways to own one, and they are the same function underneath::

    async with open_kernel(client, KernelSpec(runtime="python")) as kernel: ...

    kernel = await nursery.start(run_kernel, client, KernelSpec(runtime="python"))

`attach_kernel` gives a kernel that is not ours to destroy. A kernel is only a name on a server: no
task runs for it here, so it needs no nursery of its own.
"""

from __future__ import annotations

import secrets
import warnings
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Literal

import trio

from ..config.kernel_journal import Note
from ..errors import (
    ApiError,
    AuthError,
    BackendError,
    InvalidRequest,
    KernelLeftBehindWarning,
    LocalProtocolError,
    NotFound,
    ServerError,
)
from ..transport.client import Client
from ..wire.execution import SHOW_VALUE, BatchOptions, ExecuteRequest, check_run_id
from ..wire.http import Request
from ..wire.json_fields import Fields
from ..wire.kernels import (
    COMING,
    DEAD,
    NOT_NOW,
    CreateReply,
    CreateRequest,
    KernelInfo,
    KernelSpec,
    Statistics,
    check_name,
)
from ..wire.resumable import RESUMABLE_STREAMS
from .execution import Execution, open_execution
from .files import KernelFiles

__all__ = ["TrioKernel", "attach_kernel", "find_kernel", "new_token", "open_kernel", "run_kernel"]

_OVERTAKEN_SECONDS = 3.0
"""How long a destroy repeats when it may have overtaken its own create. Measured on manager
23.9.10: a create cancelled after 20-100 ms came into being up to 0.5 s later."""


def new_token() -> str:
    """A fresh client token: ``bt-`` and 32 hexadecimal digits.

    Bare hexadecimal digits would parse as a UUID, which managers from 26.4.4 on take for a session
    id and nothing else (contract section 3.9).
    """
    return f"bt-{secrets.token_hex(16)}"


class TrioKernel(KernelFiles):
    """A kernel on a server. Made by `open_kernel`, `run_kernel` or `attach_kernel`.

    Attributes:
        client: the client it was made with.
        token: client session token; the session's name from 20.03 on.
        kernel_id: session UUID from 20.03 on, before that the token.
        created: False when an existing kernel was joined.
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
        self.released = False

    def __repr__(self) -> str:
        return f"<TrioKernel {self.token} at {self.client.config.endpoint.url}>"

    def execute(
        self,
        code: str = "",
        *,
        mode: Literal["query", "batch"] = "query",
        options: BatchOptions | None = None,
        run_id: str | None = None,
        window: tuple[int, int] | None = None,
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
            show_value: in query mode, print the value of the expression that the code ends in, as
                a prompt does. On servers other than our own gateway, the kernel's image decides.

        Raises:
            LocalProtocolError: the run id is malformed, or the server has no terminals for runs.

        Cancellation:
            Interrupts the code in the kernel and waits, for the grace time at most, until it has
            stopped. Leaving the block early does the same.

        Endpoint: ``POST /session/{name}`` (contract section 4).
        """
        check_run_id(run_id)
        wanted = (options or BatchOptions()).as_json() if mode == "batch" else {}
        if window is not None:
            if not self.client.has(RESUMABLE_STREAMS):
                raise LocalProtocolError(
                    "programs have no terminal on this server; use open_terminal"
                )
            wanted["tty"] = list(window)
        if show_value and self.client.has(SHOW_VALUE):
            wanted["showValue"] = True
        first = ExecuteRequest(mode, run_id or secrets.token_hex(8), code, wanted)
        return open_execution(self.client, self.token, first)

    async def interrupt(self) -> None:
        """Stop the code that runs now, as Ctrl-C would; without one, nothing happens."""
        await self.client.call(self._request("POST", "interrupt"))

    async def restart(self) -> None:
        """Start the kernel anew: files stay, variables and processes go.

        Raises:
            ServerError: the server cannot (managers from 26.4.4 on answer 501).
        """
        await self.client.call(self._request("PATCH"), answer_seconds=None)

    async def rename(self, token: str) -> None:
        """Give the kernel another token; `TrioKernel.token` is the new one from then on.

        Raises:
            LocalProtocolError: the token is malformed, or the server is older than 20.03.
            NotFound: the server cannot rename (before 21.09.3), or the kernel is gone.
            InvalidRequest: another kernel has the token.

        Endpoint: ``POST /session/{name}/rename`` (contract section 3.1).
        """
        if not self.client.era.names_session:
            raise LocalProtocolError(
                f"kernel {self.token!r} cannot be renamed: servers before 20.03 have no names"
            )
        body = {"name": check_name(self.client.hello, token)}
        path = self.client.era.session_path(self.token, "rename")
        # In both places: servers have looked in the one and in the other (contract section 3.8).
        await self.client.call(Request.of_json("POST", path, body, query=tuple(body.items())))
        self.token = token

    async def complete(
        self, code: str, *, row: int = 0, col: int = 0, line: str = "", post: str = ""
    ) -> list[str]:
        """Candidates to go on with after `code`.

        Args:
            code: the text up to the cursor.
            row, col: the cursor's place, from 0.
            line: the text of its line.
            post: the text behind it.

        Returns:
            The candidates; an empty list where the server fails to complete, which several
            generations of managers always do (contract section 4.6).
        """
        options = {"row": row, "col": col, "line": line, "post": post}
        body = {"code": code, "options": options}
        path = self.client.era.session_path(self.token, "complete")
        try:
            reply = await self.client.call(Request.of_json("POST", path, body))
        except ApiError as exc:
            if exc.status >= 500:
                return []
            raise
        return _candidates(Fields.parse(reply.body, "reply to complete").raw("result"))

    async def info(self) -> KernelInfo:
        """What the server says of the kernel."""
        return KernelInfo.decode((await self.client.call(self._request("GET"))).body)

    async def logs(self) -> str:
        """What the kernel has printed so far, as far as the server keeps it."""
        reply = await self.client.call(self._request("GET", "logs"))
        return Fields.parse(reply.body, "logs").nested("result").text("logs", default="")

    async def destroy(self) -> Statistics | None:
        """End the kernel. May be repeated; one that is gone already is fine.

        Returns:
            What it used in its life, where the server tells.

        Cancellation:
            Is raised when the kernel has ended all the same, or after the grace time.
        """
        try:
            await self._destroy_once()
        except trio.Cancelled:
            await _end(self.client, self.token, self)  # noqa: ASYNC102 (it has a shield)
            raise
        return self.statistics

    async def _destroy_once(self) -> None:
        if not self._destroyed:
            self.statistics = await _destroy(self.client, self.token, seen=True)
            self._destroyed = True

    def release(self) -> None:
        """Let the kernel live on when the block of its `open_kernel` ends."""
        self.released = True

    def _request(self, method: str, *tail: str) -> Request:
        return Request(method, self.client.era.session_path(self.token, *tail))


@asynccontextmanager
async def open_kernel(
    client: Client, spec: KernelSpec, *, token: str | None = None
) -> AsyncIterator[TrioKernel]:
    """Create a kernel that ends with the block, whatever ends the block.

    Args:
        client: where to create it.
        spec: what to create.
        token: its client token, which no other kernel may have; default: a fresh one.

    Raises:
        NotFound: the server has no such runtime, or no such folder to mount.
        QuotaExceeded: the key pair has as many kernels as it may have.
        ServerError: it could not be started.

    Cancellation:
        Leaves no kernel behind, at whatever point it comes: the token is chosen before the create
        is sent, and the destroy goes by token, under a shield, for `Config.grace_seconds` at most.
        Running out of that is reported as a `KernelLeftBehindWarning` with the token.
    """
    create = CreateRequest(check_name(client.hello, token or new_token()), spec, reuse=False)
    token = create.token
    kernel: TrioKernel | None = None
    refused = False
    note: Note | None = None
    if client.journal is not None:
        config = client.config
        note = client.journal.note(token, url=config.endpoint.url, access_key=config.access_key)
    gone = True
    try:
        try:
            reply = await _ask_for(client, create)
            refused = not reply.created
        except ApiError as exc:
            # A refusal makes no kernel, and with a given token one may be there that is not ours.
            # A 5xx may still have made one.
            refused = exc.status < 500
            raise
        if refused:  # servers before 20.03 join where later ones refuse
            raise InvalidRequest(
                400,
                kind="kernel-already-exists",
                title=f"The token is taken: a kernel {token!r} exists; use another token",
                request=f"POST {client.era.create_path}",
            )
        kernel = TrioKernel(client, reply)
        await _wait_until_up(kernel, reply.status)
        yield kernel
    finally:
        if not (refused or (kernel is not None and kernel.released)):
            gone = await _end(client, token, kernel)  # noqa: ASYNC102 (it has a shield)
        if note is not None:
            note.close(forget=gone)


async def run_kernel(
    client: Client,
    spec: KernelSpec,
    *,
    task_status: trio.TaskStatus[TrioKernel] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Hold a kernel until cancelled; for ``kernel = await nursery.start(run_kernel, ...)``."""
    async with open_kernel(client, spec) as kernel:
        task_status.started(kernel)
        await trio.sleep_forever()


async def attach_kernel(client: Client, spec: KernelSpec, *, token: str) -> TrioKernel:
    """Join the kernel that has this token, or create it. It stays until somebody destroys it.

    Args:
        client: where it is.
        spec: what to create if it is not there; the runtime must be that of the existing one.
        token: its client token: letters, digits, ``_``, ``.``, ``-``. Managers want 4 to 64.

    Raises:
        LocalProtocolError: the token is malformed, or reads as a UUID on a manager that takes such
            names for session ids (26.4.4 and later).
        InvalidRequest: a kernel with this token exists and has another runtime.
        ServerError: it could not be started.

    Cancellation:
        The kernel may have been created.
    """
    reply = await _ask_for(client, CreateRequest(check_name(client.hello, token), spec))
    kernel = TrioKernel(client, reply)
    await _wait_until_up(kernel, reply.status)
    return kernel


async def find_kernel(client: Client, token: str) -> TrioKernel:
    """A kernel that exists, by its token or (from 20.09 on) its id. It is not ours to destroy.

    Raises:
        NotFound: there is none.
    """
    kernel = TrioKernel(client, CreateReply(token, token, created=False))
    await kernel.info()
    return kernel


async def _ask_for(client: Client, create: CreateRequest) -> CreateReply:
    path = client.era.create_path
    request = Request("POST", path, (), create.encode(client.era), "application/json")
    # No limit: a manager holds the answer back until the kernel runs, which may take minutes.
    answer = await client.call(request, answer_seconds=None)
    return CreateReply.decode(answer.body, create.token)


async def _wait_until_up(kernel: TrioKernel, status: str) -> None:
    """Wait for a session that was created and does not run yet. Managers hand out such ones that
    somebody else is just creating, and up to 25.x those that died while they were created.

    Raises:
        ServerError: it never will.
    """
    status, pause = status.upper(), 0.1
    while status in COMING:
        await trio.sleep(pause)
        pause = min(pause * 2, 2.0)
        try:
            status = (await kernel.info()).status.upper()
        except NotFound:
            status = "TERMINATED"  # such sessions are hidden
    if status in DEAD:
        raise ServerError(
            201,
            title=f"The server could not start the kernel {kernel.token!r}: it is {status}",
            request=f"POST {kernel.client.era.create_path}",
        )


async def _end(client: Client, token: str, kernel: TrioKernel | None) -> bool:
    """Destroy a kernel at its block's end or after a cancellation; a failure is a warning, and
    False."""
    left = f"it was not confirmed within {client.config.grace_seconds:g} s"
    with trio.move_on_after(client.config.grace_seconds, shield=True):
        try:
            if kernel is not None:
                await kernel._destroy_once()
            else:
                await _destroy(client, token, seen=False)
            return True
        except BackendError as exc:
            left = str(exc)
    warnings.warn(
        f"the kernel {token} at {client.config.endpoint.url} may still run; destroy it "
        f"by its token. Its end failed: {left}",
        KernelLeftBehindWarning,
        stacklevel=4,
    )
    return False


async def _destroy(client: Client, token: str, *, seen: bool) -> Statistics | None:
    """Destroy by token. With `seen` False the create's own answer never came: then "not there" may
    mean "not there yet", and is asked again for a while. So is a kernel that a manager will not
    destroy as long as it is being prepared, or is ending already (19.09 to 25.12)."""
    request = Request("DELETE", client.era.session_path(token))
    began, pause = trio.current_time(), 0.05
    while True:
        statistics: Statistics | None = None
        refusal: AuthError | None = None
        gone = False
        patience = 0.0 if seen else _OVERTAKEN_SECONDS
        try:
            reply = await client.call(request, answer_seconds=None)
            statistics = Statistics.decode(reply.body)
        except NotFound:
            gone = True
        except AuthError as exc:
            if exc.kind != NOT_NOW:
                raise
            refusal, patience = exc, client.config.grace_seconds
        # Seed servers answer 200 with null statistics for a kernel that never was (section 3.6).
        gone = gone or (statistics is None and bool(client.era.prefix))
        late = trio.current_time() + pause > began + patience
        if refusal is not None and late:
            raise refusal
        if refusal is None and (late or not gone):
            return statistics
        await trio.sleep(pause)
        pause = min(pause * 2, 0.5)


def _candidates(result: Any) -> list[str]:
    """Candidates in any of the forms that servers have used (contract section 4.6)."""
    while isinstance(result, Mapping):
        for name in ("completions", "suggestions", "result"):
            if result.get(name) is not None:
                result = result[name]
                break
        else:
            return []
    return [item for item in result if isinstance(item, str)] if isinstance(result, list) else []
