"""A numbered buffer between something that writes and somebody who may come back.

Every byte written has a position, and so has every mark (a message between the bytes). A reader
reads from any position that is still held, and releases what it has surely got; the writer waits
while too much is held. A reader whose connection broke goes on at the position where it stopped.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from operator import attrgetter
from typing import Any, NamedTuple

import trio

__all__ = ["LIMIT_BYTES", "Piece", "Ring"]

LIMIT_BYTES = 1024 * 1024
"""What is held before the writer waits (or, if nobody reads, the oldest is dropped)."""


class Piece(NamedTuple):
    """Something that was written: bytes of one kind, or a mark."""

    kind: str
    """``stdout`` or ``stderr``; ``""`` for a mark."""
    data: bytes
    mark: Mapping[str, Any] | None
    end: int
    """The position behind it."""


class _Chunk:
    __slots__ = ("data", "end", "kind", "mark", "start")

    def __init__(self, start: int, kind: str, data: bytes, mark: Mapping[str, Any] | None) -> None:
        self.start = start
        self.kind = kind
        self.data = data
        self.mark = mark
        self.end = start + (1 if mark is not None else len(data))


_end_of = attrgetter("end")
_COMPACT = 1024
"""So many released chunks are taken out of the list at once."""


class Ring:
    """The buffer. One writer; readers know their own positions.

    Attributes:
        start: the oldest position that is held.
        end: the position of what is written next.
        dropping: the writer never waits, and the oldest gives way.
        marks: how many marks are held.
        closed: nothing will be written any more.
    """

    def __init__(self) -> None:
        self.start = 0
        self.end = 0
        self.dropping = False
        self.marks = 0
        self.closed = False
        # In order; those before `_first` have been released. A list, to be searched by halves: a
        # client acknowledges now and then, and until it does, every key's echo is a chunk.
        self._chunks: list[_Chunk | None] = []
        self._first = 0
        self._written = trio.lowlevel.ParkingLot()
        self._released = trio.lowlevel.ParkingLot()

    @property
    def full(self) -> bool:
        """Whether the writer waits."""
        return self.end - self.start >= LIMIT_BYTES

    async def write(self, kind: str, data: bytes) -> None:
        """Append bytes; waits while the buffer is full."""
        if data:
            self._append(_Chunk(self.end, kind, bytes(data), None))
        while self.full and not self.dropping:
            await self._released.park()

    def mark(self, mark: Mapping[str, Any], *, last: bool = False) -> None:
        """Append a mark, perhaps the last thing ever. Never waits: marks are few."""
        self.closed = self.closed or last
        self._append(_Chunk(self.end, "", b"", mark))

    def read(self, position: int, limit: int) -> Piece | None:
        """What stands at a position: bytes of one kind, at most `limit`, or a mark; or None.

        A position before `start` is taken as `start`: what was there is lost.
        """
        position = max(position, self.start)
        if limit <= 0:
            return None
        parts: list[bytes] = []
        size = 0
        kind = ""
        at = bisect_right(self._chunks, position, lo=self._first, key=_end_of)
        while at < len(self._chunks) and (chunk := self._chunks[at]) is not None:
            at += 1
            if chunk.mark is not None:
                if not parts:
                    return Piece("", b"", chunk.mark, chunk.end)
                break
            if parts and (chunk.kind != kind or size >= limit):
                break
            kind = chunk.kind
            part = chunk.data[max(position - chunk.start, 0) :][: limit - size]
            parts.append(part)
            size += len(part)
        return Piece(kind, b"".join(parts), None, position + size) if parts else None

    def release(self, position: int) -> None:
        """Let go of everything before a position."""
        while self._first < len(self._chunks):
            chunk = self._chunks[self._first]
            assert chunk is not None
            if chunk.end > position:
                break
            self.marks -= chunk.mark is not None
            self._chunks[self._first] = None
            self._first += 1
        if self._first >= _COMPACT or self._first == len(self._chunks):
            del self._chunks[: self._first]
            self._first = 0
        self.start = max(self.start, min(position, self.end))
        self._released.unpark_all()

    def drop(self) -> None:
        """From here on the writer never waits, and the oldest gives way."""
        self.dropping = True
        self._released.unpark_all()
        self._written.unpark_all()

    def keep(self) -> None:
        """The writer waits again when the buffer is full."""
        self.dropping = False

    async def next(self, position: int, limit: int) -> Piece:
        """Like `read`; waits until there is something."""
        while (piece := self.read(position, limit)) is None:
            await self.wait_beyond(position)
        return piece

    async def wait_beyond(self, position: int) -> None:
        """Wait until there is something to read at or behind a position."""
        while self.end <= max(position, self.start):
            await self._written.park()

    async def wait_written(self) -> None:
        """Wait for the next write, or the next `wake`."""
        await self._written.park()

    def wake(self) -> None:
        """Wake who waits in `wait_written`, so that it looks at the world again."""
        self._written.unpark_all()

    def _append(self, chunk: _Chunk) -> None:
        self._chunks.append(chunk)
        self.end = chunk.end
        self.marks += chunk.mark is not None
        while self.dropping and self.full and len(self._chunks) - self._first > 1:
            oldest = self._chunks[self._first]
            assert oldest is not None
            self.release(oldest.end)
        self._written.unpark_all()
