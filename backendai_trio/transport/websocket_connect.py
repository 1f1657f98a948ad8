"""Opening WebSockets: signed, through proxies and TLS, on connections that notice a dead server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial

import trio
import trio_websocket

from .._groups import one_error
from ..config.settings import Endpoint
from ..errors import ConnectionFailed
from ..wire.http import Request, Response
from .client import Client
from .connect import SocketOption, keepalive_options, open_stream
from .exceptions import Unreachable
from .responses import log
from .websocket import NotUpgraded, Upgrade, WebSocket

__all__ = ["connect_websocket", "open_websocket"]

# In seconds: TCP notices within 25 s that a server is gone. Pings would not do: managers answer
# none while they execute code, and send nothing while a run waits for its turn (docs/protocol.md,
# section 4.3).
_IDLE, _INTERVAL, _PROBES = 10, 5, 3
_PING_SECONDS = 30.0
_RECEIVE_BYTES = 64 * 1024
_TUNNEL_RECEIVE_BYTES = 256 * 1024


@asynccontextmanager
async def open_websocket(
    client: Client,
    path: str,
    *,
    query: tuple[tuple[str, str], ...] = (),
    subprotocols: Sequence[str] = (),
    tunnel: bool = False,
    answer_seconds: float | None = None,
    ping_seconds: float = _PING_SECONDS,
) -> AsyncIterator[WebSocket]:
    """Open a WebSocket on the client's server; closed when the block ends.

    Args:
        client: the client of the server.
        path: on the server, already percent-encoded.
        query: its query, unless `path` contains that.
        subprotocols: names to offer.
        tunnel: the messages are chunks of a stream between two programs. Much is read at once, and
            what is sent may have to wait for long until a program reads it; so TCP notices within
            25 s that the server is gone only while nothing is being sent.
        answer_seconds: limit for the server's answer to the upgrade, once it is connected; None for
            `Config.answer_seconds`. Managers
            work before they answer. `Config.connect_seconds` limits the time until then.
        ping_seconds: how often to send a ping. Proxies on the way close idle connections, and
            managers end idle sessions.

    Raises:
        ApiError: the server refused the upgrade.
        ConnectionFailed: the server or the proxy cannot be reached, or did not answer in time.
    """
    with one_error():
        async with trio.open_nursery() as nursery:
            websocket = await connect_websocket(
                nursery,
                client,
                path,
                query=query,
                subprotocols=subprotocols,
                tunnel=tunnel,
                answer_seconds=answer_seconds,
                ping_seconds=ping_seconds,
            )
            try:
                yield websocket
            finally:
                await websocket.aclose()  # noqa: ASYNC102 (it is shielded, and bounded)


async def connect_websocket(
    nursery: trio.Nursery,
    client: Client,
    path: str,
    *,
    query: tuple[tuple[str, str], ...] = (),
    subprotocols: Sequence[str] = (),
    tunnel: bool = False,
    answer_seconds: float | None = None,
    ping_seconds: float = _PING_SECONDS,
) -> WebSocket:
    """Connect; the caller closes the WebSocket.

    The handshake is signed as a GET with the content type that servers assume for a request that
    has none (docs/protocol.md, section 2.2).

    Args:
        nursery: for the task that reads, which ends when the WebSocket is closed.
        client: as the others, see `open_websocket`.

    Raises:
        ApiError, ConnectionFailed: as for `open_websocket`.
    """
    options = _socket_options(tunnel=tunnel)
    request = Request("GET", path, query)
    tried: set[Endpoint] = set()
    while True:
        config = client.config
        headers = client.signed_headers(request)
        try:
            stream = await open_stream(config, client.tls, socket_options=options)
            break
        except Unreachable:
            tried.add(config.endpoint)
            if not client.leave_address(config.endpoint) or client.config.endpoint in tried:
                raise
    endpoint = config.api
    del headers["Host"], headers["Content-Type"]  # the library sends Host itself
    upgrade = Upgrade(
        endpoint.host_header,
        endpoint.base_path + request.target,
        list(headers.items()),
        subprotocols,
    )
    websocket = WebSocket(stream)
    try:
        await nursery.start(
            partial(
                websocket.run,
                upgrade,
                answer_seconds=(
                    config.answer_seconds if answer_seconds is None else answer_seconds
                ),
                ping_seconds=ping_seconds,
                receive_bytes=_TUNNEL_RECEIVE_BYTES if tunnel else _RECEIVE_BYTES,
            )
        )
    except trio_websocket.ConnectionRejected as refusal:
        if refusal.status_code < 300:
            raise ConnectionFailed(
                f"{endpoint.url} answered with HTTP status {refusal.status_code} in place of a "
                f"WebSocket during {request}; a proxy on the way may not pass WebSockets on"
            ) from None
        fields = {name.decode().lower(): value.decode("latin-1") for name, value in refusal.headers}
        response = Response(
            refusal.status_code, fields.get("content-type", ""), refusal.body or b"", fields
        )
        raise client.error(request, response) from None
    except NotUpgraded as exc:
        raise ConnectionFailed(
            f"{endpoint.url} {exc} during {request}; "
            "check BACKEND_ENDPOINT, and that the server is up"
        ) from exc
    log.debug("%s at %s -> WebSocket", request, endpoint.url)
    return websocket


def _socket_options(*, tunnel: bool) -> list[SocketOption]:
    """Let TCP notice a server that is gone. In a tunnel, bytes may wait for long to be read."""
    unacknowledged = None if tunnel else _IDLE + _PROBES * _INTERVAL
    return keepalive_options(_IDLE, _INTERVAL, _PROBES, unacknowledged=unacknowledged)
