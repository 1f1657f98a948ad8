"""A kernel: a remote compute session.

It is only a name on a server: no task runs for it here, so it needs no nursery of its own.
`backendai_trio.kernels.opening` makes kernels.
"""

from __future__ import annotations

import trio

from .._groups import one_error
from ..errors import ServerError
from ..transport.client import Client
from ..wire.http import Request
from ..wire.kernels import CreateReply, KernelInfo, Statistics
from . import files, running
from .completion import complete_code
from .kernel_records import KernelRecords
from .lifecycle import address_of, destroy_kernel, end_kernel
from .logs import kernel_logs
from .lookup import kernel_info
from .renaming import rename_kernel

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

    execute = running.execute
    run = running.run

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
            await self.client.call(self._request("PATCH"), head_seconds=None)
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
        await rename_kernel(self.client, self.address, self.token, token)
        self._records.rename(self._record, self.token, token)
        if self.kernel_id == self.token:
            self.kernel_id = token
        self.token = token

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
        return await complete_code(
            self.client, self.address, code, row=row, col=col, line=line, post=post
        )

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
            Is raised when the kernel has ended all the same, or after the grace time; six times as
            long if it has not been started, and twelve times once its manager is ending it.

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

        Cancellation:
            Is not raised. It leaves the kernel the grace time; six times as long if it has not been
            started, and twelve times once its manager is ending it.

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
