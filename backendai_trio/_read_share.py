"""How much of what clients send is in memory: less of each, the more of them send at once."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["QUEUE_PLACES", "ConnectionShare", "ReadShare"]

_MOST_BYTES, _LEAST_BYTES = 1024 * 1024, 64 * 1024
"""How much is read at once. Each read takes 0.1 ms, whatever its size: with 64 KiB one large upload
takes twice the time. But the event loop reads from all connections before it does anything else."""
_READ_BYTES = 8 * 1024 * 1024
"""How much all connections read at once, as far as `_LEAST_BYTES` for each allow."""
_QUEUED_BYTES = 64 * 1024 * 1024
"""How much waits for applications, as far as one read of each connection allows."""
QUEUE_PLACES = 10
"""Room for parts of a body, or messages of a WebSocket, that wait for the application."""


class ReadShare:
    """What the connections of a server share."""

    def __init__(self) -> None:
        self._large = 0

    @property
    def read_bytes(self) -> int:
        """How much a connection may read at once."""
        return min(_MOST_BYTES, max(_LEAST_BYTES, _READ_BYTES // max(self._large, 1)))

    @property
    def places(self) -> int:
        """How many of `QUEUE_PLACES` a part takes."""
        parts = _QUEUED_BYTES // (self.read_bytes * max(self._large, 1))
        return math.ceil(QUEUE_PLACES / min(max(parts, 1), QUEUE_PLACES))

    @contextmanager
    def connection(self) -> Iterator[ConnectionShare]:
        """The share of a connection, for the time of the block."""
        share = ConnectionShare(self)
        try:
            yield share
        finally:
            share.note(0)

    def count(self, change: int) -> None:
        """Count connections that receive much: more or less than before."""
        self._large += change


class ConnectionShare:
    """The share of one connection. Made by `ReadShare.connection`."""

    def __init__(self, server: ReadShare) -> None:
        self._server = server
        self._large = False

    @property
    def read_bytes(self) -> int:
        """See `ReadShare`."""
        return self._server.read_bytes

    @property
    def places(self) -> int:
        """See `ReadShare`."""
        return self._server.places

    def note(self, size: int) -> None:
        """Note how much a read has returned: one that returns little leaves its share to others."""
        large = size >= _LEAST_BYTES // 2
        self._server.count(large - self._large)
        self._large = large
