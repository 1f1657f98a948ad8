"""The connections of a client, to its server and to storage proxies beside it."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Self

import trio

from ..config.settings import Config, Endpoint
from .connect import connect, keepalive_options
from .exceptions import Disconnected, NetworkError
from .http1 import HTTP11Connection
from .incoming import IncomingResponse
from .limits import Limits
from .proxies import Proxy, proxy_of
from .requests import OutgoingRequest
from .response_parser import ResponseParser
from .tls import ClientTLS

__all__ = ["ConnectionPool"]

# RFC 9110, section 9.2.2: sent a second time, they have the effect of one.
_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
_IDLE_SECONDS, _PROBE_SECONDS, _PROBES = 30, 10, 3


class ConnectionPool:
    """Connections to servers; as a context manager, it closes them all.

    Args:
        config: the settings: the proxy on the way, and the time to connect.
        tls: for servers on ``https``; None takes a context that checks certificates.
        limits: how many connections, how long they are kept, and what they may carry.

    Raises:
        ConfigError: the proxy's address is none.
    """

    def __init__(self, config: Config, tls: ClientTLS | None, limits: Limits) -> None:
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
        return self._incoming(request, connection, parser)

    async def _acquire_slot(self) -> None:
        """Wait for a connection to be free. No checkpoint if one is."""
        try:
            self._slots.acquire_nowait()
        except trio.WouldBlock:
            await self._slots.acquire()

    def _as_forwarded(self, request: OutgoingRequest) -> OutgoingRequest:
        """The request as the proxy takes it that forwards it; others as they are."""
        if (proxy := self._forwarder(request.endpoint)) is None:
            return request
        return replace(
            request,
            target=f"http://{request.endpoint.host_header}{request.target}",
            headers={**request.headers, **proxy.headers},
        )

    def _forwarder(self, endpoint: Endpoint) -> Proxy | None:
        """The proxy that takes the requests to a server, if one does instead of a tunnel to it."""
        if self._proxy is None or self._proxy.is_socks or endpoint.scheme != "http":
            return None
        return self._proxy

    async def _exchange(self, request: OutgoingRequest) -> IncomingResponse:
        endpoint = request.endpoint
        request = self._as_forwarded(request)
        while True:
            connection = self._take_idle(endpoint) or await self._connect(endpoint)
            was_idle = connection.idle_since < math.inf
            try:
                parser = await connection.exchange(request)
                incoming = self._incoming(request, connection, parser)
                incoming.check_proxy()
            except (NetworkError, Disconnected):
                self._close(connection)
                # The server may have closed it just when the request was on its way.
                if not (was_idle and _is_repeatable(request)):
                    raise
            except BaseException:  # cancelled, too: the response may be half read
                self._close(connection)
                raise
            else:
                return incoming

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

    def _incoming(
        self, request: OutgoingRequest, connection: HTTP11Connection, parser: ResponseParser
    ) -> IncomingResponse:
        return IncomingResponse(
            request,
            connection,
            parser,
            forwarder=self._forwarder(request.endpoint),
            release=partial(self._release, request.endpoint, connection),
        )

    def _release(self, endpoint: Endpoint, connection: HTTP11Connection, reusable: bool) -> None:
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


def _is_repeatable(request: OutgoingRequest) -> bool:
    return request.method in _IDEMPOTENT and isinstance(request.content, bytes)
