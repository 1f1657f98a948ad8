"""Bodies read whole, responses out of iterators, and clients that leave before they end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import aclosing

import trio
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from .._groups import one_error
from .refusals import Refused

__all__ = ["PiecesResponse", "cancel_when_gone", "read_body"]


async def cancel_when_gone(request: Request, scope: trio.CancelScope) -> None:
    """Cancel a scope when the client has closed its connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


async def read_body(request: Request, limit: int) -> bytes:
    """A body of at most so many bytes.

    Raises:
        Refused: it is larger.
        ClientDisconnect: it has not come whole.
    """
    body = bytearray()
    async with aclosing(request.stream()) as chunks:
        async for chunk in chunks:
            body += chunk
            if len(body) > limit:
                raise Refused(400, "invalid-api-params", "The body is too large")
    return bytes(body)


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
