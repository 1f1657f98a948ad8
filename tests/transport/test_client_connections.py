"""Connections of the client that fail, on real sockets: servers that are missing, silent or odd."""

from __future__ import annotations

import gc
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
import trio

from backendai_trio import (
    Client,
    ConfigError,
    ConnectionFailed,
    RemoteProtocolError,
    ServerError,
    open_client,
)
from backendai_trio.config.endpoints import parse_endpoint
from backendai_trio.gateway import Gateway
from backendai_trio.transport.limits import Limits

from .servers import HELLO, INFO, KEYS, closed_port, read_head, reply, serving


async def test_nobody_listens() -> None:
    config = replace(KEYS, endpoint=parse_endpoint(f"http://127.0.0.1:{await closed_port()}"))
    with pytest.raises(ConnectionFailed) as caught:
        async with open_client(config):
            pass
    assert str(caught.value) == (
        f"cannot connect to {config.endpoint.url}: connection refused; "
        "check BACKEND_ENDPOINT, and that the server is up"
    )


async def test_name_that_does_not_exist() -> None:
    config = replace(KEYS, endpoint=parse_endpoint("http://nobody.invalid"))
    with pytest.raises(ConnectionFailed, match=r"nobody\.invalid"):
        async with open_client(config):
            pass


async def test_connection_that_is_not_taken_in_time() -> None:
    # A listener that accepts nothing, with its queue full: SYNs are dropped.
    with trio.socket.socket() as listener:
        await listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        fillers = [trio.socket.socket() for _ in range(4)]
        for filler in fillers:
            with trio.move_on_after(0.05):
                await filler.connect(("127.0.0.1", port))
        endpoint = parse_endpoint(f"http://127.0.0.1:{port}")
        config = replace(KEYS, endpoint=endpoint, connect_seconds=0.2)
        with pytest.raises(ConnectionFailed, match=r"within 0\.2 s"):
            async with open_client(config):
                pass
        for filler in fillers:
            filler.close()


async def test_server_that_is_not_http() -> None:
    async def ssh(stream: trio.SocketStream) -> None:
        await stream.send_all(b"SSH-2.0-OpenSSH_9.6\r\nInvalid SSH identification string.\r\n\r\n")
        await read_head(stream)

    async with serving(ssh) as config:
        with pytest.raises(ConfigError, match="does not speak HTTP") as caught:
            async with open_client(config):
                pass
    assert caught.value.variable == "BACKEND_ENDPOINT"


@pytest.mark.parametrize(
    "answer",
    [
        reply(200, b"<html>It works!</html>", "text/html"),
        reply(200, b"{}", "application/json"),
        reply(200, b'{"version": "latest"}', "application/json"),
        reply(200, b'{"version": 7}', "application/json"),
        reply(200, b"[]", "application/json"),
        reply(404, b"not found"),
        reply(500, b"broken"),
        reply(302, b"", "text/plain", "Location: /login"),
    ],
)
async def test_server_that_is_not_backend_ai(answer: bytes) -> None:
    async def web(stream: trio.SocketStream) -> None:
        while await read_head(stream):
            await stream.send_all(answer)

    async with serving(web) as config:
        with pytest.raises(ConfigError, match=r"check the address|redirects to") as caught:
            async with open_client(config):
                pass
    assert caught.value.variable == "BACKEND_ENDPOINT"
    assert config.endpoint.url in str(caught.value)


async def test_https_where_http_is_spoken(gateway: Gateway) -> None:
    endpoint = gateway.config.endpoint._replace(scheme="https")
    with pytest.raises(ConnectionFailed, match="http://"):
        async with open_client(replace(KEYS, endpoint=endpoint)):
            pass


@pytest.mark.parametrize("status", [502, 503, 504])
async def test_server_that_is_not_available(status: int) -> None:
    """It starts, or restarts; that says nothing of what it is."""

    async def web(stream: trio.SocketStream) -> None:
        while await read_head(stream):
            await stream.send_all(reply(status, b"<html><title>Wait</title></html>", "text/html"))

    async with serving(web) as config:
        with pytest.raises(ServerError, match=f"HTTP status {status}, with a page: Wait"):
            async with open_client(config):
                pass


async def test_hello_that_redirects_says_where_to() -> None:
    async def web(stream: trio.SocketStream) -> None:
        while await read_head(stream):
            await stream.send_all(reply(301, b"", "text/plain", "Location: https://b.example/x"))

    async with serving(web) as config:
        with pytest.raises(ConfigError, match=r"redirects to https://b\.example/x,"):
            async with open_client(config):
                pass


