"""Bytes from the network into functions that block."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import trio

__all__ = ["PIECE_BYTES", "feed_in_thread"]

PIECE_BYTES = 512 * 1024
"""How much is handed to a thread at once: the way there costs as much as to write 100 KiB."""


async def feed_in_thread(chunks: AsyncIterator[bytes], feed: Callable[[bytes], object]) -> None:
    """Hand a body to a function that may block, in pieces worth a thread's time."""
    pieces: list[bytes] = []
    size = 0
    async for chunk in chunks:
        pieces.append(chunk)
        size += len(chunk)
        if size >= PIECE_BYTES:
            await trio.to_thread.run_sync(feed, b"".join(pieces))
            pieces, size = [], 0
    if pieces:
        await trio.to_thread.run_sync(feed, b"".join(pieces))
