"""Signals that end a command, so that it cleans up first."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

__all__ = ["EndedBySignal", "cancel_on_signals", "ending_signals", "run_async"]

T = TypeVar("T")


def run_async(function: Callable[..., Awaitable[T]], *arguments: Any) -> T:
    """Run the Trio code of a command.

    Where Ctrl-C is not handled yet or any more, it raises KeyboardInterrupt at checkpoints only.
    Elsewhere it could come when a block has ended and its `__aexit__` is not awaited yet, which is
    then left out: a nursery would be closed with its tasks still in it.

    Args:
        function: the code.
        arguments: its arguments.

    Returns:
        What it returns.
    """
    import trio

    return trio.run(function, *arguments, restrict_keyboard_interrupt_to_checkpoints=True)


class EndedBySignal(Exception):
    """A signal ended the command.

    Attributes:
        number: the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def ending_signals() -> list[signal.Signals]:
    """Signals that end a command.

    A signal that was ignored at the start stays ignored: SIGHUP under nohup, SIGINT in a background
    command of a script.
    """
    names = ("SIGINT", "SIGHUP")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    return [signal.SIGTERM, *(n for n in numbers if signal.getsignal(n) != signal.SIG_IGN)]


@asynccontextmanager
async def cancel_on_signals() -> AsyncIterator[None]:
    """Cancel the block when a signal arrives; the exit code is then 128 + the signal's number.

    Raises:
        EndedBySignal: a signal arrived. The block has been cancelled and has cleaned up.
    """
    import trio

    from backendai_trio.kernels import one_error

    from .console import Status

    async def watch(*, task_status: trio.TaskStatus[None]) -> None:
        with trio.open_signal_receiver(*ending_signals()) as received:
            task_status.started()
            async for number in received:
                if number == signal.SIGINT:
                    Status().begin_line()
                raise EndedBySignal(number)

    with one_error():
        async with trio.open_nursery() as nursery:
            await nursery.start(watch)
            yield
            nursery.cancel_scope.cancel()
