"""Responses whose body is on its way."""

from __future__ import annotations

import trio

from ..config.settings import Endpoint
from ..errors import RemoteProtocolError
from ..wire.http import OCTETS, Request, Response
from .exceptions import map_exceptions
from .pool import IncomingResponse

__all__ = ["ResponseStream"]


class ResponseStream:
    """A response whose body is on its way. Made by `Client.request`.

    Attributes:
        status: HTTP status.
        headers: names in lower case; of a name that came more than once, the last value.
        header_list: names and values in the order they came.
        content_type: without its parameters, in lower case.
    """

    def __init__(
        self, endpoint: Endpoint, request: Request, incoming: IncomingResponse, max_bytes: int
    ) -> None:
        self.status = incoming.status
        self.header_list = incoming.headers
        self.headers = dict(self.header_list)
        content_type = self.headers.get("content-type", OCTETS)
        self.content_type = content_type.partition(";")[0].strip().lower()
        self._endpoint = endpoint
        self._request = request
        self._incoming = incoming
        self._max_bytes = max_bytes

    async def receive_some(self) -> bytes:
        """The next piece of the body, ``b""`` at its end.

        Raises:
            ConnectionFailed: the connection broke, or nothing came in time.
            RemoteProtocolError: what came is not HTTP.

        Cancellation:
            Ends the stream.
        """
        await trio.lowlevel.checkpoint()
        with map_exceptions(self._endpoint, self._request):
            return await self._incoming.receive_some()

    def __aiter__(self) -> ResponseStream:
        return self

    async def __anext__(self) -> bytes:
        if chunk := await self.receive_some():
            return chunk
        raise StopAsyncIteration

    async def read_all(self) -> Response:
        """The response with the rest of its body.

        Raises:
            ConnectionFailed: the connection broke, or nothing came in time.
            RemoteProtocolError: what came is not HTTP, or exceeds `Limits.max_body_bytes`.
        """
        body = bytearray()
        incoming = self._incoming
        with map_exceptions(self._endpoint, self._request):
            while piece := await incoming.receive_some():
                body += piece
                if len(body) > self._max_bytes:
                    break
        if len(body) > self._max_bytes:
            raise RemoteProtocolError(
                f"{self._request}: the answer exceeds {self._max_bytes:,} bytes"
            )
        return Response(self.status, self.content_type, bytes(body), self.headers)

    def close(self) -> None:
        """Be done with the response; its connection is kept if all of it was received."""
        self._incoming.close()
