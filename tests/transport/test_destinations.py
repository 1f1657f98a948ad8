"""Where a request goes, and what lets it in there."""

from __future__ import annotations

from dataclasses import replace

import pytest
import trio

from backendai_trio import Config, open_client
from backendai_trio.config.settings import Endpoint, Login
from backendai_trio.transport.client import Destination
from backendai_trio.wire.http import Request

from .servers import HELLO, read_head, reply, serving

ASK = Request("GET", "/ask")
COOKIE = {"name": "value"}


class Server:
    """Says hello, and keeps the heads of the other requests."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []

    async def handle(self, stream: trio.SocketStream) -> None:
        while head := await read_head(stream):
            if b"/ask " in head:
                self.heads.append(head)
                await stream.send_all(reply(200, b"{}", "application/json"))
            else:
                await stream.send_all(HELLO)


def of_type(config: Config, endpoint_type: str) -> Config:
    if endpoint_type == "api":
        return config
    login = Login("user", "", COOKIE)
    return replace(config, endpoint_type="session", login=login)


@pytest.mark.parametrize(
    ("endpoint_type", "to", "path", "authorized"),
    [
        ("api", "api", b"/ask", b"authorization:"),
        ("api", "server", b"/ask", b"authorization:"),
        ("api", "anonymous", b"/ask", None),
        ("session", "api", b"/func/ask", b"cookie:"),
        ("session", "server", b"/ask", b"cookie:"),
        ("session", "anonymous", b"/ask", None),
    ],
)
async def test_server(
    endpoint_type: str, to: Destination, path: bytes, authorized: bytes | None
) -> None:
    server = Server()
    async with (
        serving(server.handle) as config,
        open_client(of_type(config, endpoint_type)) as client,
        client.request(ASK, to=to) as response,
    ):
        await response.read_all()
    (head,) = server.heads
    assert head.startswith(b"GET " + path + b" HTTP/1.1\r\n")
    found = [name for name in (b"authorization:", b"cookie:") if name in head.lower()]
    assert found == ([] if authorized is None else [authorized])


@pytest.mark.parametrize("endpoint_type", ["api", "session"])
async def test_storage_proxy(endpoint_type: str) -> None:
    """By the address that the server gives; it is reached at another, without a signature."""
    server, storage = Server(), Server()
    given = Endpoint("http", "storage.invalid", 6021, "")
    async with serving(server.handle) as config, serving(storage.handle) as other:
        config = replace(config, storage_proxies=((given, other.endpoint),))
        async with (
            open_client(of_type(config, endpoint_type)) as client,
            client.request(ASK, to=given) as response,
        ):
            await response.read_all()
    assert not server.heads
    (head,) = storage.heads
    assert head.startswith(b"GET /ask HTTP/1.1\r\n")
    assert b"authorization:" not in head.lower() and b"cookie:" not in head.lower()
