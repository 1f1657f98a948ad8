"""Bytes from the network into functions that block."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import trio

from ._groups import one_error

__all__ = ["PIECE_BYTES", "feed_in_thread"]

PIECE_BYTES = 1024 * 1024
"""How much is handed to a thread at once: on a busy machine the way there takes milliseconds."""


async def feed_in_thread(chunks: AsyncIterator[bytes], feed: Callable[[bytes], object]) -> None:
    """Hand a body to a function that may block, in large pieces.

    The next piece comes in while the function is at work; no more than that is held in memory.
    """
    send, receive = trio.open_memory_channel[bytes](0)

    async def work() -> None:
        async for piece in receive:
            await trio.to_thread.run_sync(feed, piece)

    with one_error():
        async with trio.open_nursery() as nursery, send:
            nursery.start_soon(work)
            pieces: list[bytes] = []
            size = 0
            async for chunk in chunks:
                pieces.append(chunk)
                size += len(chunk)
                if size >= PIECE_BYTES:
                    await send.send(b"".join(pieces))
                    pieces, size = [], 0
            if pieces:
                await send.send(b"".join(pieces))
