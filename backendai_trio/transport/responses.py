"""Responses whose body is on its way."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping

import trio

from ..config.settings import Endpoint
from ..errors import RemoteProtocolError
from ..wire.content_coding import ContentDecoder, decode_content
from ..wire.http import OCTETS, Request, Response
from .exceptions import map_exceptions
from .incoming import IncomingResponse

__all__ = ["ResponseStream", "answer_of", "log", "log_response", "response_of"]

# Requests, a line each. Headers, query and body are left out: they may hold secrets.
log = logging.getLogger("backendai_trio.http")


def log_response(request: Request, endpoint: Endpoint, status: int, start: float) -> None:
    """Log a request whose response has begun.

    Args:
        request: what was sent.
        endpoint: the server.
        status: HTTP status.
        start: when it was sent, by Trio's clock.
    """
    if log.isEnabledFor(logging.DEBUG):
        elapsed = (trio.current_time() - start) * 1000
        log.debug("%s at %s -> %d, %.0f ms", request, endpoint.url, status, elapsed)


def response_of(
    request: Request, incoming: IncomingResponse, body: bytes, max_bytes: int
) -> Response:
    """A whole response.

    Args:
        request: what it answers.
        incoming: its head.
        body: all of its body, or more of it than is allowed.
        max_bytes: the longest body that is taken.

    Raises:
        RemoteProtocolError: the body is longer, or its content coding is unknown.
    """
    if len(body) > max_bytes:
        raise RemoteProtocolError(f"{request}: the answer exceeds {max_bytes:,} bytes")
    headers = dict(incoming.headers)
    if coding := headers.get("content-encoding", ""):
        body = decode_content(body, coding, str(request), max_bytes=max_bytes)
    return Response(incoming.status, content_type_of(headers), body, headers)


def answer_of(request: Request, response: Response) -> Response:
    """A successful response, if it is the server's.

    Networks that want a login, and proxies, answer any request with a web page and status 200. To
    a request whose answer says nothing but that it was done, that would look like success.

    Args:
        request: what was asked of the API, none of whose answers is a web page.
        response: what came.

    Raises:
        RemoteProtocolError: it is a web page.
    """
    if response.content_type == "text/html" and response.body:
        raise RemoteProtocolError(
            f"{request}: a web page came in place of an answer of the API, so it is not known "
            "whether this was done; check BACKEND_ENDPOINT, and whether the network wants a login"
        )
    return response


def content_type_of(headers: Mapping[str, str]) -> str:
    """A response's content type without its parameters, in lower case."""
    return headers.get("content-type", OCTETS).partition(";")[0].strip().lower()


class ResponseStream:
    """A response whose body is on its way. Made by `Client.request`.

    Args:
        endpoint: the server.
        request: what it answers.
        incoming: its head.
        max_bytes: the longest body that `read_all` takes.
        decode: False gives the body in the content coding that it came in.

    Attributes:
        status: HTTP status.
        headers: names in lower case; of a name that came more than once, the last value.
        header_list: names and values in the order they came.
        content_type: without its parameters, in lower case.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        request: Request,
        incoming: IncomingResponse,
        max_bytes: int,
        *,
        decode: bool = True,
    ) -> None:
        self.status = incoming.status
        self.header_list = incoming.headers
        self.headers = dict(self.header_list)
        self.content_type = content_type_of(self.headers)
        self._endpoint = endpoint
        self._request = request
        self._incoming = incoming
        self._max_bytes = max_bytes
        self._decoder: ContentDecoder | None = None
        self._decoded: Iterator[bytes] = iter(())
        if decode and (coding := self.headers.get("content-encoding", "")):
            self._decoder = ContentDecoder(coding, str(request))

    async def receive_some(self) -> bytes:
        """The next piece of the body, ``b""`` at its end.

        Raises:
            ConnectionFailed: the connection broke, or nothing came in time.
            RemoteProtocolError: what came is not HTTP, or not in the content coding it should be.

        Cancellation:
            Loses nothing.
        """
        await trio.lowlevel.checkpoint()
        with map_exceptions(self._endpoint, self._request):
            if self._decoder is None:
                return await self._incoming.receive_some()
            return await self._receive_decoded(self._decoder)

    async def _receive_decoded(self, decoder: ContentDecoder) -> bytes:
        while True:
            if piece := next(self._decoded, b""):
                return piece
            coded = await self._incoming.receive_some()
            if not coded:
                decoder.finish()
                return b""
            self._decoded = decoder.feed(coded)

    def __aiter__(self) -> ResponseStream:
        return self

    async def __anext__(self) -> bytes:
        if chunk := await self.receive_some():
            return chunk
        raise StopAsyncIteration

    async def read_all(self) -> Response:
        """The response with its body, decoded; none of that may have been received before.

        Raises:
            ConnectionFailed: the connection broke, or nothing came in time.
            RemoteProtocolError: what came is not HTTP, is in an unknown content coding, or exceeds
                `Limits.max_body_bytes`.
        """
        body = bytearray()
        incoming = self._incoming
        with map_exceptions(self._endpoint, self._request):
            while piece := await incoming.receive_some():
                body += piece
                if len(body) > self._max_bytes:
                    break
        return response_of(self._request, incoming, bytes(body), self._max_bytes)

    def close(self) -> None:
        """Be done with the response; its connection is kept if all of it was received."""
        self._incoming.close()
