"""How much of a file is read, written or handed to a thread at once."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator

import trio

__all__ = ["CHUNK_SIZE", "chunk_ranges", "read_chunks"]

CHUNK_SIZE = 1024 * 1024
"""Bytes. On a busy machine the way to a thread takes milliseconds, so less would cost more."""


def chunk_ranges(start: int, end: int) -> Iterator[tuple[int, int]]:
    """Offset and size of each chunk of the bytes from `start` up to `end`."""
    for offset in range(start, end, CHUNK_SIZE):
        yield offset, min(CHUNK_SIZE, end - offset)


async def read_chunks(
    read_at: Callable[[int, int], bytes], start: int, end: int
) -> AsyncGenerator[bytes, None]:
    """Read the bytes from `start` up to `end` in a thread, a chunk at a time.

    Args:
        read_at: takes an offset and a size; may block.
        start: offset of the first byte.
        end: offset behind the last byte.
    """
    for offset, size in chunk_ranges(start, end):
        yield await trio.to_thread.run_sync(read_at, offset, size)
