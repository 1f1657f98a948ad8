"""A server with several addresses: when one cannot be reached any more, the next one is used."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import h11
import pytest
import trio

from backendai_trio import (
    ApiError,
    BackendError,
    Client,
    Config,
    ConnectionFailed,
    Event,
    InvalidRequest,
    KernelSpec,
    Stdout,
    attach_kernel,
    list_kernels,
    open_client,
    open_kernel,
)
from backendai_trio.config.endpoints import parse_endpoint
from backendai_trio.config.settings import Endpoint
from backendai_trio.gateway import Gateway
from backendai_trio.kernels.poll_run import open_poll_run
from backendai_trio.login import log_in
from backendai_trio.proxy import open_proxy
from backendai_trio.transport.websocket_connect import open_websocket
from backendai_trio.wire.execution import ExecuteRequest
from backendai_trio.wire.http import OCTETS, Request
from backendai_trio.wire.logins import LOGIN_PATH
from backendai_trio.wire.signing import Signed, sign

from .. import plain_http
from ..proxies import Proxy
from .servers import HELLO, INFO, KEYS, read_head, reply, serving
from .ways import go_down, two_ways

PYTHON = KernelSpec(runtime="python")
DONE = reply(200, b"{}", "application/json")


@pytest.fixture
async def ways(gateway: Gateway) -> AsyncIterator[list[Proxy]]:
    """Two ways to the gateway."""
    async with two_ways(gateway.config.endpoint.port) as proxies:
        yield proxies


@pytest.fixture
async def client(gateway: Gateway, ways: list[Proxy]) -> AsyncIterator[Client]:
    first, second = (gateway.config.endpoint._replace(port=way.port) for way in ways)
    config = replace(gateway.config, endpoint=first, other_endpoints=(second,))
    async with open_client(config) as opened:
        yield opened


async def test_calls_go_to_the_address_that_can_be_reached(
    client: Client, ways: list[Proxy]
) -> None:
    first, second = ways
    await client.call(INFO)
    assert (client.config.endpoint.port, second.connections) == (first.port, 0)
    first.go_down()
    await client.call(INFO)
    assert client.config.endpoint.port == second.port
    async with open_kernel(client, PYTHON) as kernel:
        await first.listen()
        second.go_down()
        async with client.request(Request("GET", "/"), to="anonymous") as response:
            assert response.status == 200
        assert client.config.endpoint.port == first.port
        assert (await kernel.run("print(1)"))["console"]


async def test_request_that_has_not_reached_the_server_is_sent_to_another_address(
    client: Client, ways: list[Proxy]
) -> None:
    """Whatever it does, and a stream as well: nothing of it was read."""

    async def content() -> AsyncIterator[bytes]:
        await trio.lowlevel.checkpoint()
        yield b"{"
        yield b"}"

    ways[0].go_down()
    await client.call(INFO)  # the connection that was open is known to be broken then
    ways[1].go_down()
    with pytest.raises(ConnectionFailed):
        await client.call(INFO)
    await ways[0].listen()
    with pytest.raises(InvalidRequest):  # it has arrived
        await client.call(Request("POST", "/session"), content=content(), content_length=2)


async def create(client: Client) -> None:
    async with open_kernel(client, PYTHON) as kernel:
        assert (await kernel.run("print(1)"))["console"] == [("stdout", "1\n")]


async def list_own(client: Client) -> None:
    assert await list_kernels(client) == []


async def upgrade(client: Client) -> None:
    with pytest.raises(ApiError):  # it has arrived
        async with open_websocket(client, "/nowhere"):
            pass


@pytest.mark.parametrize("ask", [create, list_own, upgrade])
async def test_first_request_after_an_address_went_down(
    client: Client, ways: list[Proxy], ask: Callable[[Client], Awaitable[None]]
) -> None:
    first, second = ways
    await go_down(first)
    await ask(client)
    assert client.config.endpoint.port == second.port


async def test_poll_after_an_address_went_down(client: Client, ways: list[Proxy]) -> None:
    first, second = ways
    async with open_kernel(client, PYTHON) as kernel:
        code = ExecuteRequest("query", "a-run", "print(input())")
        async with open_poll_run(client, kernel.token, code) as run:
            while not run.asks:
                await run.receive()
            await go_down(first)
            await run.send_stdin(b"again\n")
            events: list[Event] = []
            while run.outcome is None:
                events += await run.receive()
        assert Stdout("again\n") in events
    assert client.config.endpoint.port == second.port


async def test_addresses_that_are_all_down(client: Client, ways: list[Proxy]) -> None:
    for way in ways:
        way.go_down()
    for _ in range(2):
        with pytest.raises(ConnectionFailed, match="cannot connect"):
            await client.call(INFO)
    await ways[1].listen()
    await client.call(INFO)


async def test_tasks_that_lose_an_address_together_take_the_same_one(
    client: Client, ways: list[Proxy]
) -> None:
    ways[0].go_down()
    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(client.call, INFO)
    assert client.config.endpoint.port == ways[1].port


@dataclass
class Witness:
    """A server that answers each request with an empty object, and notes how it was signed."""

    config: Config
    heads: list[h11.Request] = field(default_factory=list)

    async def handle(self, stream: trio.SocketStream) -> None:
        while head := await read_head(stream):
            parser = h11.Connection(h11.SERVER)
            parser.receive_data(head)
            event = parser.next_event()
            assert isinstance(event, h11.Request)
            self.heads.append(event)
            await stream.send_all(HELLO if event.target.endswith(b"/") else DONE)

    def check(self, endpoint: Endpoint) -> None:
        """The last request is one to this address, and signed for it."""
        last = self.heads[-1]
        fields = {name.decode(): value.decode() for name, value in last.headers}
        assert fields["host"] == endpoint.host_header
        assert last.target.decode().startswith(f"{endpoint.base_path}/")
        if last.target.endswith(LOGIN_PATH.encode()):
            return
        signed = Signed(
            last.method.decode(),
            last.target.decode(),
            fields["date"],
            fields["host"],
            fields.get("content-type", OCTETS),
            fields["x-backendai-version"],
        )
        expected = sign(
            signed, access_key=self.config.access_key, secret_key=self.config.secret_key
        )
        assert fields["authorization"] == expected


async def call(client: Client) -> None:
    await client.call(INFO)


async def stream(client: Client) -> None:
    async with client.request(INFO) as response:
        await response.read_all()


async def pending(client: Client) -> None:
    call = client.start_call(INFO)
    await call.wait()


async def websocket(client: Client) -> None:
    with pytest.raises(ConnectionFailed, match="in place of a WebSocket"):
        async with open_websocket(client, "/stream/session/x"):
            pass


async def forwarded(client: Client) -> None:
    async with open_proxy(client) as proxy:
        answer = await plain_http.request("GET", f"{proxy.url}/auth")
        assert answer.status == 200


async def login(client: Client) -> None:
    with pytest.raises(BackendError, match="gave no reason"):
        await log_in(client, "me@example.com", "secret")


@pytest.mark.parametrize("ask", [call, stream, pending, websocket, forwarded, login])
async def test_request_is_signed_for_the_address_that_it_is_sent_to(
    ask: Callable[[Client], Awaitable[None]],
) -> None:
    witness = Witness(KEYS)
    async with (
        serving(witness.handle) as config,
        two_ways(config.endpoint.port) as (one, other),
    ):
        first = config.endpoint._replace(port=one.port, base_path="/first")
        second = config.endpoint._replace(port=other.port, base_path="/second")
        config = replace(config, endpoint=first, other_endpoints=(second,))
        async with open_client(config) as client:
            await ask(client)
            witness.check(first)
            await go_down(one)
            await ask(client)
            witness.check(second)


@asynccontextmanager
async def refusing_proxy() -> AsyncIterator[tuple[Client, list[bytes]]]:
    """A client of two addresses behind a proxy that passes nothing on any more; and the request
    lines that the proxy has read since then."""
    lines: list[bytes] = []

    async def handle(stream: trio.SocketStream) -> None:
        while head := await read_head(stream):
            line = head.partition(b" HTTP/")[0]
            if line == b"GET http://one.example/":
                await stream.send_all(HELLO)
            else:
                lines.append(line)
                await stream.send_all(reply(407, b"who are you?"))

    one, two = (parse_endpoint(f"http://{name}.example") for name in ("one", "two"))
    async with serving(handle) as config:
        url = config.endpoint.url
        config = replace(config, endpoint=one, other_endpoints=(two,), proxy=url)
        async with open_client(config) as client:
            yield client, lines


async def test_refusal_of_a_proxy_is_the_same_for_each_address() -> None:
    """A body that is a stream is sent once."""

    async def content() -> AsyncIterator[bytes]:
        await trio.lowlevel.checkpoint()
        yield b"{}"

    async with refusing_proxy() as (client, lines):
        with pytest.raises(ConnectionFailed, match="407"):
            await client.call(Request("POST", "/session"), content=content(), content_length=2)
    assert lines == [b"POST http://one.example/session"]


async def test_create_that_a_proxy_has_kept_is_not_undone() -> None:
    async with refusing_proxy() as (client, lines):
        with pytest.raises(ConnectionFailed, match="407"):
            async with open_kernel(client, PYTHON):
                pass
    assert lines == [b"POST http://one.example/session"]


async def test_run_goes_on_over_the_other_address(
    gateway: Gateway, client: Client, ways: list[Proxy]
) -> None:
    async with open_kernel(client, PYTHON) as kernel:
        async with kernel.execute("print('up', flush=True); print(input())") as run:
            assert await anext(run) == Stdout("up\n")
            ways[0].go_down()
            await run.send_stdin(b"again\n")
            assert "".join([e.text async for e in run if isinstance(e, Stdout)]) == "again\n"
        assert ways[1].connections > 0
        # The kernel is the same, whatever the way to it.
        async with open_client(gateway.config) as direct:
            assert (await attach_kernel(direct, PYTHON, token=kernel.token)).created is False
