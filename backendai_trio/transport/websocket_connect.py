"""Opening WebSockets: signed, through proxies and TLS, on connections that notice a dead server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from http import HTTPStatus

import trio
import trio_websocket

from .._groups import one_error
from ..config.settings import Config
from ..errors import ConnectionFailed, WebSocketsBlocked
from ..wire.http import Request, Response
from .client import Client, WaitSeconds
from .connect import SocketOption, keepalive_options, open_stream
from .responses import log
from .websocket import NotUpgraded, Upgrade, WebSocket

__all__ = ["connect_websocket", "open_websocket"]

_NO_UPGRADE_KIND = "generic-bad-request"
"""Of the answer to a stream without an upgrade (docs/protocol.md, section 6)."""
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
    answer_seconds: WaitSeconds = "ordinary",
    ping_seconds: float = _PING_SECONDS,
    waits: bool = True,
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
        answer_seconds: limit for the server's answer to the upgrade, once it is connected. Managers
            work before they answer. `Config.connect_seconds` limits the time until then.
        ping_seconds: how often to send a ping. Proxies on the way close idle connections, and
            managers end idle sessions.
        waits: whether to ask again, for `Limits.rate_limited_seconds`, if the server takes no more
            requests of the key pair for now.

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
                waits=waits,
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
    answer_seconds: WaitSeconds = "ordinary",
    ping_seconds: float = _PING_SECONDS,
    waits: bool = True,
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
    request = Request("GET", path, query)
    options = _socket_options(tunnel=tunnel)

    async def connect(config: Config) -> WebSocket:
        headers = client.signed_headers(request)
        del headers["Host"], headers["Content-Type"]  # the library sends Host itself
        stream = await open_stream(config, client.tls, socket_options=options)
        upgrade = Upgrade(
            config.api.host_header,
            config.api.base_path + request.target,
            list(headers.items()),
            subprotocols,
        )
        websocket = WebSocket(stream)
        run = partial(
            websocket.run,
            upgrade,
            answer_seconds=client.seconds(answer_seconds),
            ping_seconds=ping_seconds,
            receive_bytes=_TUNNEL_RECEIVE_BYTES if tunnel else _RECEIVE_BYTES,
        )
        with _map_refusals(client, request, config.api.url):
            await nursery.start(run)
        log.debug("%s at %s -> WebSocket", request, config.api.url)
        return websocket

    return await client.sender.repeat(connect, waits=waits)


@contextmanager
def _map_refusals(client: Client, request: Request, url: str) -> Iterator[None]:
    """Turn a handshake's failures into the library's errors."""
    try:
        yield
    except trio_websocket.ConnectionRejected as refusal:
        status = refusal.status_code
        fields = {name.decode().lower(): value.decode("latin-1") for name, value in refusal.headers}
        response = Response(status, fields.get("content-type", ""), refusal.body or b"", fields)
        if status >= 300:
            error = client.error(request, response)
            if status != HTTPStatus.UPGRADE_REQUIRED and error.kind != _NO_UPGRADE_KIND:
                raise error from None
        raise WebSocketsBlocked(
            f"{url} answered with HTTP status {status} in place of a WebSocket; a proxy on "
            "the way does not pass WebSockets on: let it send the headers Upgrade and Connection",
            request=str(request),
            url=url,
        ) from None
    except NotUpgraded as exc:
        raise ConnectionFailed(
            f"{url} {exc}; check BACKEND_ENDPOINT, and that the server is up", request=str(request)
        ) from exc


def _socket_options(*, tunnel: bool) -> list[SocketOption]:
    """Let TCP notice a server that is gone. In a tunnel, bytes may wait for long to be read."""
    unacknowledged = None if tunnel else _IDLE + _PROBES * _INTERVAL
    return keepalive_options(_IDLE, _INTERVAL, _PROBES, unacknowledged=unacknowledged)
