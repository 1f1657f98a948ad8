"""WebSockets of the client, against a scripted server: messages, the end, and fairness."""

from __future__ import annotations

import socket
import threading
from dataclasses import replace
from functools import partial

import pytest
import trio
import trio.testing
import wsproto
from wsproto import events as ws

from backendai_trio import open_client
from backendai_trio.transport.websocket import CLOSE_SECONDS, ConnectionClosed
from backendai_trio.transport.websocket_connect import connect_websocket, open_websocket

from .servers import HELLO, serving
from .websocket_clients import connected, say_hello
from .websocket_servers import Peer, accepting, until_closed


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


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="an option of Linux")
@pytest.mark.parametrize("tunnel", [False, True])
async def test_tcp_notices_a_server_that_is_gone(tunnel: bool) -> None:
    """Within 25 s, whether something is under way or not; on loopback nothing is ever gone."""

    async def script(peer: Peer) -> None:
        await until_closed(peer)

    async with connected(script, tunnel=tunnel) as opened:
        stream = opened._transport._stream
        assert isinstance(stream, trio.SocketStream)
        option = partial(stream.socket.getsockopt, socket.IPPROTO_TCP)
        idle = option(socket.TCP_KEEPIDLE)
        assert idle + option(socket.TCP_KEEPINTVL) * option(socket.TCP_KEEPCNT) == 25
        assert stream.socket.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert option(socket.TCP_USER_TIMEOUT) == (0 if tunnel else 25_000)


async def test_senders_let_others_run() -> None:
    """A deadline and another task are heard while messages go out as fast as they are made."""
    listener = socket.create_server(("127.0.0.1", 0))

    def discard() -> None:
        """A server that reads as fast as it can; in a thread, so that it needs no turn."""
        for _ in range(2):
            connection, _ = listener.accept()
            with connection:
                head = b""
                while b"\r\n\r\n" not in head:
                    head += connection.recv(65536)
                if b"Upgrade" not in head:
                    connection.sendall(HELLO)
                    continue
                protocol = wsproto.WSConnection(wsproto.ConnectionType.SERVER)
                protocol.receive_data(head)
                connection.sendall(protocol.send(ws.AcceptConnection()))
                while connection.recv(1 << 20):
                    pass

    thread = threading.Thread(target=discard)
    thread.start()
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await trio.sleep(0.01)
            ticks += 1

    async with serving(say_hello) as config, trio.open_nursery() as nursery:
        endpoint = config.endpoint._replace(port=listener.getsockname()[1])
        async with (
            open_client(replace(config, endpoint=endpoint)) as client,
            open_websocket(client, "/socket") as opened,
        ):
            nursery.start_soon(tick)
            give_up = trio.current_time() + 5
            with trio.move_on_after(0.3) as scope:
                while trio.current_time() < give_up:
                    await opened.send_message(b"x" * 10)
            assert scope.cancelled_caught
            assert ticks >= 3
        nursery.cancel_scope.cancel()
    await trio.to_thread.run_sync(thread.join)
    listener.close()


async def test_every_call_is_a_checkpoint() -> None:
    async def script(peer: Peer) -> None:
        assert isinstance(await peer.next(), ws.TextMessage)
        await peer.send(ws.TextMessage("one"))
        await until_closed(peer)

    async with connected(script) as opened:
        with trio.testing.assert_checkpoints():
            await opened.send_message("go")
        await trio.testing.wait_all_tasks_blocked(0.01)
        with trio.testing.assert_checkpoints():  # it is there
            assert await opened.get_message() == "one"
        with trio.testing.assert_checkpoints():
            await opened.aclose()
        await opened.aclose()
        for call in (opened.get_message, partial(opened.send_message, "late")):
            with trio.testing.assert_checkpoints(), pytest.raises(ConnectionClosed):
                await call()


async def test_dropped_connection_leaves_no_task() -> None:
    """Whatever its tasks were doing; here the reader waits for room in its queue."""

    async def script(peer: Peer) -> None:
        while True:
            await peer.send(ws.BytesMessage(bytes(1000)))

    async with (
        serving(accepting(script)) as config,
        open_client(config) as client,
        trio.open_nursery() as nursery,
    ):
        for _ in range(3):
            opened = await connect_websocket(nursery, client, "/socket")
            await trio.testing.wait_all_tasks_blocked(0.05)
            await opened.abort()
            with pytest.raises(ConnectionClosed):
                await opened.get_message()
            await trio.testing.wait_all_tasks_blocked()
            assert not nursery.child_tasks


async def test_errors_of_the_block_come_out_as_they_are() -> None:
    async def script(peer: Peer) -> None:
        await until_closed(peer)

    error = LookupError("mine")
    with pytest.RaisesGroup(LookupError, flatten_subgroups=True) as caught:  # `serving` has groups
        async with connected(script):
            raise error
    assert caught.value.exceptions == (error,)


async def test_cancelled_block_does_not_wait_for_the_server() -> None:
    async def script(peer: Peer) -> None:
        await trio.sleep_forever()

    async with serving(accepting(script)) as config, open_client(config) as client:
        with trio.fail_after(0.75 * CLOSE_SECONDS), trio.CancelScope() as scope:
            async with open_websocket(client, "/socket"):
                scope.cancel()
                await trio.sleep_forever()
        assert scope.cancelled_caught
