"""A connection that the client has closed is closed by the server as well, and at once."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from backendai_trio import Client
from backendai_trio.gateway import Gateway
from backendai_trio.proxy import open_proxy

from ..leaks.census import Place, settled

REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
WAYS = {
    "before a request": (b"", False),
    "in a request": (REQUEST[:-2], False),
    "before the response": (REQUEST, False),
    "after the response": (REQUEST, True),
}


async def leave(port: int, sent: bytes, *, read: bool) -> None:
    """Connect, send this, perhaps wait for a response, and close the connection."""
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(sent)
        if read:
            assert await stream.receive_some(65536)
        await trio.testing.wait_all_tasks_blocked()  # the server waits for more


@pytest.mark.parametrize("way", WAYS)
async def test_the_gateway_closes_it(gateway: Gateway, way: str) -> None:
    sent, read = WAYS[way]
    place = Place(())
    before = place.census()
    for _ in range(3):
        await leave(gateway.config.endpoint.port, sent, read=read)
    assert await settled(place, before) == []


async def test_the_signing_proxy_closes_it(client: Client) -> None:
    async with open_proxy(client) as proxy:
        port = int(proxy.url.rpartition(":")[2])
        await leave(port, REQUEST, read=True)  # it asks the gateway, over a connection that stays
        place = Place(())
        before = place.census()
        for _ in range(3):
            await leave(port, REQUEST, read=True)
        assert await settled(place, before) == []
