"""Whether a stream has its connection, for who tells a person about it."""

from __future__ import annotations

import trio

__all__ = ["ConnectionState"]


class ConnectionState:
    """The state of a stream's connection to its server.

    Only streams that can go on where they stopped come back (our own gateway's); any other
    connection is up until its stream fails.

    Attributes:
        up: it carries the stream; False while it is lost and being replaced.
        replaced: how often it was.
    """

    def __init__(self) -> None:
        self.up = True
        self.replaced = 0
        self._changed = trio.lowlevel.ParkingLot()

    async def wait_lost(self) -> None:
        """Wait until the connection is lost, and trying again has begun."""
        await trio.lowlevel.checkpoint()
        while self.up:
            await self._changed.park()

    async def wait_back(self) -> None:
        """Wait until something has come over a new connection."""
        await trio.lowlevel.checkpoint()
        while not self.up:
            await self._changed.park()

    def set_lost(self) -> None:
        """Told by the stream."""
        self.up = False
        self._changed.unpark_all()

    def set_back(self) -> None:
        """Told by the stream, with whatever it receives."""
        if not self.up:
            self.up = True
            self.replaced += 1
            self._changed.unpark_all()
