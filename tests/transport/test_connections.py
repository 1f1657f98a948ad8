"""Connections and their pool, with scripted servers on real sockets: responses and limits."""

from __future__ import annotations

import random
import socket
import subprocess
import sys
from collections.abc import Callable

import pytest
import trio
import trio.testing

from backendai_trio.transport.exceptions import (
    Disconnected,
    MalformedRequest,
    MalformedResponse,
    NetworkError,
    ReadTimeout,
)
from backendai_trio.transport.pool import ConnectionPool

from .connection_servers import OK, Server, ask, opened, request


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
        (b"HTTP/1.1 304 Same\r\nContent-Length: 5\r\n\r\n", b"", True),
        (OK + b"HTTP/1.1 200 OK\r\n", b"hi", False),
        (OK + b"HTTP/1.1 404 No\r\nContent-Length: 3\r\n\r\nbad", b"hi", False),
        (OK + b"nobody has asked for this", b"hi", False),
    ],
)
async def test_forms_of_responses(answer: bytes, body: bytes, kept: bool) -> None:
    server = Server([answer, OK], [OK])
    async with opened(server) as pool:
        _, received = await ask(pool, request(server))
        assert received == body
        assert await ask(pool, request(server, "POST")) == (200, b"hi")
    assert server.connections == (1 if kept else 2)


async def test_response_that_ends_with_its_connection() -> None:
    server = Server([b"HTTP/1.1 200 OK\r\n\r\nuntil the end"])
    async with opened(server) as pool:
        assert await ask(pool, request(server)) == (200, b"until the end")


async def test_head_has_no_body_and_its_connection_is_used_again() -> None:
    """Whatever length it tells, and whatever its status."""
    refusal = b"HTTP/1.1 404 Not Found\r\nContent-Length: 20\r\n\r\n"
    server = Server([refusal, OK[:-2], b"HTTP/1.1 200 OK\r\n\r\n", OK])
    async with opened(server) as pool:
        assert await ask(pool, request(server, "HEAD")) == (404, b"")
        assert await ask(pool, request(server, "HEAD")) == (200, b"")
        assert await ask(pool, request(server, "HEAD")) == (200, b"")
        assert await ask(pool, request(server)) == (200, b"hi")
    assert server.connections == 1


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"SSH-2.0-OpenSSH\r\n", MalformedResponse),
        (
            b"HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
            MalformedResponse,
        ),
        (b"", Disconnected),
        (b"HTTP/1.1 200 OK\r\nContent-Le", Disconnected),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi", Disconnected),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhi", Disconnected),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000, MalformedResponse),
        (b"HTTP/1.1 103 Hints\r\n\r\n" * 10_000, MalformedResponse),
    ],
)
async def test_responses_that_are_none(answer: bytes, error: type[Exception]) -> None:
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
        with pytest.raises((Disconnected, NetworkError)):
            await ask(pool, request(server, "POST"))
        assert server.connections == 2


