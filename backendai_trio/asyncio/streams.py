"""Terminals and runs that are open, for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from functools import partial
from types import TracebackType
from typing import Generic, ParamSpec, Protocol, Self, TypeVar

from ..faces.base import ExecutionFace, TerminalFace
from ..faces.calls import Held, Job
from ..kernels.execution import Execution
from ..kernels.terminal import Terminal
from ..wire.execution import Event
from ._waiting import awaited, wait

__all__ = ["Opening", "StreamExecute", "StreamPty"]

T = TypeVar("T")
P = ParamSpec("P")


class Closable(Protocol):
    """What `Opening` opens."""

    async def close(self) -> None:
        """Close it."""


S = TypeVar("S", bound=Closable)


class Opening(Generic[S]):
    """Opens a stream: ``await`` it and close the stream by hand, or use ``async with``."""

    def __init__(self, open_it: Callable[[], Awaitable[S]]) -> None:
        self._open = open_it
        self._streams: list[S] = []

    def __await__(self) -> Generator[None, None, S]:
        return self._open().__await__()

    async def __aenter__(self) -> S:
        self._streams.append(await self._open())
        return self._streams[-1]

    async def __aexit__(
        self, kind: object, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._streams.pop().close()


class StreamPty(TerminalFace):
    """A kernel's terminal: iterate over its output, type into it.

    The methods that send may be awaited or not: they send in the order of the calls either way. One
    that is not awaited and fails leaves its error in `exception`.
    """

    def __init__(self, held: Held[Terminal]) -> None:
        super().__init__(held)
        self._turn = asyncio.Lock()
        self._sending: set[asyncio.Task[None]] = set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        data = await wait(self._job(partial(self._output.item, self._received + 1)))
        self._received += 1
        if not data:
            raise StopAsyncIteration
        return data

    def send_str(self, raw_str: str) -> asyncio.Task[None]:
        """Type a text; takes its time while the program is far behind."""
        return self.send_bytes(raw_str.encode())

    def send_bytes(self, data: bytes) -> asyncio.Task[None]:
        """Type; takes its time while the program is far behind."""
        return self._send(self._engine.send_all, data)

    send_all = send_bytes

    def send_eof(self) -> asyncio.Task[None]:
        """End the input, as Ctrl-D at an empty line does."""
        return self._send(self._engine.send_eof)

    def resize(self, rows: int, cols: int) -> asyncio.Task[None]:
        """Set the window's size in characters."""
        return self._send(self._engine.resize, rows, cols)

    def interrupt(self) -> asyncio.Task[None]:
        """Type Ctrl-C."""
        return self._send(self._engine.interrupt)

    def restart(self) -> asyncio.Task[None]:
        """Start the kernel anew: files stay, variables and processes go."""
        return self._send(self._engine.restart)

    async def close(self) -> None:
        """Detach, after what was sent before has been sent; may be repeated."""
        try:
            if self._sending:
                await asyncio.wait(self._sending)
        finally:
            await wait(Job(self._held.end))

    def _send(
        self, work: Callable[P, Awaitable[None]], *args: P.args, **kwargs: P.kwargs
    ) -> asyncio.Task[None]:
        task = asyncio.ensure_future(self._send_in_turn(partial(work, *args, **kwargs)))
        self._sending.add(task)
        task.add_done_callback(self._sent)
        return task

    async def _send_in_turn(self, work: Callable[[], Awaitable[None]]) -> None:
        # Tasks start in the order of their making, and the lock is fair.
        async with self._turn:
            await wait(self._job(work))

    def _sent(self, task: asyncio.Task[None]) -> None:
        self._sending.discard(task)
        if not task.cancelled():
            task.exception()  # asked for here, so that asyncio does not complain


class StreamExecute(ExecutionFace):
    """A run in progress: iterate over its events, type into it."""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        event = await wait(self._job(partial(self._events.item, self._received + 1)))
        self._received += 1
        return event

    send_input = awaited(Execution.send_input)
    send_stdin = awaited(Execution.send_stdin)
    close_stdin = awaited(Execution.close_stdin)
    resize = awaited(Execution.resize)
    interrupt = awaited(Execution.interrupt)

    async def close(self) -> None:
        """Stop the run if it goes on, and wait until it has ended. May be repeated."""
        await wait(Job(self._held.end))
