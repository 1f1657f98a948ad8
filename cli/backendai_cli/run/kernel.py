"""The kernel of a command: joined or created, and destroyed afterwards if the options say so."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Self

from backendai_trio import Client, KernelSpec, TrioKernel, attach_kernel, new_token, open_kernel
from backendai_trio.kernels import Statistics

from ..console import Status
from ..images import suggesting_images
from ..waiting import waiting_for_kernel

__all__ = ["KernelRequest", "kernel_session"]


@dataclass(frozen=True, kw_only=True)
class KernelRequest:
    """The kernel that a command line asks for."""

    spec: KernelSpec
    token: str | None = None
    """Token of the kernel to join, or to create if there is none; None for a new kernel."""
    reuse: bool = True
    """Whether a kernel that has the token already may be joined."""
    keep: bool = False
    """Whether the kernel stays when the command ends."""
    max_wait: float | None = None
    """For how many seconds to wait until the kernel runs; None for no limit."""
    stats: bool = False
    """Whether to show the statistics of the kernel when it has been destroyed."""

    def with_size(self, rows: int, columns: int) -> Self:
        """The same request, for a kernel whose programs learn the size of a terminal from their
        variables; those of the command line count first.

        Args:
            rows: height in characters.
            columns: width in characters.
        """
        environ = {"COLUMNS": str(columns), "LINES": str(rows), **self.spec.environ}
        return replace(self, spec=replace(self.spec, environ=environ))


@asynccontextmanager
async def kernel_session(
    client: Client, request: KernelRequest, status: Status
) -> AsyncIterator[TrioKernel]:
    """Provide the kernel during the block, with status lines for its beginning and its end."""
    token = request.token or new_token()
    status.info(f"Client session token: {token}")
    if request.token is None and not request.keep:
        status.wait("Creating a temporary kernel...")
        async with AsyncExitStack() as stack:
            async with (
                suggesting_images(client, request.spec.runtime),
                waiting_for_kernel(status, request.max_wait) as progress,
            ):
                opened = open_kernel(client, request.spec, token=token, progress=progress)
                kernel = await stack.enter_async_context(opened)
            _report_ready(kernel, status)
            yield kernel
            status.wait("Cleaning up the temporary kernel...")
            await kernel.destroy()
            _report_end(kernel.statistics, request, status)
        return
    status.wait("Connecting to the kernel...")
    async with (
        suggesting_images(client, request.spec.runtime),
        waiting_for_kernel(status, request.max_wait) as progress,
    ):
        kernel = await attach_kernel(
            client, request.spec, token=token, reuse=request.reuse, progress=progress
        )
    _report_ready(kernel, status)
    try:
        yield kernel
    finally:
        # Shielded and bounded in itself.
        if not request.keep and await kernel.destroy_or_warn():  # noqa: ASYNC102
            _report_end(kernel.statistics, request, status)


def _report_ready(kernel: TrioKernel, status: Status) -> None:
    status.done(f"Kernel (ID: {kernel.kernel_id}) is ready.")


def _report_end(statistics: Statistics | None, request: KernelRequest, status: Status) -> None:
    status.done("Cleaned up the kernel.")
    if request.stats:
        from ..tables import statistics_lines

        for line in statistics_lines(statistics):
            Status().info(line)  # the user asked for it: shown also when quiet
