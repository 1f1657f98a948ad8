"""How far a transfer is, told through a channel: a slow listener slows the transfer."""

from __future__ import annotations

from dataclasses import dataclass

import trio

__all__ = ["Meter", "Progress"]


@dataclass(frozen=True, slots=True)
class Progress:
    """News of one file of a transfer."""

    name: str
    """Its name there, relative to where the transfer goes or comes from."""
    done: int
    """Bytes of it that have been sent or received so far."""
    size: int | None
    """All of its bytes; None for a stream of unknown length."""
    complete: bool = False
    """Whether it has arrived, under its name."""


class Meter:
    """Counts what was transferred and tells who wants to know.

    Args:
        channel: where to tell; None for nobody. It stays open. When its other end is closed,
            nobody listens any more and the transfer goes on.
    """

    def __init__(self, channel: trio.MemorySendChannel[Progress] | None) -> None:
        self._channel = channel
        self._done: dict[str, int] = {}

    async def advance(self, name: str, count: int, size: int | None) -> None:
        """Another `count` bytes of a file."""
        if self._channel is None:
            return
        done = self._done[name] = self._done.get(name, 0) + count
        await self.tell(Progress(name, done, size))

    async def complete(self, name: str) -> None:
        """A file has arrived."""
        if self._channel is None:
            return
        done = self._done.pop(name, 0)
        await self.tell(Progress(name, done, done, complete=True))

    async def tell(self, news: Progress) -> None:
        """Say it, if somebody listens."""
        if self._channel is not None:
            try:
                await self._channel.send(news)
            except trio.BrokenResourceError:
                self._channel = None

    def restart(self) -> None:
        """All of it is sent again."""
        self._done.clear()
