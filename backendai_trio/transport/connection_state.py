"""Whether the connection of a stream is up, for programs that show it to a person."""

from __future__ import annotations

import trio

__all__ = ["ConnectionState"]


class ConnectionState:
    """The state of a stream's connection to its server.

    Only resumable streams (our own gateway's) replace a lost connection. Other streams fail when
    theirs is lost, and it counts as up until then.

    Attributes:
        up: whether the connection is up; False while it is lost and being replaced.
        outage_seconds: for how long a lost connection is tried to be replaced.
        failure: why the last attempt to replace it has failed; ``""`` while none has.
        replaced: how often a lost connection was replaced.
    """

    def __init__(self) -> None:
        self.up = True
        self.outage_seconds = 0.0
        self.failure = ""
        self.replaced = 0
        self._changed = trio.lowlevel.ParkingLot()

    async def wait_lost(self) -> None:
        """Wait until the connection is lost and is being replaced."""
        await trio.lowlevel.checkpoint()
        while self.up:
            await self._changed.park()

    async def wait_back(self) -> None:
        """Wait until a message has come over a new connection."""
        await trio.lowlevel.checkpoint()
        while not self.up:
            await self._changed.park()

    async def wait_changed(self) -> None:
        """Wait until an attempt to connect again has failed in a new way, or succeeded."""
        await self._changed.park()

    def set_lost(self, outage_seconds: float) -> None:
        """The stream has lost its connection, and tries to replace it.

        Args:
            outage_seconds: for how long.
        """
        if self.up:
            self.failure = ""
        self.up = False
        self.outage_seconds = outage_seconds
        self._changed.unpark_all()

    def note_failure(self, failure: str) -> None:
        """An attempt to connect again has failed.

        Args:
            failure: why.
        """
        if failure != self.failure:
            self.failure = failure
            self._changed.unpark_all()

    def set_back(self) -> None:
        """The stream has received a message."""
        if not self.up:
            self.up = True
            self.replaced += 1
            self._changed.unpark_all()
