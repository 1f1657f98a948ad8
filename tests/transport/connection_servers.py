"""Scripted servers for connections, and requests to them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import trio
import trio.testing

from backendai_trio.config.endpoints import parse_endpoint
from backendai_trio.config.settings import Config, Endpoint
from backendai_trio.transport.limits import Limits
from backendai_trio.transport.pool import ConnectionPool
from backendai_trio.transport.requests import OutgoingRequest

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


class Server:
    """Gives each connection a list of answers, one a request, and notes what it received."""

    def __init__(self, *scripts: list[bytes]) -> None:
        self.scripts = list(scripts)
        self.connections = 0
        self.requests: list[bytes] = []
        self.port = 0

    async def handle(self, stream: trio.SocketStream) -> None:
        self.connections += 1
        script = self.scripts.pop(0)
        try:
            async with stream:
                for answer in script:
                    self.requests.append(await self.request(stream))
                    await stream.send_all(answer)
        except trio.BrokenResourceError:
            pass

    async def request(self, stream: trio.SocketStream) -> bytes:
        data = bytearray()
        while b"\r\n\r\n" not in data:
            data += await stream.receive_some() or b"\r\n\r\n"
        return bytes(data)


@asynccontextmanager
async def opened(server: Server, **limits: float) -> AsyncIterator[ConnectionPool]:
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        await nursery.start(trio.serve_listeners, server.handle, listeners)
        server.port = listeners[0].socket.getsockname()[1]
        config = Config(parse_endpoint(f"http://127.0.0.1:{server.port}"), "", "")
        chosen = Limits(**{"keepalive_seconds": 60.0} | limits)  # type: ignore[arg-type]
        async with ConnectionPool(config, None, chosen) as pool:
            yield pool
        nursery.cancel_scope.cancel()


def request(
    server: Server,
    method: str = "GET",
    *,
    content: bytes | AsyncIterator[bytes] = b"",
    size: int | None = 0,
    headers: Mapping[str, str] | None = None,
    read: float = 10,
) -> OutgoingRequest:
    endpoint = Endpoint("http", "127.0.0.1", server.port, "")
    fields = {"Host": "h"} | dict(headers or {})
    return OutgoingRequest(endpoint, method, "/x", fields, content, size, read, read)


async def ask(pool: ConnectionPool, sent: OutgoingRequest) -> tuple[int, bytes]:
    response = await pool.request(sent)
    body = b""
    try:
        while piece := await response.receive_some():
            body += piece
    finally:
        response.close()
    return response.status, body
