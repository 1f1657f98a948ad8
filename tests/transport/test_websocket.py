"""WebSockets of the client, against a server that can do what servers may do."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio
import trio.testing
import wsproto
from wsproto import events as ws

from backendai_trio import ApiError, open_client
from backendai_trio.transport import websocket_connect as upgrades
from backendai_trio.transport.websocket import MAX_MESSAGE_BYTES, ConnectionClosed, WebSocket
from backendai_trio.transport.websocket_connect import open_websocket

from .servers import HELLO, read_head, reply, serving


class Peer:
    """The server's end."""

    def __init__(self, stream: trio.SocketStream, head: bytes) -> None:
        self.stream = stream
        self.protocol = wsproto.WSConnection(wsproto.ConnectionType.SERVER)
        self.protocol.receive_data(head)
        (request,) = self.protocol.events()
        assert isinstance(request, ws.Request)

    async def send(self, *events: ws.Event) -> None:
        await self.stream.send_all(b"".join(map(self.protocol.send, events)))

    async def next(self) -> ws.Event:
        while True:
            for event in self.protocol.events():
                return event
            data = await self.stream.receive_some(65536)
            self.protocol.receive_data(data or None)


Script = Callable[[Peer], Awaitable[None]]


@asynccontextmanager
async def connected(script: Script, *, may_stall: bool = False) -> AsyncIterator[WebSocket]:
    """A WebSocket to a server that accepts it and goes on with `script`."""

    async def handle(stream: trio.SocketStream) -> None:
        while head := await read_head(stream):
            if b"Upgrade" not in head:
                await stream.send_all(HELLO)
                continue
            peer = Peer(stream, head)
            await peer.send(ws.AcceptConnection())
            await script(peer)
            return

    async with (
        serving(handle) as config,
        open_client(config) as client,
        open_websocket(client, "/socket", may_stall=may_stall) as opened,
    ):
        yield opened


async def until_closed(peer: Peer) -> ws.CloseConnection:
    """What the client closes with, answered."""
    while not isinstance(event := await peer.next(), ws.CloseConnection):
        pass
    await peer.send(event.response())
    return event


async def test_messages_whole_and_in_pieces() -> None:
    async def script(peer: Peer) -> None:
        text = await peer.next()
        data = await peer.next()
        assert isinstance(text, ws.TextMessage) and isinstance(data, ws.BytesMessage)
        assert (text.data, bytes(data.data)) == ("grüß dich", b"\x00\xff")
        await peer.send(
            ws.TextMessage("one ", message_finished=False),
            ws.Ping(b"between the pieces"),
            ws.TextMessage("tw", message_finished=False),
            ws.TextMessage("o"),
            ws.BytesMessage(b""),
            ws.BytesMessage(b"\x01", message_finished=False),
            ws.BytesMessage(b"\x02"),
        )
        pong = await peer.next()
        assert isinstance(pong, ws.Pong) and bytes(pong.payload) == b"between the pieces"
        await until_closed(peer)

    async with connected(script) as socket:
        await socket.send_message("grüß dich")
        await socket.send_message(b"\x00\xff")
        assert [await socket.get_message() for _ in range(3)] == ["one two", b"", b"\x01\x02"]


@pytest.mark.parametrize("code", [1000, 1001, 4001])
async def test_the_servers_goodbye(code: int) -> None:
    async def script(peer: Peer) -> None:
        await peer.send(ws.TextMessage("last"), ws.CloseConnection(code, "enough"))
        assert isinstance(await peer.next(), ws.CloseConnection)

    async with connected(script) as socket:
        assert await socket.get_message() == "last"
        for _ in range(2):
            with pytest.raises(ConnectionClosed) as caught:
                await socket.get_message()
            assert (caught.value.reason.code, caught.value.reason.reason) == (code, "enough")
        with pytest.raises(ConnectionClosed):
            await socket.send_message("too late")


async def test_our_goodbye() -> None:
    said: list[ws.CloseConnection] = []

    async def script(peer: Peer) -> None:
        said.append(await until_closed(peer))

    async with connected(script) as socket:
        async with trio.open_nursery() as nursery:

            async def receive() -> None:
                with pytest.raises(ConnectionClosed):
                    await socket.get_message()

            nursery.start_soon(receive)
            await trio.testing.wait_all_tasks_blocked(0.01)
            await socket.aclose(4000, "going")
        assert socket.closed is not None and socket.closed.code == 4000
    assert [(event.code, event.reason) for event in said] == [(4000, "going")]


async def test_a_server_that_hangs_up() -> None:
    async def script(peer: Peer) -> None:
        await peer.send(ws.BytesMessage(b"half", message_finished=False))

    async with connected(script) as socket:
        with pytest.raises(ConnectionClosed) as caught:
            await socket.get_message()
        assert caught.value.reason.code == 1006


