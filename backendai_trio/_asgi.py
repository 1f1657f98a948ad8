"""Serving an application on a socket that listens: what the gateway and the proxy stand on."""

from __future__ import annotations

import logging
import os
import socket
import stat
import sys
from pathlib import Path
from typing import cast

import hypercorn.trio
import hypercorn.trio.tcp_server
import trio
from hypercorn.config import Config as HypercornConfig
from hypercorn.typing import ASGIFramework
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["drop_connections", "serve_app"]

_INTERNET = (socket.AF_INET, socket.AF_INET6)
_READ_BYTES = 1024 * 1024
"""How much the HTTP server reads at once. Each piece takes it 0.1 ms, whatever its size: with the
64 KiB that it has by itself, and no setting for, a large upload took twice the time."""
_DRAIN_BYTES = 64 * 1024 * 1024
_SILENCE_SECONDS = 0.25


async def serve_app(
    app: ASGIApp,
    listener: socket.socket,
    *,
    log: logging.Logger,
    certificate: tuple[Path, Path] | None = None,
    dated: bool = True,
    task_status: trio.TaskStatus[list[str]],
) -> None:
    """Serve an application until cancelled.

    Args:
        app: the application; it gets requests alone, and nothing to start up or shut down.
        listener: a socket that listens; the server closes it.
        log: where the server's own failures go.
        certificate: PEM files of a certificate chain and its key; None serves plain HTTP.
        dated: whether each answer gets a Date header; no, when the application gives them one.
        task_status: gets the addresses.
    """
    hypercorn.trio.tcp_server.MAX_RECV = _READ_BYTES
    config = HypercornConfig()
    config.bind = [f"fd://{listener.detach()}"]
    config.accesslog = None
    config.errorlog = log
    config.loglevel = "WARNING"
    config.alpn_protocols = ["http/1.1"]
    config.graceful_timeout = 0.5
    config.keep_alive_timeout = 75.0
    config.keep_alive_max_requests = sys.maxsize
    config.include_server_header = False
    config.include_date_header = dated
    if certificate is not None:
        config.certfile, config.keyfile = map(str, certificate)

    async def requests_only(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            refusals = _Refusals(receive, send)
            await app(scope, refusals.receive, refusals.send)
            return
        if scope["type"] != "lifespan":
            await app(scope, receive, send)
            return
        for phase in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{phase}.complete"})

    await hypercorn.trio.serve(
        cast(ASGIFramework, requests_only), config, task_status=task_status, mode="asgi"
    )


class _Refusals:
    """Lets a client hear why its request is refused, though it is sending yet.

    The HTTP server closes a connection whose answer ends before its request, and that may take the
    answer with it; so the answer's end waits for that of the request, as far as little is left.
    """

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._read_whole = False
        self._refused = False

    async def receive(self) -> Message:
        """What the application receives."""
        message = await self._receive()
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            self._read_whole = True
        return message

    async def send(self, message: Message) -> None:
        """What the application sends."""
        if message["type"] == "http.response.start":
            self._refused = message["status"] >= 400
        elif self._refused and not self._read_whole and not message.get("more_body", False):
            await self._send({**message, "more_body": True})
            await self._read_on()
            message = {"type": "http.response.body", "body": b"", "more_body": False}
        await self._send(message)

    async def _read_on(self) -> None:
        left = _DRAIN_BYTES
        while not self._read_whole and left > 0:
            # A client that is silent has waited for the answer before it sends its body.
            with trio.move_on_after(_SILENCE_SECONDS) as patience:
                left -= len((await self.receive()).get("body", b""))
            if patience.cancelled_caught:
                return


def drop_connections(port: int) -> None:
    """Shut down what is still connected to a port of ours.

    The HTTP server shields its writes from cancellation, and keeps its connections to itself: a
    client that has stopped reading would hold it for ever. So they are found as the operating
    system's: every socket of this process whose own end is that port.
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
