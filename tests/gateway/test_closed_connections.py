"""A connection that the client has closed is closed by the server as well, and at once."""

from __future__ import annotations

import logging
import socket
from functools import partial

import pytest
import trio
import trio.testing
from starlette.types import Receive, Scope, Send

from backendai_trio import Client
from backendai_trio._asgi import ServerLimits, serve_app
from backendai_trio.gateway import Gateway
from backendai_trio.proxy import open_proxy

from ..leaks.census import SETTLING_SECONDS, Place, settled

REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
WAYS = {
    "before a request": (b"", False),
    "in a request": (REQUEST[:-2], False),
    "before the response": (REQUEST, False),
    "after the response": (REQUEST, True),
}


async def leave(port: int, sent: bytes, *, read: bool) -> None:
    """Connect, send this, perhaps wait for a response, and close the connection."""
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(sent)
        if read:
            assert await stream.receive_some(65536)
        await trio.testing.wait_all_tasks_blocked()  # the server waits for more


@pytest.mark.parametrize("way", WAYS)
async def test_the_gateway_closes_it(gateway: Gateway, way: str) -> None:
    sent, read = WAYS[way]
    place = Place(())
    before = place.census()
    for _ in range(3):
        await leave(gateway.config.endpoint.port, sent, read=read)
    assert await settled(place, before) == []


async def test_the_signing_proxy_closes_it(client: Client) -> None:
    async with open_proxy(client) as proxy:
        port = int(proxy.url.rpartition(":")[2])
        await leave(port, REQUEST, read=True)  # it asks the gateway, over a connection that stays
        place = Place(())
        before = place.census()
        for _ in range(3):
            await leave(port, REQUEST, read=True)
        assert await settled(place, before) == []


UPLOAD = b"PUT / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n"
SOCKET = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
MESSAGE = b"\x82\xfe\xff\xff" + bytes(4) + bytes(0xFFFF)


class NoReader:
    """An application that answers in the end, and receives nothing of what it is sent."""

    def __init__(self) -> None:
        self.go_on = trio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            await self.go_on.wait()
            await send({"type": "websocket.close", "code": 1000})
            return
        await self.go_on.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"done", "more_body": False})


async def send_until_blocked(stream: trio.SocketStream, data: bytes) -> None:
    """Send this again and again, until the server reads no more."""
    sent = 0
    with trio.CancelScope() as scope:

        async def watch() -> None:
            before = -1
            while sent != before:
                before = sent
                await trio.testing.wait_all_tasks_blocked(0.1)
            scope.cancel()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch)
            while True:
                await stream.send_all(data)
                sent += 1


@pytest.mark.parametrize(
    ("head", "data"),
    [pytest.param(UPLOAD, bytes(65536), id="body"), pytest.param(SOCKET, MESSAGE, id="WebSocket")],
)
async def test_one_whose_input_nobody_reads_is_closed(head: bytes, data: bytes) -> None:
    app = NoReader()
    place = Place(())
    before = place.census()
    async with trio.open_nursery() as nursery:
        listener = socket.create_server(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        await nursery.start(partial(serve_app, app, listener, log=logging.getLogger("test")))
        serving = place.census()
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            await stream.send_all(head)
            received = await stream.receive_some() if head == SOCKET else b""
            await send_until_blocked(stream, data)
            app.go_on.set()
            try:
                with trio.fail_after(SETTLING_SECONDS):
                    async for chunk in stream:
                        received += chunk
            except trio.BrokenResourceError:
                pass  # the server has closed the connection with unread input
        assert received.startswith(b"HTTP/1.1 ")
        assert await settled(place, serving) == []
        nursery.cancel_scope.cancel()
    assert await settled(place, before) == []


async def test_sockets_that_are_written_to_after_their_end() -> None:
    """Each leaves its place to others, however much comes behind its end."""
    ended = trio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await receive()
        await ended.wait()

    place = Place(())
    async with trio.open_nursery() as nursery:
        listener = socket.create_server(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        limits = ServerLimits(connections=1)
        serve = partial(serve_app, log=logging.getLogger("test"), limits=limits)
        await nursery.start(serve, app, listener)
        serving = place.census()
        for _ in range(3):
            async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
                await stream.send_all(SOCKET)
                assert (await stream.receive_some()).startswith(b"HTTP/1.1 101 ")
                await stream.send_all(b"\x82\x81\0\0\0\0a" * 500)
                await trio.testing.wait_all_tasks_blocked(0.1)
                ended.set()
                try:
                    async for _ in stream:
                        pass
                except trio.BrokenResourceError:
                    pass  # closed with unread input
            assert await settled(place, serving) == []
            await trio.testing.wait_all_tasks_blocked(0.1)
            ended = trio.Event()
        nursery.cancel_scope.cancel()