async def test_pings() -> None:
    async def script(peer: Peer) -> None:
        ping = await peer.next()
        assert isinstance(ping, ws.Ping)
        await peer.send(ping.response())
        await peer.next()
        await peer.stream.aclose()

    async with connected(script) as socket, trio.open_nursery() as nursery:

        async def receive() -> None:
            with pytest.raises(ConnectionClosed):
                await socket.get_message()

        nursery.start_soon(receive)
        await socket.ping()
        with pytest.raises(ConnectionClosed):  # nobody answers the second one
            await socket.ping()


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="an option of Linux")
@pytest.mark.parametrize("may_stall", [False, True])
async def test_tcp_notices_a_server_that_is_gone(may_stall: bool) -> None:
    """Within 25 s, whether something is under way or not; on loopback nothing is ever gone."""

    async def script(peer: Peer) -> None:
        await until_closed(peer)

    async with connected(script, may_stall=may_stall) as opened:
        stream = opened._stream
        assert isinstance(stream, trio.SocketStream)
        option = partial(stream.socket.getsockopt, socket.IPPROTO_TCP)
        idle = option(socket.TCP_KEEPIDLE)
        assert idle + option(socket.TCP_KEEPINTVL) * option(socket.TCP_KEEPCNT) == 25
        assert stream.socket.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert option(socket.TCP_USER_TIMEOUT) == (0 if may_stall else 25_000)


async def test_something_passes_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or a proxy on the way would take the connection for idle. Nobody has to receive."""
    monkeypatch.setattr(upgrades, "_BEAT_SECONDS", 0.02)
    beats = trio.Event()

    async def script(peer: Peer) -> None:
        for _ in range(3):
            assert isinstance(await peer.next(), ws.Ping)
        beats.set()
        await until_closed(peer)

    async with connected(script):
        await beats.wait()


async def test_a_cancelled_receiver_loses_nothing() -> None:
    go_on = trio.Event()

    async def script(peer: Peer) -> None:
        await peer.send(ws.TextMessage("wh", message_finished=False))
        await go_on.wait()
        await peer.send(ws.TextMessage("ole"))
        await until_closed(peer)

    async with connected(script) as socket:
        for _ in range(3):
            with trio.move_on_after(0.02):
                await socket.get_message()
        go_on.set()
        assert await socket.get_message() == "whole"


async def test_after_a_message_that_was_cut_off_nothing_follows() -> None:
    """Half a frame is out: a goodbye behind it would be taken for its other half."""
    received = 0
    look = trio.Event()
    looked = trio.Event()

    async def script(peer: Peer) -> None:
        nonlocal received
        await look.wait()
        while data := await peer.stream.receive_some(1 << 20):
            received += len(data)
        looked.set()

    size = 64 * 1024 * 1024  # more than any buffers hold
    async with connected(script) as socket:
        with trio.move_on_after(0.2) as scope:
            await socket.send_message(bytes(size))
        assert scope.cancelled_caught
        with pytest.raises(ConnectionClosed):
            await socket.send_message("next")
        await socket.aclose()
        look.set()
        await looked.wait()
    assert 0 < received < size


async def test_a_message_without_end_is_refused() -> None:
    said: list[ws.CloseConnection] = []

    async def script(peer: Peer) -> None:
        piece = bytes(1 << 20)
        with pytest.raises(trio.BrokenResourceError):
            for _ in range(2 * MAX_MESSAGE_BYTES // len(piece)):
                await peer.send(ws.BytesMessage(piece, message_finished=False))
            said.append(await until_closed(peer))
            raise trio.BrokenResourceError

    async with connected(script) as socket:
        with pytest.raises(ConnectionClosed) as caught:
            await socket.get_message()
        assert caught.value.reason.code == 1009


async def test_what_is_no_frame() -> None:
    async def script(peer: Peer) -> None:
        await peer.stream.send_all(b"\xff" * 100)
        await peer.stream.receive_some(65536)

    async with connected(script) as socket:
        with pytest.raises(ConnectionClosed) as caught:
            await socket.get_message()
        assert caught.value.reason.code == 1002


async def test_a_refusal_in_pieces() -> None:
    async def handle(stream: trio.SocketStream) -> None:
        while head := await read_head(stream):
            if b"Upgrade" not in head:
                await stream.send_all(HELLO)
                continue
            body = b'{"type": "https://api.backend.ai/probs/session-not-found", "title": "None"}'
            answer = reply(404, body, "application/problem+json")
            for start in range(0, len(answer), 40):
                await stream.send_all(answer[start : start + 40])
            return

    async with serving(handle) as config, open_client(config) as client:
        with pytest.raises(ApiError) as caught:
            async with open_websocket(client, "/socket"):
                pass
        assert (caught.value.status, caught.value.kind) == (404, "session-not-found")
