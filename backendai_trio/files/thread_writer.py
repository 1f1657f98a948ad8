"""Bytes from the network into functions that block."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager

import trio

from .._groups import one_error
from .chunks import CHUNK_SIZE

__all__ = ["FILE_THREADS", "feed_in_thread", "file_threads"]

FILE_THREADS = 8
"""How many threads write or read the files of transfers at once. All others, of which Trio has 40,
are for what must not wait for transfers, such as the start of a kernel. And more would not be
faster: each waits for the disk, or for the interpreter's lock, and keeps the event loop from it."""
_QUEUED_BYTES = 32 * 1024 * 1024
"""How much waits for these threads, as far as `_LEAST_BYTES` for each body allow."""
_LEAST_BYTES = 64 * 1024


async def feed_in_thread(chunks: AsyncIterator[bytes], feed: Callable[[bytes], object]) -> None:
    """Pass the chunks of a body to a function that may block, in a worker thread.

    Chunks that arrive while the function runs are joined for its next call. While `CHUNK_SIZE`
    bytes wait for it, no more are read from `chunks`; less where many bodies are passed on at once.

    Args:
        chunks: the body.
        feed: called with the bytes in order, one call at a time.

    Raises:
        Exception: whatever `chunks` or `feed` raised.

    Cancellation:
        Returns when the call of `feed` that is running has ended.
    """
    threads = _threads()
    queue = _ChunkQueue(threads)

    async def write() -> None:
        while await queue.wait_for_data():
            # The data is taken when there is a thread for it: while it waits, it counts as waiting.
            async with threads.limiter:
                await trio.to_thread.run_sync(feed, queue.take())

    with threads.feeding(), one_error():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(write)
            async for chunk in chunks:
                await queue.put(chunk)
            queue.close()


def file_threads() -> trio.CapacityLimiter:
    """Held by whatever reads or writes the files of transfers in a thread."""
    return _threads().limiter


class _FileThreads:
    """The threads for files of one run of Trio."""

    def __init__(self) -> None:
        self.limiter = trio.CapacityLimiter(FILE_THREADS)
        self._bodies = 0

    @property
    def queue_bytes(self) -> int:
        """How much of a body may wait for a thread."""
        return min(CHUNK_SIZE, max(_LEAST_BYTES, _QUEUED_BYTES // max(self._bodies, 1)))

    @contextmanager
    def feeding(self) -> Iterator[None]:
        """Count a body."""
        self._bodies += 1
        try:
            yield
        finally:
            self._bodies -= 1


_of_run: trio.lowlevel.RunVar[_FileThreads] = trio.lowlevel.RunVar("file threads")


def _threads() -> _FileThreads:
    try:
        return _of_run.get()
    except LookupError:
        _of_run.set(made := _FileThreads())
        return made


class _ChunkQueue:
    """Chunks that wait for the thread; so many bytes and one chunk at most."""

    def __init__(self, threads: _FileThreads) -> None:
        self._threads = threads
        self._chunks: list[bytes] = []
        self._size = 0
        self._closed = False
        self._changed = trio.lowlevel.ParkingLot()

    async def put(self, chunk: bytes) -> None:
        """Append a chunk, once there is room."""
        while self._size >= self._threads.queue_bytes:
            await self._changed.park()
        self._chunks.append(chunk)
        self._size += len(chunk)
        self._changed.unpark_all()

    async def wait_for_data(self) -> bool:
        """Wait for a chunk; False after `close`, when none is left."""
        while not (self._chunks or self._closed):
            await self._changed.park()
        return bool(self._chunks)

    def take(self) -> bytes:
        """Take all chunks, joined; there must be one."""
        data = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks, self._size = [], 0
        self._changed.unpark_all()
        return data

    def close(self) -> None:
        """Mark the end: no more chunks come."""
        self._closed = True
        self._changed.unpark_all()
