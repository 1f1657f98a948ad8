"""Responses on their way in, each on a connection of the pool."""

from __future__ import annotations

from collections.abc import Callable

import trio

from .exceptions import ReadTimeout
from .http1 import HTTP11Connection
from .proxies import Proxy
from .requests import OutgoingRequest
from .response_parser import ResponseParser

__all__ = ["IncomingResponse"]


class IncomingResponse:
    """A response: its head, and its body piece by piece. It holds a connection of the pool.

    Args:
        request: what it answers.
        connection: where it comes from.
        parser: what has come of it.
        forwarder: the proxy that the request was given to; None for none.
        release: takes the connection back, and whether it may be used again.

    Attributes:
        endpoint: the server.
    """

    def __init__(
        self,
        request: OutgoingRequest,
        connection: HTTP11Connection,
        parser: ResponseParser,
        *,
        forwarder: Proxy | None,
        release: Callable[[bool], None],
    ) -> None:
        self.endpoint = request.endpoint
        self._forwarder = forwarder
        self._release: Callable[[bool], None] | None = release
        self._connection = connection
        self._parser = parser
        self._head_seconds = request.head_seconds
        self._body_seconds = request.body_seconds
        self._failed = False

    @property
    def status(self) -> int:
        """HTTP status; 0 before the head has come."""
        return self._parser.status

    @property
    def headers(self) -> list[tuple[str, str]]:
        """In the order they came, names in lower case."""
        return self._parser.headers

    @property
    def answer_seconds(self) -> float:
        """Limit for the next wait on it: on its head, then on its body; infinite for none."""
        return self._body_seconds if self._parser.head_complete else self._head_seconds

    @property
    def complete(self) -> bool:
        """Whether all of it has come."""
        return self._parser.complete

    def check_proxy(self) -> None:
        """Look whether it is the proxy's refusal, and not the server's response.

        Raises:
            ConnectionFailed: it is.
        """
        if self.status == 407 and self._forwarder is not None:
            raise self._forwarder.refusal(self.status, self.endpoint.url)

    async def receive_more(self) -> None:
        """Receive more of the head or the body; the caller limits the time.

        Raises:
            TransportError: the exchange failed; its subclasses say how.

        Cancellation: loses nothing.
        """
        try:
            await self._connection.receive_more(self._parser)
        except Exception:  # whatever it is, the connection is not used again
            self._failed = True
            raise

    def take_body(self) -> bytes:
        """What has come of the body, and was not taken yet."""
        pieces = self._parser.pieces
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        return body

    async def receive_some(self) -> bytes:
        """The next piece of the body, ``b""`` at its end. No checkpoint if it came already.

        Raises:
            TransportError: the exchange failed; its subclasses say how.

        Cancellation: loses nothing.
        """
        pieces = self._parser.pieces
        while not pieces:
            if self._parser.complete or self._failed:
                return b""
            with trio.move_on_after(self.answer_seconds) as waiting:
                await self.receive_more()
            if waiting.cancelled_caught:
                self._failed = True
                raise ReadTimeout
        return pieces.popleft()

    def close(self) -> None:
        """Give the connection back; it is used again if the whole response was received."""
        if self._release is not None:
            self._release(self._parser.complete and self._parser.reusable and not self._failed)
            self._release = None
