"""Opening WebSockets: signed, through proxies and TLS, on connections that notice a dead server."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import trio
from wsproto import events as ws

from .._groups import one_error
from ..errors import ConnectionFailed
from ..wire.http import Request
from .client import Client, log
from .connect import open_stream
from .pool import keepalive_options
from .websocket import ConnectionClosed, WebSocket

__all__ = ["connect_websocket", "open_websocket"]

# In seconds. A server that is gone is noticed by TCP, within 25 s: managers answer no pings while
# they execute, and send nothing while a run waits for its turn (section 4.3), so that their silence
# says nothing.
_IDLE, _INTERVAL, _PROBES = 10, 5, 3
_BEAT_SECONDS = 30.0


@asynccontextmanager
async def open_websocket(
    client: Client,
    path: str,
    *,
    query: tuple[tuple[str, str], ...] = (),
    subprotocols: Sequence[str] = (),
    may_stall: bool = False,
) -> AsyncIterator[WebSocket]:
    """Open a WebSocket on the client's server; closed when the block ends.

    Args:
        client: whose server.
        path: on the server, already percent-encoded.
        query: its query, if `path` does not hold that as well.
        subprotocols: names to offer.
        may_stall: what is sent may have to wait for long before a program reads it. Then only a
            connection on which nothing is under way is found dead within 25 s.

    Raises:
        ApiError: the server refused the upgrade with an error of its own.
        ConnectionFailed: it cannot be reached, or did not finish the handshake in time.
    """
    with one_error():
        opened = await connect_websocket(
            client, path, query=query, subprotocols=subprotocols, may_stall=may_stall
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_pass_time, opened)
            try:
                yield opened
            finally:
                await opened.aclose()  # noqa: ASYNC102 (it is shielded, and bounded)
                nursery.cancel_scope.cancel()


async def connect_websocket(
    client: Client,
    path: str,
    *,
    query: tuple[tuple[str, str], ...] = (),
    subprotocols: Sequence[str] = (),
    may_stall: bool = False,
) -> WebSocket:
    """Connect; the caller closes it.

    The handshake is signed like any GET, with the content type that servers assume for a request
    that has none (contract section 2.2).

    Raises:
        ApiError, ConnectionFailed: as for `open_websocket`.
    """
    config = client.config
    endpoint = config.api
    request = Request("GET", path, query)
    headers = client.signed_headers(request)
    del headers["Host"], headers["Content-Type"]  # the first is the protocol's to send
    upgrade = ws.Request(
        host=endpoint.host_header,
        target=endpoint.base_path + request.target,
        subprotocols=list(subprotocols),
        extra_headers=[(k.encode(), v.encode()) for k, v in headers.items()],
    )
    try:
        with trio.fail_after(config.connect_seconds):
            opened = WebSocket(
                await open_stream(
                    config, client.tls, socket_options=_socket_options(may_stall=may_stall)
                )
            )
            try:
                refusal = await opened.shake_hands(upgrade)
            except BaseException:  # cancelled, too: nobody else would close it
                await opened.abort()  # noqa: ASYNC102 (it is shielded)
                raise
    except trio.TooSlowError:
        raise ConnectionFailed(
            f"{endpoint.url} did not open a WebSocket within {config.connect_seconds:g} s"
        ) from None
    except trio.BrokenResourceError as exc:
        raise ConnectionFailed(
            f"{endpoint.url} closed the connection during {request}; "
            "check BACKEND_ENDPOINT, and that the server is up"
        ) from exc
    except (ConnectionFailed, OSError) as exc:
        raise ConnectionFailed(f"no WebSocket at {endpoint.url} for {request}: {exc}") from exc
    if refusal is not None:
        await opened.abort()
        raise client.error(request, refusal)
    log.debug("%s at %s -> WebSocket", request, endpoint.url)
    return opened


def _socket_options(*, may_stall: bool) -> list[tuple[int, int, int]]:
    """Let TCP notice a server that is gone, whether we wait for it or it for us."""
    options = keepalive_options(_IDLE, _INTERVAL, _PROBES)
    if not may_stall and hasattr(socket, "TCP_USER_TIMEOUT"):
        # It counts against a server that lives and has no room, too.
        milliseconds = 1000 * (_IDLE + _PROBES * _INTERVAL)
        options.append((socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds))
    return options


async def _pass_time(opened: WebSocket) -> None:
    """Send something now and then: proxies on the way close connections on which nothing passes.

    Nobody waits for the answers, which say nothing (see above).
    """
    while opened.closed is None:
        await trio.sleep(_BEAT_SECONDS)
        try:
            await opened.beat()
        except ConnectionClosed:
            return  # whoever receives notices as well
