"""Cancelled calls on WebSockets: nothing is lost, and nothing is sent in half."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import trio
import trio.testing
import trustme
from wsproto import events as ws

from backendai_trio.transport.websocket import ConnectionClosed, WebSocket
from backendai_trio.transport.websocket_connect import open_websocket

from .websocket_clients import begin_and_cancel, behind_tls, connected, say_hello, secure_client
from .websocket_servers import Peer, accepting, until_closed


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


async def test_cancelled_receiver_and_a_close() -> None:
    """A cancel that comes as the server closes does not hide how it closed."""
    close = trio.Event()

    async def script(peer: Peer) -> None:
        await close.wait()
        await peer.send(ws.CloseConnection(4001, "enough"))
        assert isinstance(await peer.next(), ws.CloseConnection)

    async with connected(script) as opened:
        close.set()
        with pytest.raises(ConnectionClosed) as caught:
            while True:
                with trio.CancelScope() as scope:
                    trio.lowlevel.current_trio_token().run_sync_soon(scope.cancel)
                    await opened.get_message()
        assert (caught.value.reason.code, caught.value.reason.reason) == (4001, "enough")


async def test_message_that_was_cancelled_before_its_turn_is_not_sent() -> None:
    """And costs nothing else: those before and behind it arrive."""
    read_on = trio.Event()
    received: list[ws.Event] = []

    async def script(peer: Peer) -> None:
        await read_on.wait()
        size = 0
        while size < len(large):
            event = await peer.next()
            assert isinstance(event, ws.BytesMessage)
            size += len(event.data)
        assert size == len(large)
        received.append(await peer.next())
        await until_closed(peer)

    large = bytes(20 * 1024 * 1024)  # more than any buffers hold
    async with connected(script) as opened, trio.open_nursery() as nursery:
        nursery.start_soon(opened.send_message, large)
        await trio.testing.wait_all_tasks_blocked(0.05)
        with trio.move_on_after(0.02) as scope:
            await opened.send_message("cancelled")
        assert scope.cancelled_caught
        nursery.start_soon(opened.send_message, "behind")
        await trio.testing.wait_all_tasks_blocked()
        read_on.set()
    assert [event.data for event in received if isinstance(event, ws.TextMessage)] == ["behind"]


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

    size = 20 * 1024 * 1024  # more than any buffers hold
    async with connected(script) as socket:
        await begin_and_cancel(socket, size)
        with pytest.raises(ConnectionClosed):
            await socket.send_message("next")
        await socket.aclose()
        look.set()
        await looked.wait()
    assert 0 < received < size


@pytest.mark.parametrize("way", ["plain", "tls"])
async def test_cancelled_receivers_and_pings(
    authority: trustme.CA, tmp_path: Path, way: str
) -> None:
    """A cancel that comes as a pong is due ends neither the connection nor a message.

    Over TLS each sending has several points where a cancel may come.
    """
    count = 300
    pongs = 0

    async def script(peer: Peer) -> None:
        nonlocal pongs
        for number in range(count):
            await peer.send(ws.Ping(b"%d" % number), ws.TextMessage(str(number)))
            assert isinstance(await peer.next(), ws.Pong)
            pongs += 1
        await until_closed(peer)

    async def receive_all(opened: WebSocket) -> None:
        got: list[str | bytes] = []
        token = trio.lowlevel.current_trio_token()
        steps = 0
        while len(got) < count:
            steps = (steps + 1) % 8
            with trio.CancelScope() as scope:
                # Now before something comes, now after it, and now in the same step.
                cancel: Callable[[], object] = scope.cancel
                for _ in range(steps):
                    cancel = partial(token.run_sync_soon, cancel)
                cancel()
                got.append(await opened.get_message())
                await trio.lowlevel.checkpoint()
            assert opened.closed is None
        assert got == [str(number) for number in range(count)]

    if way == "plain":
        async with connected(script) as opened:
            await receive_all(opened)
    else:
        certificate = authority.issue_cert("127.0.0.1")
        handlers = [
            behind_tls(certificate, say_hello),
            behind_tls(certificate, accepting(script)),
        ]
        async with (
            secure_client(authority, tmp_path, handlers) as client,
            open_websocket(client, "/socket") as opened,
        ):
            await receive_all(opened)
    assert pongs == count


async def test_message_that_was_cut_off_over_tls(authority: trustme.CA, tmp_path: Path) -> None:
    certificate = authority.issue_cert("127.0.0.1")
    done = trio.Event()

    async def script(peer: Peer) -> None:
        await done.wait()

    handlers = [
        behind_tls(certificate, say_hello),
        behind_tls(certificate, accepting(script)),
    ]
    async with secure_client(authority, tmp_path, handlers) as client:
        async with open_websocket(client, "/socket") as opened:
            await begin_and_cancel(opened, 20 * 1024 * 1024)
            with pytest.raises(ConnectionClosed):
                await opened.get_message()
        done.set()