async def test_silence_has_a_limit() -> None:
    server = Server([b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nh", b""])
    async with opened(server) as pool:
        with pytest.raises(ReadTimeout):
            await ask(pool, request(server, read=0.05))


async def test_dead_peers_are_noticed_by_tcp() -> None:
    """With nothing under way by probes, else by what stays unacknowledged; both in a minute."""
    server = Server([OK])
    async with opened(server) as pool:
        await ask(pool, request(server))
        (connection,) = pool._open
        option = connection._socket.getsockopt
        assert option(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            assert option(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 60_000
        if hasattr(socket, "TCP_KEEPIDLE"):
            idle = option(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)
            interval = option(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL)
            assert idle + interval * option(socket.IPPROTO_TCP, socket.TCP_KEEPCNT) == 60


VANISHING = """
import math, subprocess, trio
from backendai_trio.config.settings import Config
from backendai_trio.config.endpoints import parse_endpoint
from backendai_trio.transport.exceptions import NetworkError
from backendai_trio.transport.limits import Limits
from backendai_trio.transport.pool import ConnectionPool
from backendai_trio.transport.requests import OutgoingRequest

async def serve(stream):
    while await stream.receive_some():
        await stream.send_all(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nhi")

async def main():
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, serve, 0)
        endpoint = parse_endpoint(f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}")
        limits = Limits(unacknowledged_seconds=1.0, keepalive_seconds=100)
        async with ConnectionPool(Config(endpoint, "", ""), None, limits) as pool:
            sent = OutgoingRequest(endpoint, "POST", "/", {}, head_seconds=math.inf)
            response = await pool.request(sent)
            while await response.receive_some():
                pass
            response.close()
            subprocess.run(["ip", "link", "set", "lo", "down"], check=True)
            try:
                with trio.fail_after(60):
                    await pool.request(sent)
            except NetworkError:
                print("noticed")
        nursery.cancel_scope.cancel()

trio.run(main)
"""


def test_a_server_that_vanishes_is_noticed_while_a_request_is_unacknowledged(
    installed: Callable[..., str],
) -> None:
    """In a network of its own, whose only interface is taken down."""
    for name in ("unshare", "ip"):
        installed(name)
    apart = ["unshare", "--net", "--map-root-user"]
    up = [*apart, "ip", "link", "set", "lo", "up"]
    if subprocess.run(up, capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody make network namespaces")
    done = subprocess.run(
        [*apart, sys.executable, "-c", VANISHING], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.returncode) == ("noticed\n", 0), done.stderr


@pytest.mark.parametrize(
    "headers",
    [
        {"X": "a\r\nInjected: b"},
        {"X": "a\nb"},
        {"X": "a\0b"},
        {"X": "\u20ac"},
        {"Bad name": "x"},
        {"": "x"},
        {"X\r\nY": "b"},
    ],
)
async def test_headers_that_cannot_be_sent(headers: dict[str, str]) -> None:
    server = Server([OK])
    async with opened(server) as pool:
        with pytest.raises(MalformedRequest):
            await ask(pool, request(server, headers=headers))
    assert server.requests == []


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
    async with opened(server, max_connections=3) as pool, trio.open_nursery() as nursery:
        for _ in range(12):
            nursery.start_soon(ask, pool, request(server))
    assert server.most == 3


async def test_pool_stays_sound_under_random_cancellation() -> None:
    """No slot is lost, and no response is ever taken for that of another request."""
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

    async def one(pool: ConnectionPool, number: int) -> None:
        nonlocal answered
        text = f"{number:06}"
        headers = {"X-Number": text}
        # Some are cancelled at once, some never, most somewhere between.
        with trio.move_on_after(pick.choice([0, *(pick.uniform(0, 0.02) for _ in range(4)), 1e9])):
            assert await ask(pool, request(server, "POST", headers=headers)) == (200, text.encode())
            answered += 1

    async with opened(server, max_connections=4) as pool:
        for start in range(0, 1800, 12):
            async with trio.open_nursery() as nursery:
                for number in range(start, start + 12):
                    nursery.start_soon(one, pool, number)
        assert 100 < answered < 1700
        async with trio.open_nursery() as nursery:  # all four slots work
            for _ in range(4):
                headers = {"X-Number": "999999"}
                nursery.start_soon(ask, pool, request(server, headers=headers))


@pytest.mark.parametrize("name", ["X-B3-TraceId", "X_Custom", "a", "!#$%&'*+-.^_`|~09azAZ"])
async def test_any_token_is_a_header_name(name: str) -> None:
    server = Server([OK])
    async with opened(server) as pool:
        await ask(pool, request(server, "M-SEARCH", headers={name: "a\t\xe9 b"}))
    head = server.requests[0]
    assert head.startswith(b"M-SEARCH /x HTTP/1.1\r\n")
    assert b"\r\n%b: a\t\xe9 b\r\n" % name.encode() in head
