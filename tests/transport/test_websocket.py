"""WebSockets of the client, against a server that can do what servers may do."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
import trustme
import wsproto
from wsproto import events as ws

from backendai_trio import ApiError, Client, ConnectionFailed, NotFound, open_client
from backendai_trio.gateway import Gateway
from backendai_trio.transport.websocket import (
    CLOSE_SECONDS,
    MAX_MESSAGE_BYTES,
    ConnectionClosed,
    WebSocket,
)
from backendai_trio.transport.websocket_connect import connect_websocket, open_websocket

from .servers import HELLO, Handler, read_head, reply, serving
from .websocket_servers import Peer, Script, accepting, until_closed, upgrading


@asynccontextmanager
async def connected(script: Script, **options: Any) -> AsyncIterator[WebSocket]:
    """A WebSocket to a server that accepts it and goes on with `script`."""
    async with (
        serving(accepting(script)) as config,
        open_client(config) as client,
        open_websocket(client, "/socket", **options) as opened,
    ):
        yield opened


async def begin_and_cancel(opened: WebSocket, size: int) -> None:
    """Send a message that is larger than any buffers, and cancel that when they are full."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(opened.send_message, bytes(size))
        await trio.testing.wait_all_tasks_blocked(0.1)
        assert opened.closed is None
        nursery.cancel_scope.cancel()


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


# --- pings ---------------------------------------------------------------------------------------


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


# --- cancellation --------------------------------------------------------------------------------


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


# --- the handshake -------------------------------------------------------------------------------


async def test_a_refusal_in_pieces() -> None:
    async def refuse(stream: trio.SocketStream, head: bytes) -> None:
        body = b'{"type": "https://api.backend.ai/probs/session-not-found", "title": "None"}'
        answer = reply(404, body, "application/problem+json")
        for start in range(0, len(answer), 40):
            await stream.send_all(answer[start : start + 40])

    async with serving(upgrading(refuse)) as config, open_client(config) as client:
        with pytest.raises(NotFound) as caught:
            async with open_websocket(client, "/socket"):
                pass
        assert (caught.value.status, caught.value.kind) == (404, "session-not-found")


@pytest.mark.parametrize(
    ("answer", "status", "text"),
    [
        (reply(502, b"<h1>Bad gateway</h1>"), 502, "Bad gateway"),
        (reply(503, b""), 503, "503 without a body"),
        (reply(302, b"", "text/plain", "Location: http://elsewhere/"), 302, "elsewhere"),
    ],
)
async def test_refusals_of_servers_on_the_way(answer: bytes, status: int, text: str) -> None:
    async def refuse(stream: trio.SocketStream, head: bytes) -> None:
        await stream.send_all(answer)
        await stream.receive_some(1)

    async with serving(upgrading(refuse)) as config, open_client(config) as client:
        with pytest.raises(ApiError, match=text) as caught:
            async with open_websocket(client, "/socket"):
                pass
        assert caught.value.status == status


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (b"", "closed the connection"),
        (b"HTTP/1.1 101 Swi", "closed the connection"),
        (b"220 mail.example ESMTP\r\n\r\n", "broke the WebSocket protocol"),
        (b"HTTP/1.1 101 Yes\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", "broke"),
        (reply(404, bytes(2 * 1024 * 1024)), "a refusal of more than 1 MiB"),
        (reply(200, b"hello"), "HTTP status 200 in place of a WebSocket"),
    ],
)
async def test_what_is_no_answer(answer: bytes, text: str) -> None:
    async def talk(stream: trio.SocketStream, head: bytes) -> None:
        await stream.send_all(answer)

    async with serving(upgrading(talk)) as config, open_client(config) as client:
        with pytest.raises(ConnectionFailed, match=f"{text}.* during GET /socket"):
            async with open_websocket(client, "/socket"):
                pass


async def test_server_may_work_before_it_answers() -> None:
    """The limit for connecting is not one for the answer, which has its own."""
    asked = 0

    async def work(stream: trio.SocketStream, head: bytes) -> None:
        nonlocal asked
        asked += 1
        if asked == 2:
            await trio.sleep_forever()
        await trio.sleep(1.2 * seconds)
        peer = Peer(stream, head)
        await peer.send(ws.AcceptConnection())
        await until_closed(peer)

    seconds = 0.5
    async with serving(upgrading(work)) as config:
        config = replace(config, connect_seconds=seconds)
        async with open_client(config) as client:
            async with open_websocket(client, "/socket"):
                pass
            with pytest.raises(
                ConnectionFailed, match=r"did not answer within 0\.1 s during GET /"
            ):
                async with open_websocket(client, "/socket", answer_seconds=0.1):
                    pass


