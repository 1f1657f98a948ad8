"""Opening WebSockets: signed, through proxies and TLS, and watched for signs of life."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import trio
from wsproto import events as ws

from .._groups import one_error
from ..config import Config
from ..errors import ConnectionFailed
from ..wire.http import Request
from .client import Client, log
from .plain_sockets import PlainStream
from .pools import tls_context
from .proxies import open_tunnel, proxy_of
from .websocket import ABORT_SECONDS, ConnectionClosed, WebSocket

__all__ = ["connect_websocket", "keep_alive", "open_websocket"]

WAKE_SECONDS = 5.0
"""How often silence is looked for. The wall clock's going ahead by more than this means that the
machine slept, and the server is asked at once."""
PING_SECONDS = 10.0
"""After so long without a byte from the server it is asked whether it is alive ..."""
PONG_SECONDS = 10.0
"""... and after so long without a byte the connection counts as dead: 25 s in all."""


@asynccontextmanager
async def open_websocket(
    client: Client,
    path: str,
    *,
    query: tuple[tuple[str, str], ...] = (),
    subprotocols: Sequence[str] = (),
) -> AsyncIterator[WebSocket]:
    """Open a WebSocket on the client's server; closed when the block ends.

    A server that is silent for 25 s although it was asked for a sign of life counts as dead, and
    the WebSocket as broken (`keep_alive`).

    Args:
        client: whose server.
        path: on the server, already percent-encoded.
        query: its query, if `path` does not hold that as well.
        subprotocols: names to offer.

    Raises:
        ApiError: the server refused the upgrade with an error of its own.
        ConnectionFailed: it cannot be reached, or did not finish the handshake in time.
    """
    with one_error():
        socket = await connect_websocket(client, path, query=query, subprotocols=subprotocols)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(keep_alive, lambda: socket)
            try:
                yield socket
            finally:
                await socket.aclose()  # noqa: ASYNC102 (it is shielded, and bounded)
                nursery.cancel_scope.cancel()


async def connect_websocket(
    client: Client,
    path: str,
    *,
    query: tuple[tuple[str, str], ...] = (),
    subprotocols: Sequence[str] = (),
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
            socket = WebSocket(await _open_stream(config))
            try:
                refusal = await socket.shake_hands(upgrade)
            except BaseException:  # cancelled, too: nobody else would close it
                await socket.abort()  # noqa: ASYNC102 (it is shielded)
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
        await socket.abort()
        raise client.error(request, refusal)
    log.debug("%s at %s -> WebSocket", request, endpoint.url)
    return socket


async def keep_alive(current: Callable[[], WebSocket | None], *, always_read: bool = False) -> None:
    """Break the connection to a server that is silent because it, or the way to it, is dead.

    Whoever receives hears `ConnectionClosed`. A receiver that is busy elsewhere says nothing about
    the server, nor does a server that has no time for pings but sends something: managers do not
    read while they execute (contract section 6.2).

    Args:
        current: the connection to watch now, if there is one.
        always_read: the server reads whatever its programs do. Elsewhere a message that it does
            not take may mean that a program does not, and TCP alone finds out whether it is alive.
    """
    wall, steady = time.time(), time.monotonic()
    while True:
        await trio.sleep(WAKE_SECONDS)
        slept = (time.time() - wall) - (time.monotonic() - steady)
        wall, steady = time.time(), time.monotonic()
        socket = current()
        if socket is None or (since := socket.waiting_since) is None:
            continue
        if slept < WAKE_SECONDS and trio.current_time() - since < PING_SECONDS:
            continue
        if socket.sending and not always_read:
            continue
        try:
            with trio.move_on_after(PONG_SECONDS) as patience:
                await socket.ping()
            if patience.cancelled_caught and socket.waiting_since == since:
                await socket.abort("the server gave no sign of life")
        except ConnectionClosed:
            pass  # the receiver notices


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
    except BaseException:  # cancelled, too: nobody else would close it
        with trio.move_on_after(ABORT_SECONDS, shield=True):
            await trio.aclose_forcefully(stream)
        raise
    return secure
