"""One HTTP/1.1 connection, for one request at a time.

Whatever goes wrong in an `exchange`, a cancellation above all, closes its connection, so that a
response that was half read is never taken for that of the next request. Only `PendingCall` reads a
response on after a cancellation, one that was begun by `start`.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import cast

import trio

from .._groups import one_error
from .connect import socket_of
from .exceptions import MalformedRequest, MalformedResponse, NetworkError, ReadTimeout, WriteTimeout
from .limits import Limits
from .requests import OutgoingRequest
from .response_parser import ResponseParser

__all__ = ["HTTP11Connection"]

_CHUNK_SIZE = 64 * 1024
"""Bytes of one read; and a body up to this size goes out with its head, in one write."""
_WRITE_SIZE = 256 * 1024
"""Bytes of one write of a larger body; `Limits.write_seconds` is for each."""


class HTTP11Connection:
    """A connection to a server, or to the proxy that takes requests for it.

    Args:
        stream: an open connection (`connect`).
        limits: of the client.

    Attributes:
        idle_since: when its last response ended, by Trio's clock; infinite if it never was idle.
    """

    def __init__(self, stream: trio.abc.Stream, limits: Limits) -> None:
        self.idle_since = math.inf
        self._stream = stream
        self._socket = socket_of(stream)
        self._limits = limits

    async def exchange(self, request: OutgoingRequest) -> ResponseParser:
        """Send a request, and receive the head of its response; `receive_more` then gets the body.

        A response that comes while the body is being sent ends the sending if it is an error.

        Raises:
            ReadTimeout, WriteTimeout, NetworkError, Disconnected: as they say.
            MalformedResponse: the response is not HTTP.
            MalformedRequest: the request cannot be sent.
            Exception: what `request.content` raised.
        """
        head = request.encode_head()
        response = ResponseParser(request.method, self._limits)
        content = request.content
        if isinstance(content, bytes) and len(content) <= _CHUNK_SIZE:
            with trio.move_on_after(request.head_seconds) as waiting:
                await self._send(head + content)
                while not response.head_complete:
                    await self.receive_more(response)
            if waiting.cancelled_caught:
                raise ReadTimeout
        else:
            with one_error():
                await self._exchange_body(request, head, response)
        return response

    async def start(self, request: OutgoingRequest) -> ResponseParser:
        """Send a request whose body is at hand; `receive_more` then gets the response.

        Raises:
            MalformedRequest: it cannot be sent.

        Cancellation:
            The server has not received the whole request. For how long it may take nothing is TCP's
            affair (`Limits.unacknowledged_seconds`).
        """
        content = request.content
        assert isinstance(content, bytes)
        await self._send(request.encode_head() + content)
        return ResponseParser(request.method, self._limits)

    async def _exchange_body(
        self, request: OutgoingRequest, head: bytes, response: ResponseParser
    ) -> None:
        """Send a long body, or one that is a stream, while the response is awaited."""
        failures: list[Exception] = []
        sent = False

        async def send() -> None:
            nonlocal sent
            try:
                async with aclosing(_body_chunks(head, request)) as chunks:
                    async for chunk in chunks:
                        with trio.move_on_after(self._limits.write_seconds) as writing:
                            goes_on = await self._send(chunk)
                        if writing.cancelled_caught:
                            raise WriteTimeout
                        if not goes_on:
                            break
                    else:
                        sent = True
            except Exception as exc:
                failures.append(exc)
                sending.cancel_scope.cancel()
            waiting.deadline = trio.current_time() + request.head_seconds

        with trio.CancelScope() as waiting:
            async with trio.open_nursery() as sending:
                sending.start_soon(send)
                while not response.head_complete:
                    await self.receive_more(response)
                if response.status >= 400:
                    sending.cancel_scope.cancel()
                waiting.deadline = math.inf  # a server that answers early may still be reading
        if failures:
            raise failures[0]
        if waiting.cancelled_caught:
            raise ReadTimeout
        if not sent:
            response.forbid_reuse()

    async def receive_more(self, response: ResponseParser) -> None:
        """Receive more of a response; the caller limits the time.

        Raises:
            NetworkError, Disconnected: as they say.
            MalformedResponse: the response is not HTTP, from behind what has come of its body.

        Cancellation: loses nothing.
        """
        if response.failure is not None:
            raise response.failure
        try:
            data = await self._stream.receive_some(_CHUNK_SIZE)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as exc:
            raise NetworkError(str(exc)) from exc
        try:
            response.feed(bytes(data))
        except MalformedResponse as exc:
            if not response.pieces:
                raise
            response.failure = exc  # what came before it counts

    async def _send(self, data: bytes | memoryview) -> bool:
        """Send, and say whether the server takes more: one that refuses a body may answer and
        close, and its answer is worth reading."""
        try:
            await self._stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return False
        return True

    def has_ended(self) -> bool:
        """Whether the server closed it while it was idle, or sent what nobody asked for."""
        return self._socket.is_readable()

    def close(self) -> None:
        """Close it without a farewell, which could block."""
        self._socket.close()


async def _body_chunks(head: bytes, request: OutgoingRequest) -> AsyncGenerator[bytes | memoryview]:
    """A request in chunks that are worth a system call, and not larger than a write may be."""
    content = request.content
    if isinstance(content, bytes):
        yield head
        for part in _parts(content):
            yield part
        return
    left = request.content_length
    data = head
    async with aclosing(cast("AsyncGenerator[bytes]", aiter(content))) as pieces:
        async for piece in pieces:
            if left is None:
                data += b"%x\r\n%b\r\n" % (len(piece), piece) if piece else b""
            else:
                data = data + piece if data else bytes(piece)
                left -= len(piece)
                if left < 0:
                    break
            if len(data) >= _CHUNK_SIZE:
                for part in _parts(data):
                    yield part  # noqa: ASYNC119 (its one user closes it)
                data = b""
    if left:
        raise MalformedRequest("the body is not as long as was announced")
    if left is None:
        data += b"0\r\n\r\n"
    if data:
        yield data


def _parts(data: bytes) -> Iterator[memoryview]:
    view = memoryview(data)
    for start in range(0, len(view), _WRITE_SIZE):
        yield view[start : start + _WRITE_SIZE]
