"""Bodies that are streamed: requests in large pieces, responses out of iterators."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping

import trio
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from .._groups import one_error

__all__ = ["PiecesResponse", "cancel_when_gone", "feed_in_thread"]

_PIECE_BYTES = 512 * 1024
"""How much is handed to a thread at once: the way there costs as much as to write 100 KiB."""


async def feed_in_thread(chunks: AsyncIterator[bytes], feed: Callable[[bytes], object]) -> None:
    """Hand a body to a function that may block, in pieces worth a thread's time."""
    pieces: list[bytes] = []
    size = 0
    async for chunk in chunks:
        pieces.append(chunk)
        size += len(chunk)
        if size >= _PIECE_BYTES:
            await trio.to_thread.run_sync(feed, b"".join(pieces))
            pieces, size = [], 0
    if pieces:
        await trio.to_thread.run_sync(feed, b"".join(pieces))


async def cancel_when_gone(request: Request, scope: trio.CancelScope) -> None:
    """Cancel a scope when the client has closed its connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


class PiecesResponse(Response):
    """A response whose body comes from an iterator that may block; it is closed in any case."""

    def __init__(
        self,
        pieces: Iterator[bytes],
        media_type: str,
        length: int | None = None,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        everything = {"content-encoding": "identity", **(headers or {})}
        if length is not None:
            everything["content-length"] = str(length)
        super().__init__(status_code=status, headers=everything, media_type=media_type)
        if length is None:
            del self.headers["content-length"]
        self._pieces = pieces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        head = {
            "type": "http.response.start",
            "status": self.status_code,
            "headers": self.raw_headers,
        }
        try:
            with one_error():
                async with trio.open_nursery() as nursery:
                    request = Request(scope, receive)
                    nursery.start_soon(cancel_when_gone, request, nursery.cancel_scope)
                    await send(head)
                    while (
                        piece := await trio.to_thread.run_sync(next, self._pieces, None)
                    ) is not None:
                        await send({"type": "http.response.body", "body": piece, "more_body": True})
                    await send({"type": "http.response.body", "body": b"", "more_body": False})
                    nursery.cancel_scope.cancel()
        finally:
            if (close := getattr(self._pieces, "close", None)) is not None:
                close()
