"""The connections of a client, to its server and to storage proxies beside it."""

from __future__ import annotations

import math
import ssl
from dataclasses import replace
from types import TracebackType
from typing import Self

import trio

from ..config.settings import Config, Endpoint
from .connect import connect, keepalive_options
from .exceptions import Disconnected, NetworkError, ReadTimeout
from .http1 import HTTP11Connection
from .limits import Limits
from .proxies import proxy_of
from .requests import OutgoingRequest
from .response_parser import ResponseParser

__all__ = ["ConnectionPool", "IncomingResponse"]

# RFC 9110, section 9.2.2: sent a second time, they have the effect of one.
_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
_IDLE_SECONDS, _PROBE_SECONDS, _PROBES = 30, 10, 3


class ConnectionPool:
    """Connections to servers; as a context manager, it closes them all.

    Args:
        config: the settings: the proxy on the way, and the time to connect.
        tls: context for servers on ``https``; None takes one that checks certificates.
        limits: how many connections, how long they are kept, and what they may carry.

    Raises:
        ConfigError: the proxy's address is none.
    """

    def __init__(self, config: Config, tls: ssl.SSLContext | None, limits: Limits) -> None:
        self._config = config
        self._tls = tls
        self._limits = limits
        self._proxy = proxy_of(config)
        self._slots = trio.Semaphore(limits.max_connections)
        self._open: set[HTTP11Connection] = set()
        self._idle: list[tuple[Endpoint, HTTP11Connection]] = []
        self._socket_options = keepalive_options(
            _IDLE_SECONDS, _PROBE_SECONDS, _PROBES, unacknowledged=limits.unacknowledged_seconds
        )

    async def request(self, request: OutgoingRequest) -> IncomingResponse:
        """Send a request, and receive the head of its response.

        On a connection that was idle and turns out to be closed, a request that is idempotent, and
        whose body is not a stream, is sent again.

        Raises:
            ConnectionFailed: there is no connection, or the proxy refuses.
            TransportError: the exchange failed; its subclasses say how.

        Cancellation:
            Closes the connection. The request may have reached the server or not.
        """
        await self._acquire_slot()
        try:
            return await self._exchange(request)
        except BaseException:  # without a response there is nobody to release it
            self._slots.release()
            raise

    async def start(self, request: OutgoingRequest) -> IncomingResponse:
        """Send a request, and return its response before the head has come.

        It is sent once, whatever becomes of the connection.

        Args:
            request: one whose body is at hand.

        Raises:
            ConnectionFailed: there is no connection.
            TransportError: it cannot be sent.

        Cancellation:
            Closes the connection. The server has not received the whole request.
        """
        await self._acquire_slot()
        endpoint = request.endpoint
        try:
            connection = self._take_idle(endpoint) or await self._connect(endpoint)
            try:
                parser = await connection.start(self._as_forwarded(request))
            except BaseException:  # cancelled, too: the request may be half sent
                self._close(connection)
                raise
        except BaseException:  # without a response there is nobody to release it
            self._slots.release()
            raise
        return IncomingResponse(self, request, connection, parser)

    async def _acquire_slot(self) -> None:
        """Wait for a connection to be free. No checkpoint if one is."""
        try:
            self._slots.acquire_nowait()
        except trio.WouldBlock:
            await self._slots.acquire()

    def _as_forwarded(self, request: OutgoingRequest) -> OutgoingRequest:
        """The request as the proxy takes it that forwards it; others as they are."""
        if not self._forwards(request.endpoint):
            return request
        assert self._proxy is not None
        return replace(
            request,
            target=f"http://{request.endpoint.host_header}{request.target}",
            headers={**request.headers, **self._proxy.headers},
        )

    def _forwards(self, endpoint: Endpoint) -> bool:
        """Whether a proxy takes the requests to a server, instead of a tunnel to it."""
        return self._proxy is not None and not self._proxy.is_socks and endpoint.scheme == "http"

    def check_proxy(self, status: int, endpoint: Endpoint) -> None:
        """Look whether a response is a proxy's refusal.

        Raises:
            ConnectionFailed: it is.
        """
        if status == 407 and self._forwards(endpoint):
            assert self._proxy is not None
            raise self._proxy.refusal(status, endpoint.url)

    async def _exchange(self, request: OutgoingRequest) -> IncomingResponse:
        endpoint = request.endpoint
        request = self._as_forwarded(request)
        while True:
            connection = self._take_idle(endpoint) or await self._connect(endpoint)
            was_idle = connection.idle_since < math.inf
            try:
                parser = await connection.exchange(request)
                self.check_proxy(parser.status, endpoint)
            except (NetworkError, Disconnected):
                self._close(connection)
                # The server may have closed it just when the request was on its way.
                if not (was_idle and _is_repeatable(request)):
                    raise
            except BaseException:  # cancelled, too: the response may be half read
                self._close(connection)
                raise
            else:
                return IncomingResponse(self, request, connection, parser)

    async def _connect(self, endpoint: Endpoint) -> HTTP11Connection:
        stream = await connect(
            self._config,
            endpoint,
            self._proxy,
            self._tls,
            tunnel=False,
            socket_options=self._socket_options,
        )
        connection = HTTP11Connection(stream, self._limits)
        self._open.add(connection)
        return connection

    def _take_idle(self, endpoint: Endpoint) -> HTTP11Connection | None:
        oldest = trio.current_time() - self._limits.keepalive_seconds
        while self._idle and self._idle[0][1].idle_since < oldest:
            self._close(self._idle.pop(0)[1])
        for number in reversed(range(len(self._idle))):
            where, connection = self._idle[number]
            if where[:3] == endpoint[:3]:  # the base path does not count
                del self._idle[number]
                if not connection.has_ended():
                    return connection
                self._close(connection)
        return None

    def release(self, endpoint: Endpoint, connection: HTTP11Connection, *, reusable: bool) -> None:
        """Take a connection back whose response was closed."""
        self._slots.release()
        if reusable and connection in self._open:
            connection.idle_since = trio.current_time()
            self._idle.append((endpoint, connection))
        else:
            self._close(connection)

    def _close(self, connection: HTTP11Connection) -> None:
        self._open.discard(connection)
        connection.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: object, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._idle.clear()
        while self._open:
            self._open.pop().close()


class IncomingResponse:
    """A response: its head, and its body piece by piece. It holds a connection of the pool.

    Attributes:
        endpoint: the server.
    """

    def __init__(
        self,
        pool: ConnectionPool,
        request: OutgoingRequest,
        connection: HTTP11Connection,
        parser: ResponseParser,
    ) -> None:
        self.endpoint = request.endpoint
        self._pool: ConnectionPool | None = pool
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
        """Look whether it is a proxy's refusal. For one that is not closed.

        Raises:
            ConnectionFailed: it is.
        """
        if self._pool is not None:
            self._pool.check_proxy(self.status, self.endpoint)

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
        if self._pool is not None:
            reusable = self._parser.complete and self._parser.reusable and not self._failed
            self._pool.release(self.endpoint, self._connection, reusable=reusable)
            self._pool = None


def _is_repeatable(request: OutgoingRequest) -> bool:
    return request.method in _IDEMPOTENT and isinstance(request.content, bytes)
