"""Bytes from the network into functions that block."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import trio

from .._groups import one_error
from .chunks import CHUNK_SIZE

__all__ = ["feed_in_thread"]


async def feed_in_thread(chunks: AsyncIterator[bytes], feed: Callable[[bytes], object]) -> None:
    """Pass the chunks of a body to a function that may block, in a worker thread.

    Chunks that arrive while the function runs are joined for its next call. While `CHUNK_SIZE`
    bytes wait for it, no more are read from `chunks`.

    Args:
        chunks: the body.
        feed: called with the bytes in order, one call at a time.

    Raises:
        Exception: whatever `chunks` or `feed` raised.

    Cancellation:
        Returns when the call of `feed` that is running has ended.
    """
    queue = _ChunkQueue()

    async def write() -> None:
        while (data := await queue.get()) is not None:
            await trio.to_thread.run_sync(feed, data)

    with one_error():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(write)
            async for chunk in chunks:
                await queue.put(chunk)
            queue.close()


class _ChunkQueue:
    """Chunks that wait for the thread, `CHUNK_SIZE` bytes and one chunk at most."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self._size = 0
        self._closed = False
        self._changed = trio.lowlevel.ParkingLot()

    async def put(self, chunk: bytes) -> None:
        """Append a chunk, once there is room."""
        while self._size >= CHUNK_SIZE:
            await self._changed.park()
        self._chunks.append(chunk)
        self._size += len(chunk)
        self._changed.unpark_all()

    async def get(self) -> bytes | None:
        """Take all chunks, joined, once there is one; None after `close`."""
        while not (self._chunks or self._closed):
            await self._changed.park()
        if not self._chunks:
            return None
        data = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks, self._size = [], 0
        self._changed.unpark_all()
        return data

    def close(self) -> None:
        """Mark the end: no more chunks come."""
        self._closed = True
        self._changed.unpark_all()
