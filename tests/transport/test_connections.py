"""Direct connections, with scripted servers on real sockets."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import httpcore2
import pytest
import trio

from backendai_trio.config.settings import Endpoint
from backendai_trio.transport.http1 import Pool
from backendai_trio.transport.requests import Head, Sent

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
async def opened(server: Server, *, limit: int = 10) -> AsyncIterator[Pool]:
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        await nursery.start(trio.serve_listeners, server.handle, listeners)
        server.port = listeners[0].socket.getsockname()[1]
        async with Pool(
            ssl_context=None, max_connections=limit, keepalive_seconds=60, socket_options=[]
        ) as pool:
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
) -> Sent:
    head = Head(method, "/x", {"Host": "h"} | dict(headers or {}))
    endpoint = Endpoint("http", "127.0.0.1", server.port, "")
    return Sent(
        endpoint, head, content, size, connect_seconds=10, write_seconds=10, read_seconds=read
    )


async def ask(pool: Pool, sent: Sent) -> tuple[int, bytes]:
    reply = await pool.exchange(sent)
    try:
        pieces = [piece async for piece in reply]
    finally:
        await reply.aclose()
    return reply.status, b"".join(pieces)


async def test_connection_is_used_again() -> None:
    server = Server([OK, OK, OK])
    async with opened(server) as pool:
        for _ in range(3):
            assert await ask(pool, request(server)) == (200, b"hi")
    assert server.connections == 1


@pytest.mark.parametrize(
    ("answer", "body", "kept"),
    [
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nh\r\n1\r\ni\r\n0\r\n\r\n",
            b"hi",
            True,
        ),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, b"hi", True),
        (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK, b"hi", True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b"", True),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", b"hi", False),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi", b"hi", False),
        (OK + b"HTTP/1.1 200 OK\r\n", b"hi", False),
        (OK + b"nobody has asked for this", b"hi", False),
    ],
)
async def test_forms_of_replies(answer: bytes, body: bytes, kept: bool) -> None:
    server = Server([answer, OK], [OK])
    async with opened(server) as pool:
        _, received = await ask(pool, request(server))
        assert received == body
        assert await ask(pool, request(server, "POST")) == (200, b"hi")
    assert server.connections == (1 if kept else 2)


async def test_reply_that_ends_with_its_connection() -> None:
    server = Server([b"HTTP/1.1 200 OK\r\n\r\nuntil the end"])
    async with opened(server) as pool:
        assert await ask(pool, request(server)) == (200, b"until the end")


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"SSH-2.0-OpenSSH\r\n", httpcore2.RemoteProtocolError),
        (b"", httpcore2.RemoteProtocolError),
        (b"HTTP/1.1 200 OK\r\nContent-Le", httpcore2.RemoteProtocolError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi", httpcore2.RemoteProtocolError),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhi",
            httpcore2.RemoteProtocolError,
        ),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000, httpcore2.RemoteProtocolError),
    ],
)
async def test_replies_that_are_none(answer: bytes, error: type[Exception]) -> None:
    server = Server([answer])
    async with opened(server) as pool:
        with pytest.raises(error):
            await ask(pool, request(server))


async def test_idle_connection_that_its_server_closes() -> None:
    """What may be done twice is asked again; what may not, is not. There is no time for the client
    to notice the end: the server closes when the next request is there."""

    class Closing(Server):
        async def handle(self, stream: trio.SocketStream) -> None:
            self.connections += 1
            self.requests.append(await self.request(stream))
            await stream.send_all(OK)
            self.requests.append(await self.request(stream))
            await stream.aclose()

    server = Closing()
    async with opened(server) as pool:
        assert await ask(pool, request(server)) == (200, b"hi")
        assert await ask(pool, request(server)) == (200, b"hi")
        assert server.connections == 2
        with pytest.raises((httpcore2.RemoteProtocolError, httpcore2.ReadError)):
            await ask(pool, request(server, "POST"))
        assert server.connections == 2


async def test_silence_has_a_limit() -> None:
    server = Server([b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nh", b""])
    async with opened(server) as pool:
        with pytest.raises(httpcore2.ReadTimeout):
            await ask(pool, request(server, read=0.05))


async def test_refusal_in_the_middle_of_an_upload() -> None:
    """The server answers and closes without reading on; its answer is what counts."""
    refusal = b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nno!"
    server = Server([refusal])

    async def endless() -> AsyncIterator[bytes]:  # noqa: ASYNC124 (an iterator)
        for _ in range(64):
            yield bytes(1024 * 1024)

    async with opened(server) as pool:
        sent = request(server, "POST", content=endless(), size=64 * 1024 * 1024)
        try:
            assert (await ask(pool, sent))[0] == 413
        except httpcore2.ReadError:
            pass  # a reset may overtake the answer on its way


@pytest.mark.parametrize(
    "headers", [{"X": "a\r\nInjected: b"}, {"X": "a\nb"}, {"Bad name": "x"}, {"X\r\nY": "b"}]
)
async def test_headers_that_cannot_be_sent(headers: dict[str, str]) -> None:
    server = Server([OK])
    async with opened(server) as pool:
        with pytest.raises(httpcore2.LocalProtocolError):
            await ask(pool, request(server, headers=headers))
    assert server.requests == []


async def test_body_of_another_size_than_announced() -> None:
    async def three() -> AsyncIterator[bytes]:  # noqa: ASYNC124 (an iterator)
        yield b"three"

    server = Server([OK])
    async with opened(server) as pool:
        with pytest.raises(httpcore2.LocalProtocolError):
            await ask(pool, request(server, "POST", content=three(), size=4))


async def test_chunked_request() -> None:
    server = Server([OK])

    async def pieces() -> AsyncIterator[bytes]:  # noqa: ASYNC124 (an iterator)
        yield b"abc"
        yield b""
        yield b"d" * 10

    async with opened(server) as pool:
        await ask(pool, request(server, "POST", content=pieces(), size=None))
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert b"Transfer-Encoding: chunked" in head
    assert body == b"3\r\nabc\r\na\r\n" + b"d" * 10 + b"\r\n0\r\n\r\n"


async def test_requests_wait_for_a_free_connection() -> None:
    class Slow(Server):
        most = now = 0

        async def handle(self, stream: trio.SocketStream) -> None:
            while True:
                await self.request(stream)
                self.now += 1
                self.most = max(self.most, self.now)
                await trio.sleep(0.01)
                self.now -= 1
                await stream.send_all(OK)

    server = Slow()
    async with opened(server, limit=3) as pool, trio.open_nursery() as nursery:
        for _ in range(12):
            nursery.start_soon(ask, pool, request(server))
    assert server.most == 3


async def test_pool_stays_sound_under_random_cancellation() -> None:
    """No slot is lost, and no reply is ever taken for that of another request."""
    pick = random.Random(2017)

    class Echo(Server):
        async def handle(self, stream: trio.SocketStream) -> None:
            try:
                while True:
                    said = (await self.request(stream)).partition(b"X-Number: ")[2][:6]
                    await trio.sleep(pick.uniform(0, 0.004))
                    await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n" + said)
            except trio.BrokenResourceError:
                pass

    server = Echo()
    answered = 0

    async def one(pool: Pool, number: int) -> None:
        nonlocal answered
        text = f"{number:06}"
        headers = {"X-Number": text}
        with trio.move_on_after(pick.uniform(0, 0.02)):
            assert await ask(pool, request(server, "POST", headers=headers)) == (200, text.encode())
            answered += 1

    async with opened(server, limit=4) as pool:
        for start in range(0, 1800, 12):
            async with trio.open_nursery() as nursery:
                for number in range(start, start + 12):
                    nursery.start_soon(one, pool, number)
        assert 100 < answered < 1800
        async with trio.open_nursery() as nursery:  # all four slots work
            for _ in range(4):
                headers = {"X-Number": "999999"}
                nursery.start_soon(ask, pool, request(server, headers=headers))
