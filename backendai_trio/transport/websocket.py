"""Signed WebSocket connections, tuned for throughput."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
import trio_websocket

from .._groups import one_error
from ..config import Config
from ..errors import ConnectionFailed
from ..wire.http import Reply, Request, decode_problem
from .client import Client, log, tls_context

__all__ = ["connect_websocket", "open_websocket"]

# Measured at 4 KiB and 64 KiB frames: the library's defaults give 56 and 130 MB/s, these 130 and
# 700. The message limit is that of managers from 20.03 on (contract section 6.1).
RECEIVE_BUFFER_BYTES = 256 * 1024
MESSAGE_QUEUE_SIZE = 64
MAX_MESSAGE_BYTES = 16 * 1024 * 1024
CLOSE_SECONDS = 2.0
"""How long a polite end may take."""
ABORT_SECONDS = 1.0
"""Closing without a word takes no time to speak of; this bounds it all the same."""

Socket = trio.SocketStream | trio.SSLStream[trio.SocketStream]


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
                # When cancelled, the reader is gone that a polite end needs.
                if trio.current_effective_deadline() > -math.inf:
                    with trio.move_on_after(CLOSE_SECONDS, shield=True):
                        await connection.aclose()
                with trio.move_on_after(ABORT_SECONDS, shield=True):
                    await trio.aclose_forcefully(stream)
                nursery.cancel_scope.cancel()


async def connect_websocket(
    client: Client,
    nursery: trio.Nursery,
    path: str,
    *,
    query: tuple[tuple[str, str], ...] = (),
) -> tuple[trio_websocket.WebSocketConnection, Socket]:
    """Connect; the connection's reader runs in `nursery`. Returns it and the stream below it.

    The handshake is signed like any GET, with the content type that servers assume for a request
    that has none (contract section 2.2).

    Raises:
        ApiError, ConnectionFailed: as for `open_websocket`.
    """
    pair: tuple[trio_websocket.WebSocketConnection, Socket] = await nursery.start(
        _hold_socket, client, Request("GET", path, query)
    )
    return pair


async def _hold_socket(
    client: Client,
    request: Request,
    *,
    task_status: trio.TaskStatus[tuple[trio_websocket.WebSocketConnection, Socket]],
) -> None:
    """Connect, and hold the connection's reader until the connection has ended.

    The library reports a refused handshake from its reader; a nursery around both brings it here.
    """
    config = client.config
    endpoint = config.endpoint
    headers = client.signed_headers(request)
    del headers["Host"], headers["Content-Type"]  # the first is the library's to send
    try:
        with one_error():
            async with trio.open_nursery() as nursery:
                with trio.fail_after(config.connect_seconds):
                    stream = await _open_stream(config)
                    try:
                        # Given the stream, the library sends the Host text that was signed.
                        connection = await trio_websocket.wrap_client_stream(
                            nursery,
                            stream,
                            endpoint.host_header,
                            endpoint.base_path + request.target,
                            extra_headers=[(k.encode(), v.encode()) for k, v in headers.items()],
                            message_queue_size=MESSAGE_QUEUE_SIZE,
                            max_message_size=MAX_MESSAGE_BYTES,
                            receive_buffer_size=RECEIVE_BUFFER_BYTES,
                        )
                    except BaseException:
                        with trio.move_on_after(ABORT_SECONDS, shield=True):
                            await trio.aclose_forcefully(stream)
                        raise
                log.debug("%s at %s -> WebSocket", request, endpoint.url)
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


async def _open_stream(config: Config) -> Socket:
    """A TCP connection to the server, with TLS if it has that."""
    endpoint = config.endpoint
    stream = await trio.open_tcp_stream(endpoint.host, endpoint.port)
    if (context := tls_context(config)) is None:
        return stream
    secure = trio.SSLStream(stream, context, server_hostname=endpoint.host, https_compatible=True)
    try:
        await secure.do_handshake()
    except BaseException:
        with trio.move_on_after(ABORT_SECONDS, shield=True):
            await trio.aclose_forcefully(stream)
        raise
    return secure
