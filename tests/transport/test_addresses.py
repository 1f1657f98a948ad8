"""A server with several addresses: when one cannot be reached any more, the next one is used."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
import trio

from backendai_trio import (
    Client,
    ConnectionFailed,
    InvalidRequest,
    KernelSpec,
    Stdout,
    attach_kernel,
    open_client,
    open_kernel,
)
from backendai_trio.gateway import Gateway
from backendai_trio.wire.http import Request

from ..proxies import Proxy
from .servers import INFO

PYTHON = KernelSpec(runtime="python")


@pytest.fixture
async def ways(gateway: Gateway) -> AsyncIterator[list[Proxy]]:
    """Two ways to the gateway."""
    async with two_ways(gateway) as proxies:
        yield proxies


@asynccontextmanager
async def two_ways(gateway: Gateway) -> AsyncIterator[list[Proxy]]:
    async with trio.open_nursery() as nursery:
        proxies = [Proxy(nursery, gateway.config.endpoint.port, random.Random(0)) for _ in range(2)]
        for proxy in proxies:
            await proxy.listen()
        yield proxies
        nursery.cancel_scope.cancel()


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
        async with client.request(Request("GET", "/"), sign=False) as response:
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
