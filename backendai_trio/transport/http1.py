"""Direct HTTP/1.1 connections, with the parser of Node.js (llhttp, by way of httptools).

It takes the place of httpcore2's pool where there is no proxy on the way, and its errors are the
same. The reason is speed: README.md, "Why these dependencies". One task at a time has a connection,
so nothing here waits for locks; a small request goes out in one piece; and whatever goes wrong in
an exchange, a cancellation above all, closes its connection, so that no half-read reply is ever
taken for the next one's.
"""

from __future__ import annotations

import math
import socket
import ssl
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from contextlib import aclosing
from types import TracebackType
from typing import Self, cast

import httpcore2
import httptools
import trio

from ..config.settings import Endpoint
from .requests import Sent
from .sockets import PlainStream

__all__ = ["Pool"]

_READ_BYTES = 64 * 1024
_MAX_HEAD_BYTES = 100 * 1024
_REPEATABLE = frozenset({"GET", "DELETE"})


class Pool:
    """Connections to servers; as a context manager, it closes them all.

    Args:
        ssl_context: how to check a server's certificate; None where it has none.
        max_connections: how many may be in use at once; further requests wait.
        keepalive_seconds: how long an idle one is kept.
        socket_options: arguments of `setsockopt`.
    """

    def __init__(
        self,
        *,
        ssl_context: ssl.SSLContext | None,
        max_connections: int,
        keepalive_seconds: float,
        socket_options: Iterable[tuple[int, int, int]],
    ) -> None:
        self.ssl_context = ssl_context
        self.socket_options = list(socket_options)
        self._keepalive_seconds = keepalive_seconds
        self._slots = trio.Semaphore(max_connections)
        self._open: set[_Connection] = set()
        self._idle: list[_Connection] = []

    async def exchange(self, sent: Sent) -> _Body:
        """See `Exchanges.exchange`; closing the reply gives the connection back."""
        try:
            self._slots.acquire_nowait()
        except trio.WouldBlock:
            await self._slots.acquire()
        try:
            while True:
                connection = self._take(sent.endpoint)
                was_idle = connection.idle_since < math.inf
                try:
                    return await connection.exchange(sent)
                except (httpcore2.ReadError, httpcore2.RemoteProtocolError):
                    self._close(connection)
                    # Its server may have closed it just when the request was on its way. What may
                    # be done twice is then asked again (RFC 9110, section 9.2.2).
                    if not was_idle or sent.head.method not in _REPEATABLE:
                        raise
                except BaseException:  # cancelled, too: the reply may be half read
                    self._close(connection)
                    raise
        except BaseException:  # without a reply there is nobody to give the slot back
            self._slots.release()
            raise

    def _take(self, endpoint: Endpoint) -> _Connection:
        now = trio.current_time()
        while self._idle and self._idle[0].idle_since + self._keepalive_seconds < now:
            self._close(self._idle.pop(0))
        for connection in reversed(self._idle):
            if connection.endpoint == endpoint:
                self._idle.remove(connection)
                if not connection.has_ended():
                    return connection
                self._close(connection)
        connection = _Connection(self, endpoint)
        self._open.add(connection)
        return connection

    def give_back(self, connection: _Connection, *, reusable: bool) -> None:
        """For the connections: an exchange has ended."""
        self._slots.release()
        if reusable and connection in self._open:
            connection.idle_since = trio.current_time()
            self._idle.append(connection)
        else:
            self._close(connection)

    def _close(self, connection: _Connection) -> None:
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


