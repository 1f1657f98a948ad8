"""The kernel of a command: joined or created, and ended afterwards or not, as the options say."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import trio

from backendai_trio import Client, KernelSpec, TrioKernel, attach_kernel, new_token, open_kernel
from backendai_trio.kernels import Statistics

from ..console import Status

__all__ = ["Wanted", "hold_kernel"]


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What the command line asked for."""

    spec: KernelSpec
    token: str | None = None
    """Of the kernel to join, or to create; None for a fresh one."""
    keep: bool = False
    stats: bool = False
    """Whether to show what it used, when it has ended."""


@asynccontextmanager
async def hold_kernel(client: Client, wanted: Wanted, status: Status) -> AsyncIterator[TrioKernel]:
    """The kernel during the block; what happens to it is told."""
    token = wanted.token or new_token()
    status.info(f"Client session token: {token}")
    if wanted.token is None and not wanted.keep:
        status.wait("Creating a temporary kernel...")
        async with open_kernel(client, wanted.spec, token=token) as kernel:
            _tell_ready(kernel, status)
            yield kernel
            status.wait("Cleaning up the temporary kernel...")
            await kernel.destroy()
            _tell_end(kernel.statistics, wanted, status)
        return
    status.wait("Connecting to the kernel...")
    kernel = await attach_kernel(client, wanted.spec, token=token)
    _tell_ready(kernel, status)
    try:
        yield kernel
    finally:
        if not wanted.keep:
            with trio.move_on_after(client.config.grace_seconds, shield=True):
                _tell_end(await kernel.destroy(), wanted, status)


def _tell_ready(kernel: TrioKernel, status: Status) -> None:
    status.done(f"Kernel (ID: {kernel.kernel_id}) is ready.")


def _tell_end(statistics: Statistics | None, wanted: Wanted, status: Status) -> None:
    status.done("Cleaned up the kernel.")
    if wanted.stats:
        from ..tables import statistics_lines

        for line in statistics_lines(statistics):
            Status().info(line)  # asked for, so shown also when quiet