async def test_what_comes_with_the_answer_is_received() -> None:
    """Also when the server closes the connection right behind it."""

    async def answer(stream: trio.SocketStream, head: bytes) -> None:
        peer = Peer(stream, head)
        await peer.send(
            ws.AcceptConnection(), ws.TextMessage("at once"), ws.CloseConnection(1008, "go")
        )

    async with serving(upgrading(answer)) as config, open_client(config) as client:
        for _ in range(50):
            async with open_websocket(client, "/socket") as opened:
                assert await opened.get_message() == "at once"
                with pytest.raises(ConnectionClosed) as caught:
                    await opened.get_message()
                assert caught.value.reason.code == 1008


async def test_subprotocols() -> None:
    async def answer(stream: trio.SocketStream, head: bytes) -> None:
        assert b"Sec-WebSocket-Protocol: one, two" in head
        peer = Peer(stream, head)
        await peer.send(ws.AcceptConnection(subprotocol="two"))
        await until_closed(peer)

    async with (
        serving(upgrading(answer)) as config,
        open_client(config) as client,
        open_websocket(client, "/socket", subprotocols=["one", "two"]) as opened,
    ):
        assert opened.subprotocol == "two"


# --- TLS -----------------------------------------------------------------------------------------


@asynccontextmanager
async def secure_client(
    authority: trustme.CA, tmp_path: Path, handlers: list[Handler]
) -> AsyncIterator[Client]:
    """A client of a server whose connections, one after another, have these handlers."""

    async def handle(stream: trio.SocketStream) -> None:
        await handlers.pop(0)(stream)

    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    async with serving(handle) as config:
        endpoint = config.endpoint._replace(scheme="https")
        config = replace(config, endpoint=endpoint, ca_file=str(tmp_path / "ca.pem"))
        async with open_client(config) as client:
            yield client


def behind_tls(certificate: trustme.LeafCert, handler: Handler) -> Handler:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(context)

    async def handle(stream: trio.SocketStream) -> None:
        secure = trio.SSLStream(stream, context, server_side=True, https_compatible=True)
        await handler(secure)  # type: ignore[arg-type]

    return handle


async def say_hello(stream: trio.SocketStream) -> None:
    while await read_head(stream):
        await stream.send_all(HELLO)


@pytest.mark.parametrize(
    ("failure", "text"),
    [
        ("other host", "its certificate is for another name .*not valid for '127.0.0.1'"),
        (
            "other authority",
            r"its certificate is not trusted .*; if it is your own, name its CA in",
        ),
        ("no tls", r"TLS failed .*; is it http:// instead\?"),
    ],
)
async def test_tls_failures(authority: trustme.CA, tmp_path: Path, failure: str, text: str) -> None:
    """They are told as what they are, as for other requests."""
    good = behind_tls(authority.issue_cert("127.0.0.1"), say_hello)
    match failure:
        case "other host":
            bad = behind_tls(authority.issue_cert("10.1.2.3"), say_hello)
        case "other authority":
            bad = behind_tls(trustme.CA().issue_cert("127.0.0.1"), say_hello)
        case _:

            async def bad(stream: trio.SocketStream) -> None:
                await stream.receive_some(1)
                await stream.send_all(HELLO)

    async with secure_client(authority, tmp_path, [good, bad]) as client:
        with pytest.raises(ConnectionFailed, match=f"cannot connect to https://.*: {text}"):
            async with open_websocket(client, "/socket"):
                pass


async def test_websockets_have_the_clients_tls_context(
    secure: Gateway, authority: trustme.CA, tmp_path: Path
) -> None:
    """To make one for each takes longer than a run of code."""
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    config = replace(secure.config, ca_file=str(tmp_path / "ca.pem"))
    async with open_client(config) as client:
        assert client.tls is not None
        before = client.tls.session_stats()["connect"]
        for _ in range(3):
            with pytest.raises(NotFound):
                async with open_websocket(client, client.era.stream_path("nobody", "pty")):
                    pass
        assert client.tls.session_stats()["connect"] - before == 3


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


# --- tasks ---------------------------------------------------------------------------------------


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
