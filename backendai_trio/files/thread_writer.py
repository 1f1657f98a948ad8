"""Bytes from the network into functions that block."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import trio

from .._groups import one_error

__all__ = ["PIECE_BYTES", "feed_in_thread"]

PIECE_BYTES = 1024 * 1024
"""How much is handed to a thread at once: on a busy machine the way there takes milliseconds."""


async def feed_in_thread(chunks: AsyncIterator[bytes], feed: Callable[[bytes], object]) -> None:
    """Hand a body to a function that may block.

    What comes in while the function is at work is handed over next, in one piece; once that is
    `PIECE_BYTES` long, no more is taken in.
    """
    basket = _Basket()

    async def work() -> None:
        while (piece := await basket.take()) is not None:
            await trio.to_thread.run_sync(feed, piece)

    with one_error():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(work)
            async for chunk in chunks:
                await basket.put(chunk)
            basket.end()


class _Basket:
    """What has come and was not taken yet."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0
        self._ended = False
        self._changed = trio.lowlevel.ParkingLot()

    async def put(self, chunk: bytes) -> None:
        """Put something in, when there is room."""
        while self._size >= PIECE_BYTES:
            await self._changed.park()
        self._pieces.append(chunk)
        self._size += len(chunk)
        self._changed.unpark_all()

    async def take(self) -> bytes | None:
        """Take all of it, once there is something; None at the end."""
        while not (self._pieces or self._ended):
            await self._changed.park()
        if not self._pieces:
            return None
        taken = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces, self._size = [], 0
        self._changed.unpark_all()
        return taken

    def end(self) -> None:
        """Nothing more comes."""
        self._ended = True
        self._changed.unpark_all()
