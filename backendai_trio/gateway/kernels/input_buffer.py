"""Input that a client has sent and the program has not read yet."""

from __future__ import annotations

import math
from collections.abc import Callable

import trio

from ...wire.line_buffer import LineBuffer

__all__ = ["InputBuffer"]

_CAPACITY = 256 * 1024


class InputBuffer:
    """Typed input on its way to a program.

    Attributes:
        position: how many bytes were put in so far, in total.
    """

    def __init__(self) -> None:
        self.position = 0
        self._buffer = LineBuffer()
        self._changed = trio.lowlevel.ParkingLot()
        self._room = trio.lowlevel.ParkingLot()
        self._awaited_position: float = math.inf
        """The lowest position that a task in `wait_room` waits for."""
        self._consumer: Callable[[bytes], int] | None = None

    def __len__(self) -> int:
        return len(self._buffer)

    @property
    def exhausted(self) -> bool:
        """Whether the buffer is empty and closed."""
        return self._buffer.exhausted

    @property
    def has_line(self) -> bool:
        """Whether `line` would return at once."""
        return self._buffer.has_line

    async def put(self, data: bytes) -> None:
        """Append input, then wait while more is buffered than a program is likely to read soon."""
        self.put_nowait(data)
        while len(self._buffer) > _CAPACITY:
            await self._changed.park()

    def put_nowait(self, data: bytes) -> None:
        """Append input without waiting; the caller bounds the buffer with `wait_room`."""
        self.position += len(data)
        if self._consumer is not None and not self._buffer:
            data = data[self._consumer(data) :]
        if data:
            self._buffer.put(data)
            self._changed.unpark_all()
        self._notify_room()

    async def wait_room(self, position: int) -> None:
        """Wait until input was put in up to a position and the program has read most of it."""
        while not self._has_room(position):
            self._awaited_position = min(self._awaited_position, position)
            await self._room.park()

    def close(self) -> None:
        """No more input will come."""
        self._buffer.end()
        self._notify()

    def discard(self) -> None:
        """Drop unread input: the program that it was meant for has ended."""
        self._take(len(self._buffer))

    async def line(self) -> bytes | None:
        """The next line with its newline (the last one may lack it); None at end of input."""
        while not self._buffer.has_line:
            await self._changed.park()
        line = self._buffer.line()
        self._notify()
        return line

    async def wait_exhausted(self) -> None:
        """Wait until the buffer is empty and closed."""
        while not self._buffer.exhausted:
            await self._changed.park()

    async def receive_some(
        self, limit: int, consumer: Callable[[bytes], int] | None = None
    ) -> bytes | None:
        """Available input, 1 to `limit` bytes; None at end of input.

        Args:
            limit: in bytes.
            consumer: called with input that arrives while this waits; it returns how many bytes it
                has taken. Only what remains ends the wait. So a key reaches the program without a
                step of the event loop.
        """
        self._consumer = consumer
        try:
            while not self._buffer and not self._buffer.closed:
                await self._changed.park()
        finally:
            self._consumer = None
        return self._take(limit)

    def _take(self, limit: int) -> bytes | None:
        data = self._buffer.some(limit)
        self._notify()
        return data

    def _has_room(self, position: float) -> bool:
        return self.position >= position and len(self._buffer) <= _CAPACITY

    def _notify(self) -> None:
        self._changed.unpark_all()
        self._notify_room()

    def _notify_room(self) -> None:
        # Not after every key, which would delay its echo.
        if self._has_room(self._awaited_position):
            self._awaited_position = math.inf
            self._room.unpark_all()