class _Connection:
    """A connection to a server, for one exchange at a time."""

    def __init__(self, pool: Pool, endpoint: Endpoint) -> None:
        self.pool = pool
        self.endpoint = endpoint
        self.idle_since = math.inf
        self._socket: trio.socket.SocketType | socket.socket | None = None
        self._stream: trio.SSLStream[trio.SocketStream] | PlainStream
        self._is_readable: Callable[[], bool]

    async def exchange(self, sent: Sent) -> _Body:
        """Send a request and receive the head of its reply."""
        await trio.lowlevel.checkpoint_if_cancelled()
        if self._socket is None:
            await self._connect(sent.connect_seconds)
        body = _Body(self, sent.read_seconds)
        with trio.CancelScope(deadline=trio.current_time() + body.read_seconds) as scope:
            await self._send(sent, scope)
            if not isinstance(sent.content, bytes):
                scope.deadline = trio.current_time() + body.read_seconds
            while not body.begun:
                await body.receive()
        if scope.cancelled_caught:
            raise httpcore2.ReadTimeout
        return body

    async def _connect(self, seconds: float) -> None:
        try:
            with trio.fail_after(seconds):
                stream = await trio.open_tcp_stream(self.endpoint.host, self.endpoint.port)
                for option in self.pool.socket_options:
                    stream.setsockopt(*option)
                if self.endpoint.scheme == "https":
                    self._socket, self._is_readable = stream.socket, stream.socket.is_readable
                    self._stream = await self._secured(stream)
                else:
                    self._stream = plain = PlainStream.of(stream)
                    self._socket, self._is_readable = plain.socket, plain.is_readable
        except trio.TooSlowError as exc:
            raise httpcore2.ConnectTimeout from exc
        except (OSError, trio.BrokenResourceError) as exc:
            raise httpcore2.ConnectError(str(exc)) from exc

    async def _secured(self, stream: trio.SocketStream) -> trio.SSLStream[trio.SocketStream]:
        context = self.pool.ssl_context or httpcore2.default_ssl_context()
        context.set_alpn_protocols(["http/1.1"])
        name = self.endpoint.host
        secured = trio.SSLStream(stream, context, server_hostname=name, https_compatible=True)
        await secured.do_handshake()
        return secured

    async def _send(self, sent: Sent, scope: trio.CancelScope) -> None:
        head = sent.head.encode(sent.size)
        try:
            if isinstance(sent.content, bytes):
                await self._stream.send_all(head + sent.content)
            else:
                async with aclosing(_pieces(head, sent.content, sent.size)) as pieces:
                    async for data in pieces:
                        scope.deadline = trio.current_time() + sent.write_seconds
                        await self._stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # a server that refuses a body may answer and close; its answer is worth reading

    async def receive(self) -> bytes:
        """What the server sends next."""
        try:
            return bytes(await self._stream.receive_some(_READ_BYTES))
        except (trio.BrokenResourceError, trio.ClosedResourceError) as exc:
            raise httpcore2.ReadError(str(exc)) from exc

    def has_ended(self) -> bool:
        """Whether its server has closed it while it was idle (or sent what nobody asked for)."""
        return self._is_readable()

    def close(self) -> None:
        """Close it without a farewell, which could block."""
        if self._socket is not None:
            trio.lowlevel.notify_closing(self._socket)
            self._socket.close()


class _Body:
    """A reply: its head, and its body piece by piece. Fed by the parser through ``on_*``."""

    def __init__(self, connection: _Connection, read_seconds: float) -> None:
        self.headers: list[tuple[str, str]] = []
        self.status = 0
        self.begun = False
        self.read_seconds = read_seconds
        self._connection = connection
        self._parser = httptools.HttpResponseParser(self)
        self._pieces: deque[bytes] = deque()
        self._complete = False
        self._reusable = False
        self._closed = False
        self._head_bytes = 0

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        while not self._pieces:
            if self._complete:
                raise StopAsyncIteration
            try:
                with trio.CancelScope(deadline=trio.current_time() + self.read_seconds) as scope:
                    await self.receive()
                if scope.cancelled_caught:
                    raise httpcore2.ReadTimeout
            except BaseException:
                self._complete = True  # nothing more comes, as from the library's connections
                raise
        return self._pieces.popleft()

    async def receive(self) -> None:
        """Read and parse what comes next."""
        data = await self._connection.receive()
        if not data:
            self._ended()
            return
        if not self.begun:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as exc:
            if not self._complete:
                raise httpcore2.RemoteProtocolError(str(exc)) from exc
            self._reusable = False
        if not self.begun and self._head_bytes > _MAX_HEAD_BYTES:
            raise httpcore2.RemoteProtocolError("the head of its answer does not end")

    def _ended(self) -> None:
        """The server has closed the connection: the end of a reply that names no other."""
        names = {name for name, _ in self.headers}
        if not self.begun or names & {"content-length", "transfer-encoding"}:
            raise httpcore2.RemoteProtocolError("the server disconnected before its answer ended")
        self._complete = True

    async def aclose(self) -> None:
        """Give the connection back, to be used again if the whole reply was received."""
        if not self._closed:
            self._closed = True
            self._connection.pool.give_back(self._connection, reusable=self._reusable)

    # The parser calls these.

    def on_message_begin(self) -> None:
        self._reusable = False  # after the reply: something that nobody has asked for

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.decode("latin-1").lower(), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        if self.status >= 200:
            self.begun = True
        else:
            self.headers.clear()  # 100 Continue and its like come before the reply

    def on_body(self, piece: bytes) -> None:
        self._pieces.append(piece)

    def on_message_complete(self) -> None:
        if self.begun:
            self._complete = True
            self._reusable = self._parser.should_keep_alive()


async def _pieces(
    head: bytes, content: AsyncIterator[bytes], size: int | None
) -> AsyncGenerator[bytes]:
    """A request whose body is a stream, in pieces that are worth a system call."""
    left = size or 0
    data = head
    async with aclosing(cast("AsyncGenerator[bytes]", aiter(content))) as chunks:
        async for chunk in chunks:
            if size is None:
                data += b"%x\r\n%b\r\n" % (len(chunk), chunk) if chunk else b""
            else:
                data += chunk
                left -= len(chunk)
            if len(data) >= _READ_BYTES:
                yield data  # noqa: ASYNC119 (its one user closes it)
                data = b""
    if left:
        raise httpcore2.LocalProtocolError("its size is not what its head says")
    if data := data + (b"0\r\n\r\n" if size is None else b""):
        yield data
