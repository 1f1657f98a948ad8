"""A key pair that has sent too many requests: the client waits, within a bound, and says so."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing
from wsproto import events as ws

from backendai_trio import Client, QuotaExceeded, open_client
from backendai_trio.transport.limits import Limits
from backendai_trio.transport.websocket_connect import open_websocket
from backendai_trio.wire.http import JSON, Request, Response

from .servers import read_head, reply, serving
from .websocket_servers import Peer, until_closed

RATE_LIMIT = b'{"type": "rate-limit-exceeded"}'
LIMITED = reply(429, RATE_LIMIT, "application/problem+json")
BLOCKED = reply(429, b'{"type": "login-blocked"}', "application/problem+json")
DONE = reply(200, b'{"done": true}', "application/json")
HELLO = reply(200, b'{"version": "v9.20250722", "manager": "26.9.6"}', "application/json")
POST = Request("POST", "/session", (), b"{}", JSON)

Ask = Callable[[Client], Awaitable[Response]]


class Server:
    """A server that answers requests with these, one after the other, the last one for ever."""

    def __init__(self, *answers: bytes) -> None:
        self.asked = 0
        self.first = trio.Event()
        self._answers = list(answers)

    async def handle(self, stream: trio.SocketStream) -> None:
        while head := await read_head(stream):
            if head.startswith(b"GET / "):
                await stream.send_all(HELLO)
                continue
            self.asked += 1
            self.first.set()
            answers = self._answers
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
            if answer == DONE and b"Upgrade" in head:
                peer = Peer(stream, head)
                await peer.send(ws.AcceptConnection(), ws.BytesMessage(b'{"done": true}'))
                await until_closed(peer)
                return
            await stream.send_all(answer)


@asynccontextmanager
async def client_of(server: Server, seconds: float) -> AsyncIterator[Client]:
    limits = Limits(rate_limited_seconds=seconds)
    async with serving(server.handle) as config, open_client(config, limits=limits) as client:
        yield client


async def call(client: Client) -> Response:
    return await client.call(POST)


async def stream(client: Client) -> Response:
    async with client.request(POST) as response:
        return await response.read_all()


async def pending(client: Client) -> Response:
    call = client.start_call(POST)
    try:
        return await call.wait()
    finally:
        call.close()


async def websocket(client: Client) -> Response:
    async with open_websocket(client, "/stream/session/x") as opened:
        message = await opened.get_message()
        assert isinstance(message, bytes)
        return Response(101, JSON, message, {})


every_way = pytest.mark.parametrize("ask", [call, stream, pending, websocket])


@every_way
async def test_request_is_sent_again_after_a_pause(
    ask: Ask, caplog: pytest.LogCaptureFixture
) -> None:
    server = Server(LIMITED, LIMITED, DONE)
    with caplog.at_level(logging.WARNING):
        async with client_of(server, 6) as client:
            response = await ask(client)
    assert response.body == b'{"done": true}'
    assert server.asked == 3
    assert [record.getMessage() for record in caplog.records] == [
        f"{client.config.endpoint.url} takes no more requests of this key pair for now; "
        "waiting for up to 6 s"
    ]


@every_way
@pytest.mark.parametrize("seconds", [0, 0.1])
async def test_wait_is_bounded(ask: Ask, seconds: float) -> None:
    server = Server(LIMITED)
    async with client_of(server, seconds) as client:
        with pytest.raises(QuotaExceeded) as caught:
            await ask(client)
    assert "try again later, or ask for a higher rate limit" in (caught.value.advice or "")
    assert server.asked > 1 if seconds else server.asked == 1


@every_way
async def test_server_that_asks_for_a_longer_pause_than_there_is_time(
    ask: Ask, caplog: pytest.LogCaptureFixture
) -> None:
    server = Server(reply(429, RATE_LIMIT, "application/problem+json", "Retry-After: 7"), DONE)
    with caplog.at_level(logging.WARNING):
        async with client_of(server, 6) as client:
            with pytest.raises(QuotaExceeded) as caught:
                await ask(client)
    assert (caught.value.retry_after, server.asked) == (7.0, 1)
    assert caplog.records == []  # nothing is waited for


@every_way
async def test_other_refusals_are_not_repeated(ask: Ask) -> None:
    server = Server(BLOCKED)
    async with client_of(server, 6) as client:
        with pytest.raises(QuotaExceeded) as caught:
            await ask(client)
    assert (caught.value.kind, server.asked) == ("login-blocked", 1)


async def test_websocket_whose_opener_does_not_wait() -> None:
    """As that of a proxy, whose own client gets the refusal and waits."""
    server = Server(LIMITED, DONE)
    async with client_of(server, 6) as client:
        with pytest.raises(QuotaExceeded):
            async with open_websocket(client, "/stream/session/x", waits=False):
                pass
    assert server.asked == 1


async def test_body_that_is_a_stream_is_not_sent_again() -> None:
    async def content() -> AsyncIterator[bytes]:
        await trio.lowlevel.checkpoint()
        yield b"x"

    server = Server(LIMITED)
    async with client_of(server, 6) as client:
        with pytest.raises(QuotaExceeded) as caught:
            await client.call(POST, content=content(), content_length=1)
    assert "ask for a higher rate limit" in (caught.value.advice or "")
    assert server.asked == 1


async def test_request_that_is_settled_is_not_sent_again() -> None:
    """A create that was cancelled is settled: it must not make anything."""
    server = Server(LIMITED, DONE)
    async with client_of(server, 6) as client:
        call = client.start_call(POST)
        await call.settle()
        assert (call.done, server.asked) == (True, 1)


async def test_cancelled_pause_leaves_a_request_that_was_not_sent() -> None:
    server = Server(LIMITED, DONE)
    async with client_of(server, 6) as client:
        call = client.start_call(POST)
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:

                @nursery.start_soon
                async def cancel() -> None:
                    await server.first.wait()
                    while call.sent or not server.asked:
                        await trio.testing.wait_all_tasks_blocked(0.01)
                    scope.cancel()

                await call.wait()
        assert scope.cancelled_caught
        assert not call.sent
        assert (await call.wait()).body == b'{"done": true}'
