"""Signed WebSocket connections, tuned for throughput."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import cast

import trio
import trio_websocket

from .._groups import one_error
from ..config import Config
from ..errors import ConnectionFailed
from ..wire.http import Reply, Request, decode_problem
from .client import Client, tls_context
from .plain_sockets import PlainStream
from .proxies import open_tunnel, proxy_of

__all__ = ["close_politely", "connect_websocket", "open_websocket"]

# Measured at 4 KiB and 64 KiB frames: the library's defaults give 56 and 130 MB/s, these 130 and
# 700. The message limit is that of managers from 20.03 on (contract section 6.1).
RECEIVE_BUFFER_BYTES = 256 * 1024
MESSAGE_QUEUE_SIZE = 64
MAX_MESSAGE_BYTES = 16 * 1024 * 1024
CLOSE_SECONDS = 2.0
"""How long a polite end may take."""
ABORT_SECONDS = 1.0
"""Closing without a word takes no time to speak of; this bounds it all the same."""


@asynccontextmanager
async def open_websocket(
    client: Client, path: str, *, query: tuple[tuple[str, str], ...] = ()
) -> AsyncIterator[trio_websocket.WebSocketConnection]:
    """Open a WebSocket on the client's server; closed when the block ends.

    Raises:
        ApiError: the server refused the upgrade with an error of its own.
        ConnectionFailed: it cannot be reached, or did not finish the handshake in time.
    """
    with one_error():
        async with trio.open_nursery() as nursery:
            connection, stream = await connect_websocket(client, nursery, path, query=query)
            try:
                yield connection
            finally:
                await close_politely(connection)  # noqa: ASYNC102 (it is shielded)
                with trio.move_on_after(ABORT_SECONDS, shield=True):
                    await trio.aclose_forcefully(stream)
                nursery.cancel_scope.cancel()


async def close_politely(connection: trio_websocket.WebSocketConnection) -> None:
    """Say goodbye, unless cancelled: the reader is gone then that a polite end needs."""
    if trio.current_effective_deadline() > -math.inf:
        with trio.move_on_after(CLOSE_SECONDS, shield=True):
            await connection.aclose()


async def connect_websocket(
    client: Client,
    nursery: trio.Nursery,
    path: str,
    *,
    query: tuple[tuple[str, str], ...] = (),
) -> tuple[trio_websocket.WebSocketConnection, trio.abc.Stream]:
    """Connect; the connection's reader runs in `nursery`. Returns it and the stream below it.

    The handshake is signed like any GET, with the content type that servers assume for a request
    that has none (contract section 2.2).

    Raises:
        ApiError, ConnectionFailed: as for `open_websocket`.
    """
    pair: tuple[trio_websocket.WebSocketConnection, trio.abc.Stream] = await nursery.start(
        _hold_socket, client, Request("GET", path, query)
    )
    return pair


async def _hold_socket(
    client: Client,
    request: Request,
    *,
    task_status: trio.TaskStatus[tuple[trio_websocket.WebSocketConnection, trio.abc.Stream]],
) -> None:
    """Connect, and hold the connection's reader until the connection has ended.

    The library reports a refused handshake from its reader; a nursery around both brings it here.
    """
    config = client.config
    endpoint = config.endpoint
    try:
        with one_error():
            async with trio.open_nursery() as nursery:
                with trio.fail_after(config.connect_seconds):
                    stream = await _open_stream(config)
                    try:
                        connection = await _shake_hands(nursery, stream, client, request)
                    except BaseException:
                        with trio.move_on_after(ABORT_SECONDS, shield=True):
                            await trio.aclose_forcefully(stream)
                        raise
                task_status.started((connection, stream))
    except trio_websocket.ConnectionRejected as exc:
        reply = Reply(exc.status_code, "", bytes(exc.body or b""))
        raise decode_problem(reply).as_error(str(request)) from None
    except trio.TooSlowError:
        raise ConnectionFailed(
            f"{endpoint.url} did not open a WebSocket within {config.connect_seconds:g} s"
        ) from None
    except (trio_websocket.HandshakeError, OSError, trio.BrokenResourceError) as exc:
        raise ConnectionFailed(f"no WebSocket at {endpoint.url} for {request}: {exc}") from exc


class _Readers:
    """Given to the library in place of a nursery: tells when its reader has ended.

    The library waits for the handshake's event and for nothing else, for ever if the server has
    closed the connection.
    """

    def __init__(self, nursery: trio.Nursery, waiting: trio.CancelScope) -> None:
        self._nursery = nursery
        self._waiting = waiting

    def start_soon(self, reader: Callable[[], Awaitable[None]]) -> None:
        self._nursery.start_soon(self._read, reader)

    async def _read(self, reader: Callable[[], Awaitable[None]]) -> None:
        await reader()
        self._waiting.cancel()


async def _shake_hands(
    nursery: trio.Nursery, stream: trio.abc.Stream, client: Client, request: Request
) -> trio_websocket.WebSocketConnection:
    endpoint = client.config.endpoint
    headers = client.signed_headers(request)
    del headers["Host"], headers["Content-Type"]  # the first is the library's to send
    with trio.CancelScope() as waiting:
        # Given the stream, the library sends the Host text that was signed.
        return await trio_websocket.wrap_client_stream(
            cast(trio.Nursery, _Readers(nursery, waiting)),
            cast(trio.SocketStream, stream),  # any will do
            endpoint.host_header,
            endpoint.base_path + request.target,
            extra_headers=[(k.encode(), v.encode()) for k, v in headers.items()],
            message_queue_size=MESSAGE_QUEUE_SIZE,
            max_message_size=MAX_MESSAGE_BYTES,
            receive_buffer_size=RECEIVE_BUFFER_BYTES,
        )
    raise ConnectionFailed(
        f"{endpoint.url} closed the connection during {request}; "
        "check BACKEND_ENDPOINT, and that the server is up"
    )


async def _open_stream(config: Config) -> trio.abc.Stream:
    """A connection to the server, through the proxy if there is one, with TLS if it has that."""
    endpoint = config.endpoint
    proxy = proxy_of(config)
    stream: trio.abc.Stream
    if proxy is not None:
        stream = await open_tunnel(config, proxy)
    else:
        stream = await trio.open_tcp_stream(endpoint.host, endpoint.port)
    if (context := tls_context(config)) is None:
        return PlainStream.of(stream) if isinstance(stream, trio.SocketStream) else stream
    secure = trio.SSLStream(stream, context, server_hostname=endpoint.host, https_compatible=True)
    try:
        await secure.do_handshake()
    except BaseException:
        with trio.move_on_after(ABORT_SECONDS, shield=True):
            await trio.aclose_forcefully(stream)
        raise
    return secure
