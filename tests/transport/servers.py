"""Servers and proxies that tests make up, on real sockets."""

from __future__ import annotations

import base64
import ipaddress
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
import trio

from backendai_trio import Client, Config, open_client
from backendai_trio.config.endpoints import parse_endpoint
from backendai_trio.gateway import Gateway
from backendai_trio.wire.http import Request
from backendai_trio.wire.versions import SESSION_6, Hello

KEYS = Config(parse_endpoint("http://127.0.0.1:1"), "AKIA" + "X" * 16, "very-secret-" + "s" * 28)
INFO = Request("GET", "/auth")

_ABSOLUTE = re.compile(rb"[A-Z]+ http://")

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


async def read_head(stream: trio.abc.Stream) -> bytes:
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

    async def handle(self, stream: trio.abc.Stream) -> None:
        head = await read_head(stream)
        if not head:
            return
        self.heads.append(head)
        method, target, _ = head.split(b" ", 2)
        wanted = base64.b64encode(b"user:" + self.password.encode())
        if self.password and b"Basic " + wanted not in head:
            await stream.send_all(reply(407, b"who are you?"))
            return
        head = b"\r\n".join(
            line for line in head.split(b"\r\n") if not line.startswith(b"Proxy-Authorization:")
        )
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

    async def secured(self, stream: trio.SocketStream, context: ssl.SSLContext) -> None:
        """Handle a connection over TLS."""
        await self.handle(trio.SSLStream(stream, context, server_side=True, https_compatible=True))

    async def _copy(
        self, source: trio.abc.Stream, target: trio.abc.Stream, scope: trio.CancelScope
    ) -> None:
        while data := bytes(await source.receive_some(65536)):
            if _ABSOLUTE.match(data):
                self.heads.append(data)
                _, url, _ = data.split(b" ", 2)
                data = data.replace(url, b"/" + url.split(b"/", 3)[3], 1)
            await target.send_all(data)
        scope.cancel()


class SocksProxy:
    """A small SOCKS proxy of both versions; it takes one user name and password, if any."""

    def __init__(self, credentials: tuple[bytes, bytes] | None = None) -> None:
        self.credentials = credentials
        self.asked: list[tuple[int, bytes]] = []
        """For each connection, the kind of address (1 for IPv4, 3 for a name) and the address."""
        self.refuses = False

    async def handle(self, stream: trio.SocketStream) -> None:
        version = (await self._read(stream, 1))[0]
        if version == 4:
            await self._handle_4(stream)
            return
        offered = await self._read(stream, (await self._read(stream, 1))[0])
        method = 0 if self.credentials is None else 2
        if method not in offered:
            await stream.send_all(b"\x05\xff")
            return
        await stream.send_all(bytes([5, method]))
        if method == 2:
            await self._read(stream, 1)
            user = await self._read(stream, (await self._read(stream, 1))[0])
            password = await self._read(stream, (await self._read(stream, 1))[0])
            good = (user, password) == self.credentials
            await stream.send_all(b"\x01\x00" if good else b"\x01\x01")
            if not good:
                return
        _, _, _, kind = await self._read(stream, 4)
        size = {1: 4, 4: 16}.get(kind) or (await self._read(stream, 1))[0]
        address = await self._read(stream, size)
        port = int.from_bytes(await self._read(stream, 2), "big")
        self.asked.append((kind, address))
        if self.refuses:
            await stream.send_all(b"\x05\x02\x00\x01" + bytes(6))
            return
        host = address.decode() if kind == 3 else str(ipaddress.ip_address(address))
        await self._connect(stream, host, port, b"\x05\x00\x00\x01" + bytes(6))

    async def _handle_4(self, stream: trio.SocketStream) -> None:
        await self._read(stream, 1)
        port = int.from_bytes(await self._read(stream, 2), "big")
        address = await self._read(stream, 4)
        while await self._read(stream, 1) != b"\0":
            pass
        self.asked.append((1, address))
        await self._connect(
            stream, str(ipaddress.ip_address(address)), port, b"\x00\x5a" + bytes(6)
        )

    async def _connect(
        self, stream: trio.SocketStream, host: str, port: int, answer: bytes
    ) -> None:
        async with await trio.open_tcp_stream(host, port) as server:
            await stream.send_all(answer)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._copy, stream, server, nursery.cancel_scope)
                nursery.start_soon(self._copy, server, stream, nursery.cancel_scope)

    async def _copy(
        self, source: trio.abc.Stream, target: trio.abc.Stream, scope: trio.CancelScope
    ) -> None:
        while data := await source.receive_some(65536):
            await target.send_all(data)
        scope.cancel()

    async def _read(self, stream: trio.SocketStream, size: int) -> bytes:
        data = b""
        while len(data) < size:
            data += (await stream.receive_some(size - len(data))) or b"\0"
        return data


def configure(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKEND_ENDPOINT", gateway.url)
    monkeypatch.setenv("BACKEND_ACCESS_KEY", gateway.config.access_key)
    monkeypatch.setenv("BACKEND_SECRET_KEY", gateway.config.secret_key)
