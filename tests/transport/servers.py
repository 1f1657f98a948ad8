"""Servers and proxies that tests make up, on real sockets."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
import trio

from backendai_trio import Client, Config, open_client
from backendai_trio.config.settings import parse_endpoint
from backendai_trio.gateway import Gateway
from backendai_trio.wire.http import Request
from backendai_trio.wire.versions import SESSION_6, Hello

KEYS = Config(parse_endpoint("http://127.0.0.1:1"), "AKIA" + "X" * 16, "very-secret-" + "s" * 28)
INFO = Request("GET", "/auth")

Handler = Callable[[trio.SocketStream], Awaitable[None]]


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[Config]:
    """A TCP server on loopback; gives settings that lead to it."""

    async def handle(stream: trio.SocketStream) -> None:
        try:
            await handler(stream)
        except trio.BrokenResourceError:
            pass  # the client has seen enough

    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        await nursery.start(trio.serve_listeners, handle, listeners)
        port = listeners[0].socket.getsockname()[1]
        yield replace(KEYS, endpoint=parse_endpoint(f"http://127.0.0.1:{port}"))
        nursery.cancel_scope.cancel()


async def read_head(stream: trio.SocketStream) -> bytes:
    """A request without a body, or the part of one before its body; b"" at the end."""
    data = b""
    while b"\r\n\r\n" not in data and (chunk := await stream.receive_some(65536)):
        data += chunk
    return data


def reply(status: int, body: bytes, content_type: str = "text/plain", *more: str) -> bytes:
    lines = [
        f"HTTP/1.1 {status} Whatever",
        f"Content-Type: {content_type}",
        f"Content-Length: {len(body)}",
        *more,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


HELLO = reply(200, Hello(SESSION_6.version).encode(), "application/json")


@asynccontextmanager
async def client_of(*replies: bytes) -> AsyncIterator[Client]:
    """A client of a server that says hello and then these replies, whatever it is asked."""
    rest = [HELLO, *replies]

    async def handle(stream: trio.SocketStream) -> None:
        while await read_head(stream):
            await stream.send_all(rest.pop(0))

    async with serving(handle) as config, open_client(config) as client:
        yield client


async def closed_port() -> int:
    """A port where nobody listens."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port: int = listener.socket.getsockname()[1]
    await listener.aclose()
    return port


class ForwardingProxy:
    """A small HTTP proxy that forwards absolute targets and tunnels CONNECT."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []
        self.password = ""
        self.refuses_connect = False

    async def handle(self, stream: trio.SocketStream) -> None:
        head = await read_head(stream)
        if not head:
            return
        self.heads.append(head)
        method, target, _ = head.split(b" ", 2)
        wanted = base64.b64encode(b"user:" + self.password.encode())
        if self.password and b"Basic " + wanted not in head:
            await stream.send_all(reply(407, b"who are you?"))
            return
        if self.refuses_connect and method == b"CONNECT":
            await stream.send_all(reply(403, b"not there"))
            return
        authority = target.removeprefix(b"http://").partition(b"/")[0].decode()
        host, _, port = authority.partition(":")
        async with await trio.open_tcp_stream(host, int(port)) as server:
            if method == b"CONNECT":
                await stream.send_all(b"HTTP/1.1 200 Go on\r\n\r\n")
            else:
                path = b"/" + target.removeprefix(b"http://").partition(b"/")[2]
                await server.send_all(head.replace(target, path, 1))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._copy, stream, server, nursery.cancel_scope)
                nursery.start_soon(self._copy, server, stream, nursery.cancel_scope)

    async def _copy(
        self, source: trio.SocketStream, target: trio.SocketStream, scope: trio.CancelScope
    ) -> None:
        async for chunk in source:
            data = bytes(chunk)
            if data.startswith((b"GET http", b"POST http", b"DELETE http")):
                self.heads.append(data)
                _, url, _ = data.split(b" ", 2)
                data = data.replace(url, b"/" + url.split(b"/", 3)[3], 1)
            await target.send_all(data)
        scope.cancel()


def configure(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKEND_ENDPOINT", gateway.url)
    monkeypatch.setenv("BACKEND_ACCESS_KEY", gateway.config.access_key)
    monkeypatch.setenv("BACKEND_SECRET_KEY", gateway.config.secret_key)
