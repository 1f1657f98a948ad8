"""The handshake of WebSockets, its refusals, and what is no WebSocket."""

from __future__ import annotations

from dataclasses import replace

import pytest
import trio
import trio.testing
from wsproto import events as ws

from backendai_trio import ApiError, ConnectionFailed, NotFound, open_client
from backendai_trio.transport.websocket import MAX_MESSAGE_BYTES, ConnectionClosed
from backendai_trio.transport.websocket_connect import open_websocket

from .servers import reply, serving
from .websocket_clients import connected
from .websocket_servers import Peer, until_closed, upgrading


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
        with pytest.raises(ConnectionFailed, match=rf"{text}.* \[GET /socket\]"):
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
            with pytest.raises(ConnectionFailed, match=r"did not answer within 0\.1 s.* \[GET /"):
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
