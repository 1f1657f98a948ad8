"""Request bodies, streamed responses, and clients that disconnect before the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import aclosing, contextmanager

import trio
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from .._groups import one_error
from ..files.thread_writer import file_threads
from .refusals import Refused

__all__ = ["StreamedResponse", "UnsignedBodies", "cancel_on_disconnect", "read_body"]

BYTES_A_SECOND = 16 * 1024
"""A body that arrives slower than this is refused in the end."""


async def cancel_on_disconnect(request: Request, scope: trio.CancelScope) -> None:
    """Cancel a scope when the client has closed its connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


class UnsignedBodies:
    """The bodies that are in memory, and whose signature was not checked yet.

    Args:
        most: how many bytes they may have together.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._bytes = 0

    @contextmanager
    def reading(self) -> Iterator[Callable[[int], None]]:
        """Count a body while it is read and checked.

        Returns:
            To be called with the size of each piece. It raises `Refused`, with status 503, when the
            bodies have too many bytes together.
        """
        own = 0

        def add(size: int) -> None:
            nonlocal own
            own += size
            self._bytes += size
            if self._bytes > self._most:
                detail = "bodies whose signature is not checked fill the memory for them; try again"
                raise Refused(503, "server-overloaded", "Too many requests", detail)

        try:
            yield add
        finally:
            self._bytes -= own


async def read_body(
    request: Request,
    limit: int,
    seconds: float,
    *,
    count: Callable[[int], None] = lambda _size: None,
) -> bytes:
    """Read a whole body.

    Args:
        request: the request.
        limit: the most bytes that the body may have.
        seconds: how long it may take to arrive, and a second more for each `BYTES_A_SECOND`.
        count: called with the size of each piece, before it is kept.

    Raises:
        Refused: 400, the body is larger; 408, it takes longer.
        ClientDisconnect: the client has disconnected before the end of the body.
    """
    body = bytearray()
    async with aclosing(request.stream()) as chunks:
        with trio.move_on_after(seconds) as waiting:
            async for chunk in chunks:
                count(len(chunk))
                body += chunk
                if len(body) > limit:
                    detail = f"it has more than {limit:,} bytes"
                    raise Refused(400, "invalid-api-params", "The body is too large", detail)
                waiting.deadline += len(chunk) / BYTES_A_SECOND
    if waiting.cancelled_caught:
        detail = f"of its body, {len(body):,} bytes have arrived"
        raise Refused(408, "request-timeout", "The request took too long", detail)
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
                    while (chunk := await self._next_chunk()) is not None:
                        await send({"type": "http.response.body", "body": chunk, "more_body": True})
                    await send({"type": "http.response.body", "body": b"", "more_body": False})
                    nursery.cancel_scope.cancel()
        finally:
            if (close := getattr(self._chunks, "close", None)) is not None:
                close()

    async def _next_chunk(self) -> bytes | None:
        async with file_threads():
            return await trio.to_thread.run_sync(next, self._chunks, None)
