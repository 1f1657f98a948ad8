"""Opening a client of a server with several addresses: each is asked once, one after the other."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

import pytest
import trio
import trustme

from backendai_trio import Config, ConfigError, ConnectionFailed, ServerError, open_client
from backendai_trio.config.settings import Endpoint
from backendai_trio.errors import InsecureConnectionWarning
from backendai_trio.transport.websocket_connect import open_websocket

from .servers import HELLO, INFO, read_head, reply, serving
from .ways import go_down, two_ways
from .websocket_clients import behind_tls
from .websocket_servers import accepting, until_closed

DONE = reply(200, b"{}", "application/json")


class Address:
    """An address that does the same with each connection, and counts them."""

    def __init__(self, *answers: bytes) -> None:
        self.connections = 0
        self._answers = answers

    async def handle(self, stream: trio.SocketStream) -> None:
        self.connections += 1
        for answer in self._answers:
            await read_head(stream)
            await stream.send_all(answer)


@asynccontextmanager
async def listening(
    *addresses: Address, scheme: str = "http"
) -> AsyncIterator[tuple[Config, list[Endpoint]]]:
    """Settings with these addresses, in this order."""
    async with AsyncExitStack() as stack:
        endpoints = []
        for address in addresses:
            config = await stack.enter_async_context(serving(address.handle))
            endpoints.append(config.endpoint._replace(scheme=scheme))
        yield (
            replace(config, endpoint=endpoints[0], other_endpoints=tuple(endpoints[1:])),
            endpoints,
        )


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_addresses_that_all_fail_are_tried_once_each(scheme: str) -> None:
    """They close each connection: during the TLS handshake, or before the answer."""
    addresses = [Address() for _ in range(3)]
    async with listening(*addresses, scheme=scheme) as (config, endpoints):
        with pytest.raises(ConnectionFailed, match=endpoints[-1].url):
            async with open_client(config):
                pass
    assert [address.connections for address in addresses] == [1, 1, 1]


@pytest.mark.parametrize(
    "answers", [(), (reply(503, b"soon"),), (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nx",)]
)
async def test_address_that_answers_badly_is_left(answers: tuple[bytes, ...]) -> None:
    addresses = Address(*answers), Address(HELLO, DONE)
    async with listening(*addresses) as (config, endpoints), open_client(config) as client:
        assert client.config.endpoint == endpoints[1]
        await client.call(INFO)
    assert [address.connections for address in addresses] == [1, 1]


@pytest.mark.parametrize("endpoint_type", ["api", "session"])
async def test_hello_goes_to_the_server_itself_where_its_storage_proxy_has_the_same_address(
    endpoint_type: str,
) -> None:
    """One web server in front of both; the storage proxy is to be reached elsewhere."""
    manager, storage = Address(HELLO, DONE), Address(HELLO)
    async with listening(manager, storage) as (config, (shared, elsewhere)):
        config = replace(
            config,
            other_endpoints=(),
            endpoint_type=endpoint_type,
            storage_proxies=((shared, elsewhere),),
        )
        async with open_client(config) as client, client.request(INFO, to="anonymous") as stream:
            await stream.read_all()
    assert [address.connections for address in (manager, storage)] == [1, 0]


async def test_hello_of_the_oldest_managers_goes_to_the_server_itself() -> None:
    manager, storage = Address(reply(404, b"no root"), HELLO), Address(HELLO, HELLO)
    async with listening(manager, storage) as (config, (shared, elsewhere)):
        proxies = ((shared, elsewhere),)
        config = replace(config, other_endpoints=(), storage_proxies=proxies)
        async with open_client(config):
            pass
    assert [address.connections for address in (manager, storage)] == [1, 0]


async def test_errors_name_the_address_that_has_answered() -> None:
    page = Address(reply(200, b"<html>", "text/html"))
    async with listening(Address(), page) as (config, endpoints):
        config = replace(config, endpoint=endpoints[0]._replace(port=1))
        with pytest.raises(
            ConfigError, match=f"{endpoints[1].url} does not answer as a Backend.AI server"
        ):
            async with open_client(config):
                pass
    async with listening(Address(), Address(reply(502, b"soon"))) as (config, endpoints):
        config = replace(config, endpoint=endpoints[0]._replace(port=1))
        with pytest.raises(ServerError) as caught:
            async with open_client(config):
                pass
    assert f"{endpoints[1].url} is not up" in (caught.value.advice or "")


async def test_settings_of_tls_hold_at_each_address(authority: trustme.CA) -> None:
    """Also where the first address is one of plain HTTP."""

    handler = accepting(until_closed)  # it says hello to whatever is no WebSocket
    secured = behind_tls(authority.issue_cert("127.0.0.1"), handler)
    async with (
        serving(handler) as config,
        serving(secured) as other,
        two_ways(config.endpoint.port) as (way, _),
    ):
        plain = config.endpoint._replace(port=way.port)
        secure = other.endpoint._replace(scheme="https")
        config = replace(config, endpoint=plain, other_endpoints=(secure,), verify_tls=False)
        with pytest.warns(InsecureConnectionWarning, match=f"are off for {secure.url} "):
            async with open_client(config) as client:
                assert client.tls is not None and client.tls.context.verify_mode is ssl.CERT_NONE
                await client.call(INFO)
                await go_down(way)
                await client.call(INFO)
                assert client.config.endpoint == secure
                async with open_websocket(client, "/socket"):
                    pass
