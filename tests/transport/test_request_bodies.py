"""Bodies of requests as they are sent: their sources, and servers that refuse them early."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator

import pytest
import trio
import trio.testing

from backendai_trio.transport.exceptions import (
    MalformedRequest,
    NetworkError,
    ReadTimeout,
    WriteTimeout,
)

from .connection_servers import OK, Server, ask, opened, request


class Refusing(Server):
    """Answers once the head and a part of the body are there, and reads no more of it."""

    def __init__(self, answer: bytes, *, closes: bool) -> None:
        super().__init__()
        self.answer = answer
        self.closes = closes

    async def handle(self, stream: trio.SocketStream) -> None:
        self.connections += 1
        await self.request(stream)
        await stream.send_all(self.answer)
        if not self.closes:
            await trio.sleep_forever()


@pytest.mark.parametrize("stream", [True, False])
async def test_refusal_while_the_body_is_sent(stream: bool) -> None:
    """The response is read at once, though the server neither reads on nor closes."""
    size = 64 * 1024 * 1024

    async def endless() -> AsyncIterator[bytes]:  # noqa: ASYNC124 (an iterator)
        for _ in range(64):
            yield bytes(1024 * 1024)

    server = Refusing(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nno!", closes=False)
    async with opened(server) as pool:
        content = endless() if stream else bytes(size)
        for number in (1, 2):
            sent = request(server, "POST", content=content, size=size)
            assert await ask(pool, sent) == (413, b"no!")
            assert server.connections == number  # the first one carries half a request
            content = endless() if stream else content


async def test_refusal_and_hanging_up_while_the_body_is_sent() -> None:
    async def endless() -> AsyncIterator[bytes]:  # noqa: ASYNC124 (an iterator)
        for _ in range(64):
            yield bytes(1024 * 1024)

    server = Refusing(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nno!", closes=True)
    async with opened(server) as pool:
        sent = request(server, "POST", content=endless(), size=64 * 1024 * 1024)
        try:
            assert (await ask(pool, sent))[0] == 413
        except NetworkError:
            pass  # a reset may overtake the response on its way


async def test_early_success_does_not_end_the_body() -> None:
    """A server may send its head first and read on."""

    class Early(Server):
        async def handle(self, stream: trio.SocketStream) -> None:
            data = bytearray()
            await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
            while not data.endswith(b"the end"):
                data += await stream.receive_some()
            self.requests.append(bytes(data))
            await stream.send_all(b"hi")

    async def slowly() -> AsyncIterator[bytes]:
        for piece in (b"a", b"the end"):
            await trio.testing.wait_all_tasks_blocked()
            yield piece

    server = Early()
    async with opened(server) as pool:
        assert await ask(pool, request(server, "PUT", content=slowly(), size=8)) == (200, b"hi")


class Whole(Server):
    """Answers when the body has ended, or never."""

    def __init__(self, end: bytes, answer: bytes) -> None:
        super().__init__()
        self.end = end
        self.answer = answer

    async def handle(self, stream: trio.SocketStream) -> None:
        data = bytearray()
        while not data.endswith(self.end):
            data += await stream.receive_some()
        await stream.send_all(self.answer)
        await trio.sleep_forever()


async def test_a_slow_source_is_not_the_servers_fault() -> None:
    """Neither limit runs while the next part of a body is made."""

    async def slow() -> AsyncIterator[bytes]:
        yield b"x" * 100_000
        await trio.sleep(0.5)
        yield b"the end"

    server = Whole(b"the end", OK)
    async with opened(server, write_seconds=0.1) as pool:
        sent = request(server, "POST", content=slow(), size=100_007, read=0.2)
        assert await ask(pool, sent) == (200, b"hi")


async def test_silence_after_a_long_body() -> None:
    server = Whole(b"the end", b"")
    async with opened(server) as pool:
        body = bytes(100_000) + b"the end"
        with pytest.raises(ReadTimeout):
            await ask(pool, request(server, "POST", content=body, size=len(body), read=0.05))


async def test_a_server_that_reads_nothing() -> None:
    class Deaf(Server):
        async def handle(self, stream: trio.SocketStream) -> None:
            await trio.sleep_forever()

    server = Deaf()
    async with opened(server, write_seconds=0.1) as pool:
        sent = request(server, "POST", content=bytes(64_000_000), size=64_000_000, read=math.inf)
        with pytest.raises(WriteTimeout):
            await ask(pool, sent)


@pytest.mark.parametrize("early", [True, False])
async def test_failure_of_the_source_is_its_own(early: bool) -> None:
    async def failing() -> AsyncIterator[bytes]:  # noqa: ASYNC124 (an iterator)
        if not early:
            yield bytes(1_000_000)
        raise FileNotFoundError("gone")
        yield b""

    class Patient(Server):
        async def handle(self, stream: trio.SocketStream) -> None:
            async for _ in stream:
                pass

    server = Patient()
    async with opened(server) as pool:
        with pytest.raises(FileNotFoundError, match="gone"):
            await ask(pool, request(server, "POST", content=failing(), size=None))


@pytest.mark.parametrize("size", [4, 6])
async def test_body_of_another_size_than_announced(size: int) -> None:
    async def five() -> AsyncIterator[bytes]:  # noqa: ASYNC124 (an iterator)
        yield b"three"

    server = Server([OK])
    async with opened(server) as pool:
        with pytest.raises(MalformedRequest):
            await ask(pool, request(server, "POST", content=five(), size=size))


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
