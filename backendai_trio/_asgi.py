"""Serving an application on a listening socket: what the gateway and the proxy stand on."""

from __future__ import annotations

import logging
import os
import socket
import stat
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config as HypercornConfig
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ASGIFramework, ConnectionState
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ._http_connection import HttpConnection
from ._read_share import ReadShare

__all__ = ["ServerLimits", "drop_connections", "serve_app"]

_INTERNET = (socket.AF_INET, socket.AF_INET6)
_SILENCE_SECONDS = 0.25
_TURN_AWAY_SECONDS = 1.0
_TOO_MANY = b"""\
HTTP/1.1 503 Service Unavailable\r
Content-Type: application/problem+json\r
Content-Length: 33\r
Connection: close\r
\r
{"title": "Too many connections"}"""

_Listener = trio.SSLListener[trio.SocketStream] | trio.SocketListener


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerLimits:
    """What a server takes of its clients before the application sees any of it."""

    connections: int = 1000
    """How many there may be at once; further ones are answered with status 503, and closed."""
    head_bytes: int = 16 * 1024
    """For the head of a request."""
    message_bytes: int = 16 * 1024 * 1024
    """For a message of a WebSocket."""
    head_seconds: float = 75.0
    """For the whole head of a request to arrive, and for the pause before it; also for the
    handshake of TLS."""
    rest_bytes: int = 64 * 1024 * 1024
    """How much of a request is still read after it was refused, so that its client gets to read
    the refusal."""
    rest_seconds: float = 10.0
    """For how long."""


async def serve_app(
    app: ASGIApp,
    listener: socket.socket,
    *,
    log: logging.Logger,
    certificate: tuple[Path, Path] | None = None,
    dated: bool = True,
    limits: ServerLimits | None = None,
    task_status: trio.TaskStatus[list[_Listener]],
) -> None:
    """Serve an application until cancelled.

    Args:
        app: the application. It gets requests and WebSockets, and no startup or shutdown.
        listener: a socket that listens; it is closed at the end.
        log: for the server's own failures.
        certificate: PEM files of a certificate chain and its key; None serves plain HTTP.
        dated: whether each response gets a Date header; no, when the application sets it.
        limits: what clients may take; default: `ServerLimits()`.
        task_status: told once connections are accepted.
    """
    limits = limits or ServerLimits()
    config = _config_of(limits, log, certificate, dated=dated)
    context = WorkerContext(None)

    async def refusing(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            refusals = _Refusals(receive, send, limits)
            receive, send = refusals.receive, refusals.send
        await app(scope, receive, send)

    wrapped = ASGIWrapper(cast(ASGIFramework, refusing))
    shares = ReadShare()
    open_now = 0

    async def serve_connection(stream: trio.SSLStream[trio.SocketStream]) -> None:
        nonlocal open_now
        if open_now >= limits.connections:
            await _turn_away(stream)
            return
        open_now += 1
        try:
            state = ConnectionState({})
            with shares.connection() as share:
                await HttpConnection(wrapped, config, context, state, stream, share=share).run()
        except Exception:  # it concerns this connection only, not the server
            log.exception("a connection has failed")
            await trio.aclose_forcefully(stream)
        finally:
            open_now -= 1

    await trio.serve_listeners(
        serve_connection, [_listener_of(listener, config)], task_status=task_status
    )


def _config_of(
    limits: ServerLimits, log: logging.Logger, certificate: tuple[Path, Path] | None, *, dated: bool
) -> HypercornConfig:
    config = HypercornConfig()
    config.accesslog = None
    config.errorlog = log
    config.loglevel = "WARNING"
    config.alpn_protocols = ["http/1.1"]
    config.h11_max_incomplete_size = limits.head_bytes
    config.max_app_queue_size = sys.maxsize  # `HttpConnection` has a limit of its own
    config.websocket_max_message_size = limits.message_bytes
    config.keep_alive_timeout = config.ssl_handshake_timeout = limits.head_seconds
    config.keep_alive_max_requests = sys.maxsize
    config.include_server_header = False
    config.include_date_header = dated
    if certificate is not None:
        config.certfile, config.keyfile = map(str, certificate)
    return config


def _listener_of(listener: socket.socket, config: HypercornConfig) -> _Listener:
    plain = trio.SocketListener(trio.socket.from_stdlib_socket(listener))
    context = config.create_ssl_context()
    return plain if context is None else trio.SSLListener(plain, context, https_compatible=True)


async def _turn_away(stream: trio.abc.Stream) -> None:
    """Answer a connection that is one too many; closed without an answer if it uses TLS, since the
    handshake would cost more than a request."""
    try:
        with trio.move_on_after(_TURN_AWAY_SECONDS):
            if isinstance(stream, trio.SocketStream):
                await stream.send_all(_TOO_MANY)
                await stream.send_eof()
                # A connection that is closed while its client still sends loses the answer.
                while await stream.receive_some():
                    pass
    except trio.BrokenResourceError:
        pass
    await trio.aclose_forcefully(stream)


class _Refusals:
    """Delivers a refusal to a client that is still sending its request.

    The HTTP server closes a connection whose response ends before the request, and the client may
    lose the response by that. So the end of the response waits for the end of the request, as long
    as not too much of it is left.
    """

    def __init__(self, receive: Receive, send: Send, limits: ServerLimits) -> None:
        self._receive = receive
        self._send = send
        self._limits = limits
        self._read_whole = False
        self._refused = False

    async def receive(self) -> Message:
        """Receive for the application; see ASGI's ``receive``."""
        message = await self._receive()
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            self._read_whole = True
        return message

    async def send(self, message: Message) -> None:
        """Send for the application; see ASGI's ``send``."""
        if message["type"] == "http.response.start":
            self._refused = message["status"] >= 400
        elif self._refused and not self._read_whole and not message.get("more_body", False):
            await self._send({**message, "more_body": True})
            await self._read_on()
            message = {"type": "http.response.body", "body": b"", "more_body": False}
        await self._send(message)

    async def _read_on(self) -> None:
        left = self._limits.rest_bytes
        with trio.move_on_after(self._limits.rest_seconds):
            while not self._read_whole and left > 0:
                # A silent client waits for the response before it sends its body.
                with trio.move_on_after(_SILENCE_SECONDS) as waiting:
                    left -= len((await self.receive()).get("body", b""))
                if waiting.cancelled_caught:
                    return


def drop_connections(port: int) -> None:
    """Shut down the connections that clients still have to a port of this process.

    The HTTP server shields its writes from cancellation and keeps its connections to itself: a
    client that has stopped reading would hold it forever. So they are found as descriptors: every
    socket of this process whose local end is that port.
    """
    try:
        # A list, since the listing's own descriptor vanishes while it is read.
        names = os.listdir("/proc/self/fd")  # noqa: PTH208
    except OSError:
        return  # not Linux: a client that has stopped reading must be waited for
    for name in names:
        try:
            if not stat.S_ISSOCK(os.fstat(int(name)).st_mode):
                continue
            with socket.socket(fileno=os.dup(int(name))) as connection:
                if connection.family in _INTERNET and connection.getsockname()[1] == port:
                    connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            continue  # closed meanwhile, or not connected
