"""An object in the Trio thread that gives numbers, for the tests of calls and streams."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import trio
import trio.testing

from backendai_trio.faces import calls, waiting
from backendai_trio.faces.base import StreamFace

T = TypeVar("T")


def in_trio(work: Callable[[], Awaitable[T]]) -> T:
    return waiting.wait(calls.Call(work))


class Source:
    """Items that a test sends, for a stream."""

    def __init__(self) -> None:
        self.sender, self.receiver = trio.open_memory_channel[int](100)
        self.may_end = trio.Event()
        self.may_end.set()
        self.error: Exception | None = None

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Source]:
        yield self
        with trio.CancelScope(shield=True):
            await self.may_end.wait()
        if self.error is not None:
            raise self.error

    async def fetch(self) -> int:
        try:
            return await self.receiver.receive()
        except trio.EndOfChannel:
            raise StopAsyncIteration from None

    def send(self, *items: int) -> None:
        """Send from another thread than Trio's."""

        async def send() -> None:
            for item in items:
                await self.sender.send(item)

        in_trio(send)

    def end(self) -> None:
        in_trio(self.sender.aclose)


def opened(source: Source, close_seconds: float = 60) -> StreamFace[Source, int]:
    resource = waiting.wait(calls.open_resource(source.opened, close_seconds=close_seconds))
    return StreamFace(resource, source.fetch)
