"""Terminals and runs that are open, for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from contextlib import AbstractAsyncContextManager
from functools import partial
from types import GenericAlias, TracebackType
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, Self, TypeVar

from trio import ClosedResourceError  # noqa: ASYNC106 (this module is for asyncio)

from ..errors import BackendError
from ..faces.base import AppFace, ExecutionFace, KernelFace, TerminalFace
from ..faces.binding import adopt_method
from ..faces.resources import Resource
from ..kernels.execution import Execution
from ..kernels.kernel import TrioKernel
from ..kernels.terminal import Terminal
from ..wire.run_events import Event
from ._waiting import awaited, wait

__all__ = ["ForwardedApp", "Opening", "StreamExecute", "StreamPty", "opening"]

R = TypeVar("R")
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

    def __await__(self) -> Generator[Any, None, S]:
        return self._open().__await__()

    async def __aenter__(self) -> S:
        self._streams.append(await self._open())
        return self._streams[-1]

    async def __aexit__(
        self, kind: object, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._streams.pop().close()


def opening(
    function: Callable[Concatenate[TrioKernel, P], AbstractAsyncContextManager[R]],
    stream: Callable[[Resource[R]], S],
) -> Callable[Concatenate[KernelFace, P], Opening[S]]:
    """A function that opens something in a kernel, as a method."""

    def call(face: KernelFace, /, *args: P.args, **kwargs: P.kwargs) -> Opening[S]:
        async def opened() -> S:
            open_it = partial(function, face._engine, *args, **kwargs)
            return stream(await wait(face._open(open_it)))

        return Opening(opened)

    adopt_method(call, function, returns=GenericAlias(Opening, stream))
    return call


def _sending(
    function: Callable[Concatenate[Terminal, P], Awaitable[None]],
) -> Callable[Concatenate[StreamPty, P], asyncio.Task[None]]:
    """A function that sends to a terminal, as a method that may be awaited or not."""

    def call(pty: StreamPty, /, *args: P.args, **kwargs: P.kwargs) -> asyncio.Task[None]:
        return pty._send(partial(function, pty._engine, *args, **kwargs))

    adopt_method(call, function, returns=asyncio.Task[None])
    return call


class StreamPty(TerminalFace):
    """A kernel's terminal: iterate over its output, type into it.

    Any tasks may iterate over it, each piece of output goes to one of them. The methods that send
    may be awaited or not: they send in the order of the calls either way. One that is not awaited
    and fails leaves its error in `exception`.
    """

    def __init__(self, resource: Resource[Terminal]) -> None:
        super().__init__(resource)
        self._turn = asyncio.Lock()
        self._unsent: set[asyncio.Task[None]] = set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        _, data = await wait(self._next())
        if not data:
            raise StopAsyncIteration
        return data

    def send_str(self, raw_str: str) -> asyncio.Task[None]:
        """Type a text; waits while the program is far behind.

        Args:
            raw_str: the text, which is sent as UTF-8.

        Raises:
            ClosedResourceError: the terminal was closed.
            BrokenResourceError: the connection is gone for good; its cause says why.
        """
        return self.send_bytes(raw_str.encode())

    send_bytes = _sending(Terminal.send_all)
    send_all = send_bytes
    send_eof = _sending(Terminal.send_eof)

    def resize(self, rows: int, cols: int) -> asyncio.Task[None]:
        """Set the window's size. The same size again makes programs paint anew.

        Args:
            rows: height in characters.
            cols: width in characters.

        Raises:
            LocalProtocolError: one of them is not between 1 and 10,000.
            ClosedResourceError: the terminal was closed.
            BrokenResourceError: the connection is gone for good; its cause says why.
        """
        return self._send(partial(self._engine.resize, rows, cols))

    interrupt = _sending(Terminal.interrupt)
    restart = _sending(Terminal.restart)

    async def close(self) -> None:
        """Detach, after what was sent before has been sent; may be repeated.

        Raises:
            PortalError: the terminal could not be closed within the grace time.
        """
        try:
            if self._unsent:
                await asyncio.wait(self._unsent)
        finally:
            await wait(self._close())

    def _send(self, work: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(self._send_in_turn(work))
        self._unsent.add(task)
        task.add_done_callback(self._sent)
        return task

    async def _send_in_turn(self, work: Callable[[], Awaitable[None]]) -> None:
        # Tasks start in the order of their making, and the lock is fair.
        async with self._turn:
            await wait(self._call(work))

    def _sent(self, task: asyncio.Task[None]) -> None:
        self._unsent.discard(task)
        if not task.cancelled():
            task.exception()  # asked for here, so that asyncio does not complain


class StreamExecute(ExecutionFace):
    """A run in progress: iterate over its events, type into it.

    Any tasks may iterate over it, each event goes to one of them.
    """

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        _, event = await wait(self._next())
        return event

    send_input = awaited(Execution.send_input)
    send_stdin = awaited(Execution.send_stdin)
    close_stdin = awaited(Execution.close_stdin)
    resize = awaited(Execution.resize)
    interrupt = awaited(Execution.interrupt)

    async def close(self) -> None:
        """Stop the run if it goes on, and wait until it has ended. May be repeated.

        Raises:
            PortalError: the run could not be stopped within the grace time.
        """
        await wait(self._close())


class ForwardedApp(AppFace):
    """A local TCP port that leads to a service in a kernel.

    Iterate over it for the errors of connections that fail, as they happen, until it is closed.
    """

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> BackendError:
        try:
            _, problem = await wait(self._next())
        except ClosedResourceError:
            raise StopAsyncIteration from None
        return problem

    async def close(self) -> None:
        """Close the port and all its connections. May be repeated.

        Raises:
            PortalError: it could not be closed within the grace time.
        """
        await wait(self._close())
