"""Progress of a transfer, sent through a channel: a slow receiver slows the transfer."""

from __future__ import annotations

from dataclasses import dataclass

import trio

__all__ = ["Progress", "ProgressReporter"]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one file of a transfer is."""

    name: str
    """Its remote name, relative to the folder of the transfer."""
    done: int
    """Bytes that have been sent or received so far."""
    size: int | None
    """Bytes in all; None for a stream of unknown size."""
    complete: bool = False
    """Whether the file has arrived, under its name."""


class ProgressReporter:
    """Counts the bytes of each file, and sends `Progress` events.

    Args:
        channel: where to send them; None for nowhere. It is not closed. When its receiving end has
            been closed, the transfer goes on and no more events are sent.
    """

    def __init__(self, channel: trio.MemorySendChannel[Progress] | None) -> None:
        self._channel = channel
        self._done: dict[str, int] = {}

    async def advance(self, name: str, count: int, size: int | None) -> None:
        """Report that `count` more bytes of a file were transferred.

        Args:
            name: the file's remote name.
            count: bytes since the last call for this file.
            size: bytes of the whole file; None if that is unknown.
        """
        if self._channel is None:
            return
        done = self._done[name] = self._done.get(name, 0) + count
        await self.report(Progress(name, done, size))

    async def complete(self, name: str) -> None:
        """Report that a file has arrived, with the bytes that `advance` has counted."""
        if self._channel is None:
            return
        done = self._done.pop(name, 0)
        await self.report(Progress(name, done, done, complete=True))

    async def report(self, event: Progress) -> None:
        """Send an event; waits until the receiver takes it."""
        if self._channel is not None:
            try:
                await self._channel.send(event)
            except trio.BrokenResourceError:
                self._channel = None

    def restart(self) -> None:
        """Count from zero again: everything is sent a second time."""
        self._done.clear()
