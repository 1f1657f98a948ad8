"""The turns of kernels, as tests take and watch them."""

from __future__ import annotations

import trio

from backendai_trio import Execution, Stdout, TrioKernel
from backendai_trio.kernels.kernel_records import record_of

__all__ = ["others_wait", "printed", "rest_of", "turn_of", "turn_taken"]


async def printed(kernel: TrioKernel, code: str) -> str:
    """What the code prints."""
    async with kernel.execute(code) as execution:
        return await rest_of(execution)


async def rest_of(execution: Execution) -> str:
    """What a run prints from now on."""
    return "".join([event.text async for event in execution if isinstance(event, Stdout)])


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
