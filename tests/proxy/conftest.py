"""A proxy in front of a server that tells what arrived, and one in front of the gateway."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import pytest
import trio_websocket

from backendai_trio import Client, open_client
from backendai_trio.proxy import Proxy, ProxyOptions, open_proxy

from .. import plain_http
from ..plain_http import PlainResponse
from ..websockets import open_vanilla_websocket
from .upstream import Upstream, open_upstream

SEED, SESSION = "v2.20170315", "v6.20200815"
FRIEND = "http://friend.example:3000"


class Web(NamedTuple):
    """A vanilla HTTP client of a proxy."""

    url: str

    async def ask(
        self, method: str, target: str, body: bytes = b"", **headers: str
    ) -> PlainResponse:
        """Ask; header names are written with underscores."""
        named = [(name.replace("_", "-"), value) for name, value in headers.items()]
        return await plain_http.request(method, self.url + target, headers=named, content=body)

    @asynccontextmanager
    async def piece_by_piece(self, target: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """The body of an answer as it comes."""
        async with plain_http.stream("GET", self.url + target) as response:
            yield response.chunks


class Chain(NamedTuple):
    """A server, a proxy and a client of the proxy."""

    upstream: Upstream
    proxy: Proxy
    web: Web

    @asynccontextmanager
    async def socket(
        self, path: str, *, host: str = "localhost", **options: Any
    ) -> AsyncIterator[trio_websocket.WebSocketConnection]:
        """A vanilla WebSocket through the proxy."""
        port = self.proxy.port
        async with open_vanilla_websocket(port, path, host=host, **options) as socket:
            yield socket


@pytest.fixture(params=[SEED, SESSION])
async def chain(request: pytest.FixtureRequest) -> AsyncIterator[Chain]:
    """Two eras: one signs bodies, the other does not."""
    async with (
        open_upstream(request.param) as (upstream, config),
        open_client(config) as client,
        open_proxy(client, ProxyOptions(allow_origins=[FRIEND])) as proxy,
    ):
        yield Chain(upstream, proxy, Web(proxy.url))


@pytest.fixture
async def web(client: Client) -> AsyncIterator[Web]:
    """A client of a proxy of the gateway."""
    async with open_proxy(client) as proxy:
        yield Web(proxy.url)
