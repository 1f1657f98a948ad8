"""Pings of WebSockets, and slow receivers."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from wsproto import events as ws

from backendai_trio.transport.websocket import CLOSE_SECONDS, ConnectionClosed

from .websocket_clients import connected
from .websocket_servers import Peer, until_closed


async def test_pings_pass_now_and_then_though_nobody_answers() -> None:
    """Or a proxy on the way would take the connection for idle."""
    pings = trio.Event()

    async def script(peer: Peer) -> None:
        for _ in range(3):
            assert isinstance(await peer.next(), ws.Ping)
        pings.set()
        await until_closed(peer)

    async with connected(script, ping_seconds=0.02) as opened:
        await pings.wait()
        assert opened.closed is None


async def test_ping_shows_whether_the_server_lives() -> None:
    async def script(peer: Peer) -> None:
        ping = await peer.next()
        assert isinstance(ping, ws.Ping)
        await peer.send(ping.response())
        assert isinstance(await peer.next(), ws.Ping)  # which is not answered
        asked.set()
        await until_closed(peer)

    asked = trio.Event()
    async with connected(script) as opened:
        await trio.testing.wait_all_tasks_blocked()
        since = opened.waiting_since
        assert since is not None
        opened.ping()
        while opened.waiting_since in (None, since):  # noqa: ASYNC110
            await trio.sleep(0.001)
        since = opened.waiting_since
        opened.ping()
        await asked.wait()
        await trio.testing.wait_all_tasks_blocked()
        assert opened.waiting_since == since


async def test_ping_that_waits_behind_a_message_is_sent() -> None:
    """And is not given up when the message before it has been sent."""
    read_on = trio.Event()
    pinged = trio.Event()

    async def script(peer: Peer) -> None:
        await read_on.wait()
        while not isinstance(await peer.next(), ws.Ping):
            pass
        pinged.set()
        await until_closed(peer)

    async with connected(script) as opened, trio.open_nursery() as nursery:
        nursery.start_soon(opened.send_message, bytes(20 * 1024 * 1024))
        await trio.testing.wait_all_tasks_blocked(0.05)
        opened.ping()
        await trio.testing.wait_all_tasks_blocked(0.05)
        read_on.set()
        await pinged.wait()


async def test_pings_are_answered_while_nobody_receives() -> None:
    answered = trio.Event()

    async def script(peer: Peer) -> None:
        await peer.send(ws.TextMessage("early"), ws.Ping(b"there?"))
        pong = await peer.next()
        assert isinstance(pong, ws.Pong) and bytes(pong.payload) == b"there?"
        answered.set()
        await until_closed(peer)

    async with connected(script) as opened:
        await answered.wait()
        assert await opened.get_message() == "early"


async def test_slow_receiver_slows_the_server_and_loses_nothing() -> None:
    """While the queue is full nothing is read, and a silent connection says nothing."""
    count = 3_000
    sent = 0

    async def script(peer: Peer) -> None:
        nonlocal sent
        for number in range(count):
            await peer.send(ws.BytesMessage(number.to_bytes(2, "big") * 2048))
            sent += 1
        await peer.send(ws.Ping(b"still there?"))
        pong = await peer.next()
        assert isinstance(pong, ws.Pong)
        await peer.send(ws.TextMessage("answered"))
        await until_closed(peer)

    async with connected(script) as opened:
        await trio.testing.wait_all_tasks_blocked(0.1)
        assert sent < count
        assert opened.waiting_since is None
        for number in range(count):
            assert await opened.get_message() == number.to_bytes(2, "big") * 2048
        assert await opened.get_message() == "answered"


async def test_ping_that_crosses_our_close_frame() -> None:
    """trio-websocket's reader fails then. No error of it comes out, and nothing waits for it."""

    async def script(peer: Peer) -> None:
        close = await peer.next()
        assert isinstance(close, ws.CloseConnection)
        await peer.stream.send_all(b"\x89\x00")
        await peer.stream.receive_some(65536)

    async with connected(script) as opened, trio.open_nursery() as nursery:

        async def receive() -> None:
            with pytest.raises(ConnectionClosed):
                await opened.get_message()

        nursery.start_soon(receive)
        await trio.testing.wait_all_tasks_blocked(0.01)
        with trio.fail_after(0.75 * CLOSE_SECONDS):
            await opened.aclose()
