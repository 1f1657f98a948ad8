"""Request bodies, streamed responses, and clients that disconnect before the end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import aclosing

import trio
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from .._groups import one_error
from .refusals import Refused

__all__ = ["StreamedResponse", "cancel_on_disconnect", "read_body"]


async def cancel_on_disconnect(request: Request, scope: trio.CancelScope) -> None:
    """Cancel a scope when the client has closed its connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


async def read_body(request: Request, limit: int) -> bytes:
    """Read a whole body.

    Args:
        request: the request.
        limit: the most bytes that the body may have.

    Raises:
        Refused: 400, the body is larger.
        ClientDisconnect: the client has disconnected before the end of the body.
    """
    body = bytearray()
    async with aclosing(request.stream()) as chunks:
        async for chunk in chunks:
            body += chunk
            if len(body) > limit:
                detail = f"it has more than {limit:,} bytes"
                raise Refused(400, "invalid-api-params", "The body is too large", detail)
    return bytes(body)


class StreamedResponse(Response):
    """A response whose body comes from an iterator that may block.

    The iterator runs in threads. Its ``close`` method, if it has one, is called in any case.
    """

    def __init__(
        self,
        chunks: Iterator[bytes],
        media_type: str,
        length: int | None = None,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """
        Args:
            chunks: the body.
            media_type: its content type.
            length: its length in bytes; None if that is not known.
            status: the HTTP status.
            headers: more headers.
        """
        all_headers = {"content-encoding": "identity", **(headers or {})}
        if length is not None:
            all_headers["content-length"] = str(length)
        super().__init__(status_code=status, headers=all_headers, media_type=media_type)
        if length is None:
            del self.headers["content-length"]
        self._chunks = chunks

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
                    nursery.start_soon(cancel_on_disconnect, request, nursery.cancel_scope)
                    await send(head)
                    while (
                        chunk := await trio.to_thread.run_sync(next, self._chunks, None)
                    ) is not None:
                        await send({"type": "http.response.body", "body": chunk, "more_body": True})
                    await send({"type": "http.response.body", "body": b"", "more_body": False})
                    nursery.cancel_scope.cancel()
        finally:
            if (close := getattr(self._chunks, "close", None)) is not None:
                close()