async def test_server_that_closes_without_an_answer() -> None:
    async def slam(stream: trio.SocketStream) -> None:
        await read_head(stream)

    async with serving(slam) as config:
        with pytest.raises(ConnectionFailed, match="closed the connection"):
            async with open_client(config):
                pass


@pytest.mark.parametrize(
    "half",
    [
        HELLO[:30],
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
    ],
)
async def test_server_that_closes_in_the_middle(half: bytes) -> None:
    hello = [HELLO]

    async def slam(stream: trio.SocketStream) -> None:
        await read_head(stream)
        if hello:
            await stream.send_all(hello.pop())
            await read_head(stream)
        await stream.send_all(half)

    async with serving(slam) as config, open_client(config) as client:
        with pytest.raises((ConnectionFailed, RemoteProtocolError)) as caught:
            await client.call(INFO)
        assert config.endpoint.url in str(caught.value)


async def test_server_that_falls_silent() -> None:
    async def silent(stream: trio.SocketStream) -> None:
        while head := await read_head(stream):
            if head.startswith(b"GET / "):
                await stream.send_all(HELLO)

    async with serving(silent) as config, open_client(config) as client:
        with pytest.raises(ConnectionFailed, match="stopped answering"):
            await client.call(INFO, head_seconds=0.1)
        async with open_client(replace(config, answer_seconds=0.1)) as hasty:
            with pytest.raises(ConnectionFailed, match="stopped answering"):
                await hasty.call(INFO)
        # No limit means none; only a cancel ends it.
        with trio.move_on_after(0.2) as scope:
            await client.call(INFO, head_seconds=None)
        assert scope.cancelled_caught


async def call(client: Client) -> None:
    await client.call(INFO, head_seconds=None)


async def stream(client: Client) -> None:
    async with client.request(INFO, head_seconds=None) as response:
        await response.read_all()


async def pending(client: Client) -> None:
    call = client.start_call(INFO, head_seconds=None)
    await call.wait()


@pytest.mark.parametrize("ask", [call, stream, pending])
async def test_server_that_falls_silent_within_a_body(
    ask: Callable[[Client], Awaitable[None]],
) -> None:
    """It is the answer's beginning that may take long, and not more of it."""

    async def half(stream: trio.SocketStream) -> None:
        while head := await read_head(stream):
            await stream.send_all(HELLO if head.startswith(b"GET / ") else reply(200, b"{}")[:-1])

    async with (
        serving(half) as config,
        open_client(replace(config, answer_seconds=0.5)) as client,
    ):
        with pytest.raises(ConnectionFailed, match="stopped answering"):
            await ask(client)


async def test_limit_for_the_body_only() -> None:
    async def half(stream: trio.SocketStream) -> None:
        while head := await read_head(stream):
            await stream.send_all(HELLO if head.startswith(b"GET / ") else reply(200, b"{}")[:-1])

    async with serving(half) as config:
        async with open_client(config) as client:
            with pytest.raises(ConnectionFailed, match="stopped answering"):
                async with client.request(INFO, body_seconds=0.1) as response:
                    await response.read_all()
        async with open_client(replace(config, answer_seconds=0.1)) as hasty:
            with trio.move_on_after(0.2) as scope:
                async with hasty.request(INFO, head_seconds=None, body_seconds=None) as response:
                    await response.read_all()
            assert scope.cancelled_caught


async def test_limit_for_the_head_only() -> None:
    async def silent(stream: trio.SocketStream) -> None:
        while head := await read_head(stream):
            if head.startswith(b"GET / "):
                await stream.send_all(HELLO)

    async with serving(silent) as config, open_client(config) as client:
        with pytest.raises(ConnectionFailed, match="stopped answering"):
            async with client.request(INFO, head_seconds=0.1, body_seconds=None):
                pass


async def test_answer_that_is_too_large() -> None:
    answers = [HELLO, reply(200, bytes(1001)), reply(200, bytes(1000))]

    async def handle(stream: trio.SocketStream) -> None:
        while await read_head(stream):
            await stream.send_all(answers.pop(0))

    limits = Limits(max_body_bytes=1000)
    async with serving(handle) as config, open_client(config, limits=limits) as client:
        with pytest.raises(RemoteProtocolError, match="exceeds"):
            await client.call(INFO)
        # That connection is not used again; the server's next answer goes to a fresh one.
        assert len((await client.call(INFO)).body) == 1000
    gc.collect()  # a generator that is left open is to be seen here, not in another test
