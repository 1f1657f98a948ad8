"""Signed WebSocket connections, tuned for throughput."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
import trio_websocket

from .._groups import one_error
from ..errors import ConnectionFailed, RemoteProtocolError
from ..wire.http import Reply, Request, decode_problem
from .client import Client, tls_context

__all__ = ["open_websocket"]

# Measured at 4 KiB and 64 KiB frames: the library's defaults give 56 and 130 MB/s, these 130 and
# 700. The message limit is that of managers from 20.03 on (contract section 6.1).
RECEIVE_BUFFER_BYTES = 256 * 1024
MESSAGE_QUEUE_SIZE = 64
MAX_MESSAGE_BYTES = 16 * 1024 * 1024


@asynccontextmanager
async def open_websocket(
    client: Client, path: str, *, query: tuple[tuple[str, str], ...] = ()
) -> AsyncIterator[trio_websocket.WebSocketConnection]:
    """Open a WebSocket on the client's server; closed when the block ends.

    The handshake is signed like any GET, with the content type that servers assume for a request
    that has none (contract section 2.2).

    Raises:
        ApiError: the server refused the upgrade with an error of its own.
        ConnectionFailed: it cannot be reached, or did not finish the handshake in time.
    """
    config = client.config
    request = Request("GET", path, query)
    headers = client.signed_headers(request)
    del headers["Host"], headers["Content-Type"]  # the first is the library's to send
    endpoint = config.endpoint
    context: ssl.SSLContext | None = tls_context(config)
    scheme = "wss" if endpoint.scheme == "https" else "ws"
    url = f"{scheme}://{endpoint.host_header}{endpoint.base_path}{request.target}"
    with one_error():
        async with trio.open_nursery() as nursery:
            try:
                with trio.fail_after(config.connect_seconds):
                    connection = await trio_websocket.connect_websocket_url(
                        nursery,
                        url,
                        ssl_context=context,
                        extra_headers=[(k.encode(), v.encode()) for k, v in headers.items()],
                        message_queue_size=MESSAGE_QUEUE_SIZE,
                        max_message_size=MAX_MESSAGE_BYTES,
                        receive_buffer_size=RECEIVE_BUFFER_BYTES,
                    )
            except trio_websocket.ConnectionRejected as exc:
                reply = Reply(exc.status_code, "", bytes(exc.body or b""))
                raise decode_problem(reply).as_error(str(request)) from None
            except (trio_websocket.HandshakeError, OSError, trio.BrokenResourceError) as exc:
                raise ConnectionFailed(
                    f"no WebSocket at {endpoint.url} for {request}: {exc}"
                ) from exc
            except trio.TooSlowError:
                raise ConnectionFailed(
                    f"{endpoint.url} did not open a WebSocket within {config.connect_seconds:g} s"
                ) from None
            try:
                yield connection
            except trio_websocket.ConnectionClosed as exc:
                raise RemoteProtocolError(
                    f"{request}: closed by the server ({exc.reason})"
                ) from exc
            finally:
                with trio.move_on_after(config.grace_seconds, shield=True):
                    await connection.aclose()
                nursery.cancel_scope.cancel()
