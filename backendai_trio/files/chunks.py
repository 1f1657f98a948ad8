"""How much of a file is read, written or handed to a thread at once."""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["CHUNK_SIZE", "chunk_ranges"]

CHUNK_SIZE = 1024 * 1024
"""Bytes. On a busy machine the way to a thread takes milliseconds, so less would cost more."""


def chunk_ranges(start: int, end: int) -> Iterator[tuple[int, int]]:
    """Offset and size of each chunk of the bytes from `start` up to `end`."""
    for offset in range(start, end, CHUNK_SIZE):
        yield offset, min(CHUNK_SIZE, end - offset)
