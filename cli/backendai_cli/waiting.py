"""A kernel that waits for its turn: what a command shows of it, and for how long."""

from __future__ import annotations

import math
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from backendai_trio.kernels import KernelState, one_error

from .console import Status, count, printable
from .errors import WaitedTooLong, one_line

__all__ = ["line_of", "too_late", "waiting_for_kernel"]

_MARK_COLUMNS = 3


@asynccontextmanager
async def waiting_for_kernel(
    status: Status, max_wait: float | None = None
) -> AsyncIterator[trio.MemorySendChannel[KernelState]]:
    """Show the states of the kernel that the block waits for, each in the place of the last.

    Args:
        status: where to show them; only a terminal shows them.
        max_wait: after so many seconds the block is cancelled.

    Yields:
        Where to send the states.

    Raises:
        WaitedTooLong: the kernel did not run in time.
    """
    send, states = trio.open_memory_channel[KernelState](0)
    last = KernelState()

    async def show() -> None:
        nonlocal last
        async for state in states:
            last = state
            status.wait(line_of(state))

    with one_error():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(show)
            limit = math.inf if max_wait is None else max_wait
            with trio.move_on_after(limit) as scope:  # noqa: ASYNC100 (the block has them)
                yield send
            nursery.cancel_scope.cancel()
    if scope.cancelled_caught:
        raise too_late(max_wait, last)


def too_late(max_wait: float | None, state: KernelState) -> WaitedTooLong:
    """The error of a kernel that did not run in time, with its last state."""
    was = f": it was {_text_of(state)}" if state.status else ""
    return WaitedTooLong(
        f"the kernel did not run within {max_wait:g} s{was}; "
        "try again later, or with a larger --max-wait"
    )


def line_of(state: KernelState) -> str:
    """As much of a state as a line of the terminal holds."""
    text = _text_of(state)
    width = shutil.get_terminal_size().columns - _MARK_COLUMNS
    return text if len(text) <= width else f"{text[: max(width - 1, 0)]}…"


def _text_of(state: KernelState) -> str:
    """A state: its name, how many kernels are before it, and why it waits."""
    text = state.status
    if state.ahead is not None:
        text += f" ({'next' if state.ahead == 0 else f'{state.ahead} before it'} in the queue)"
    up = state.containers.count("RUNNING")
    if len(state.containers) > 1 and state.is_coming:
        text += f" ({up} of {count(len(state.containers), 'container')} up)"
    reason = state.details.text or state.info
    if state.details.tries > 1:
        reason += f" (tried {state.details.tries} times)"
    return printable(one_line(f"{text}: {reason}" if reason else text))
