"""A buffer between a program that writes output and a client that may lose its connection.

Every byte has a position, and so has every mark (a message between the bytes). A reader reads from
any position that is still held and releases what the client has acknowledged; the writer waits
while the buffer is full. After a reconnect the reader goes on at the position where it stopped.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from operator import attrgetter
from typing import Any, NamedTuple

import trio

__all__ = ["DEFAULT_CAPACITY", "Chunk", "ReplayBuffer"]

DEFAULT_CAPACITY = 1024 * 1024

_RELEASED_ENTRIES = 1024
"""Released entries are deleted from the list in batches of this size."""


class Chunk(NamedTuple):
    """What `ReplayBuffer.read` returns: bytes of one kind, or a mark."""

    kind: str
    """``stdout``, ``stderr`` or ``records``; ``""`` for a mark."""
    data: bytes
    mark: Mapping[str, Any] | None
    end: int
    """The position after it."""


class _Entry:
    """One write, or one mark."""

    __slots__ = ("data", "end", "kind", "mark", "start")

    def __init__(self, start: int, kind: str, data: bytes, mark: Mapping[str, Any] | None) -> None:
        self.start = start
        self.kind = kind
        self.data = data
        self.mark = mark
        self.end = start + (1 if mark is not None else len(data))


_end_of = attrgetter("end")


class ReplayBuffer:
    """Output with positions. Writers wait while it is full; readers keep track of their positions.

    Attributes:
        start: the oldest position that is held.
        end: the position of the next write.
        discarding: a write to a full buffer discards the oldest output instead of waiting.
        marks: how many marks are held.
        closed: the last mark was written.
    """

    def __init__(self, capacity: int = DEFAULT_CAPACITY) -> None:
        """
        Args:
            capacity: how many bytes are held before the writer waits.
        """
        self.start = 0
        self.end = 0
        self.discarding = False
        self.marks = 0
        self.closed = False
        self._capacity = capacity
        # Ordered by position; entries before `_first` were released. A list, because it is searched
        # by bisection: clients acknowledge rarely, and until then each echoed key is an entry.
        self._entries: list[_Entry | None] = []
        self._first = 0
        self._written = trio.lowlevel.ParkingLot()
        self._released = trio.lowlevel.ParkingLot()

    @property
    def full(self) -> bool:
        """Whether the writer has to wait."""
        return self.end - self.start >= self._capacity

    async def write(self, kind: str, data: bytes) -> None:
        """Append bytes, then wait while the buffer is full.

        Cancellation: the bytes stay in the buffer.
        """
        if data:
            self._append(_Entry(self.end, kind, bytes(data), None))
        while self.full and not self.discarding:
            await self._released.park()

    def write_mark(self, mark: Mapping[str, Any], *, last: bool = False) -> None:
        """Append a mark. It never waits: marks are few.

        Args:
            mark: the message.
            last: nothing will be written after it.
        """
        self.closed = self.closed or last
        self._append(_Entry(self.end, "", b"", mark))

    def read(self, position: int, limit: int) -> Chunk | None:
        """The output at a position; None if there is none yet.

        Args:
            position: where to read. A position before `start` is read as `start`: the output there
                was discarded.
            limit: the most bytes to return.
        """
        position = max(position, self.start)
        if limit <= 0:
            return None
        parts: list[bytes] = []
        size = 0
        kind = ""
        index = bisect_right(self._entries, position, lo=self._first, key=_end_of)
        while index < len(self._entries) and (entry := self._entries[index]) is not None:
            index += 1
            if entry.mark is not None:
                if not parts:
                    return Chunk("", b"", entry.mark, entry.end)
                break
            if parts and (entry.kind != kind or size >= limit):
                break
            kind = entry.kind
            part = entry.data[max(position - entry.start, 0) :][: limit - size]
            parts.append(part)
            size += len(part)
        return Chunk(kind, b"".join(parts), None, position + size) if parts else None

    def release(self, position: int) -> None:
        """Drop everything before a position."""
        while self._first < len(self._entries):
            entry = self._entries[self._first]
            assert entry is not None
            if entry.end > position:
                break
            self.marks -= entry.mark is not None
            self._entries[self._first] = None
            self._first += 1
        if self._first >= _RELEASED_ENTRIES or self._first == len(self._entries):
            del self._entries[: self._first]
            self._first = 0
        self.start = max(self.start, min(position, self.end))
        self._released.unpark_all()

    def start_discarding(self) -> None:
        """From now on the writer never waits: the oldest output is discarded."""
        self.discarding = True
        self._released.unpark_all()
        self._written.unpark_all()

    def stop_discarding(self) -> None:
        """From now on the writer waits again while the buffer is full."""
        self.discarding = False

    async def wait_read(self, position: int, limit: int) -> Chunk:
        """Like `read`, but wait until there is something."""
        while (chunk := self.read(position, limit)) is None:
            await self.wait_beyond(position)
        return chunk

    async def wait_beyond(self, position: int) -> None:
        """Wait until something was written at or after a position."""
        while self.end <= max(position, self.start):
            await self._written.park()

    async def wait_written(self) -> None:
        """Wait for the next write or the next `wake`."""
        await self._written.park()

    def wake(self) -> None:
        """Wake the tasks in `wait_written`, so that they check their conditions again."""
        self._written.unpark_all()

    def _append(self, entry: _Entry) -> None:
        self._entries.append(entry)
        self.end = entry.end
        self.marks += entry.mark is not None
        while self.discarding and self.full and len(self._entries) - self._first > 1:
            oldest = self._entries[self._first]
            assert oldest is not None
            self.release(oldest.end)
        self._written.unpark_all()
