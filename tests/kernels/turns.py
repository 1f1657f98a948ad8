"""The turns of kernels, as tests watch them."""

from __future__ import annotations

import trio

from backendai_trio import TrioKernel
from backendai_trio.kernels.kernel_records import record_of

__all__ = ["others_wait", "turn_of", "turn_taken"]


def turn_of(kernel: TrioKernel) -> trio.Semaphore:
    """The right to run code in the kernel."""
    return record_of(kernel.client, kernel.address).turn


async def others_wait(kernel: TrioKernel, count: int) -> None:
    """Wait until so many other runs wait for their turn."""
    while turn_of(kernel).statistics().tasks_waiting < count:  # noqa: ASYNC110 (it has no event)
        await trio.lowlevel.checkpoint()


async def turn_taken(kernel: TrioKernel) -> None:
    """Wait until a run has the turn."""
    while turn_of(kernel).value:  # noqa: ASYNC110 (it has no event)
        await trio.lowlevel.checkpoint()
