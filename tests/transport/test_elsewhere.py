"""A signature, a cookie and a key go to the server that they are meant for, and to nobody else:
not where a redirect leads, and not to a proxy before a tunnel."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime

import pytest
import trio

from backendai_trio import BackendError, Client, Config, ConfigError, open_client
from backendai_trio.config.endpoints import parse_endpoint
from backendai_trio.config.settings import Login
from backendai_trio.transport.websocket_connect import open_websocket
from backendai_trio.wire.http import Request

from .servers import HELLO, INFO, read_head, reply, serving

STATUSES = [301, 302, 303, 307, 308]
POST = Request("POST", "/session", (), b'{"a": 1}', "application/json")
COOKIE = {"AIOHTTP_SESSION": "the-cookie-of-a-login"}
SIGNS = re.compile(rb"(?im)^(authorization|cookie|x-backendai-[\w-]+|date):")


class Recorder:
    """A server that keeps all it receives, and says hello to everything."""

    def __init__(self) -> None:
        self.connections = 0
        self.received = b""

    async def handle(self, stream: trio.SocketStream) -> None:
        self.connections += 1
        while head := await read_head(stream):
            self.received += head
            await stream.send_all(HELLO)


async def call(client: Client) -> None:
    await client.call(INFO)


async def post(client: Client) -> None:
    await client.call(POST)


async def stream(client: Client) -> None:
    async with client.request(INFO) as response:
        await response.read_all()


async def websocket(client: Client) -> None:
    async with open_websocket(client, "/socket"):
        pass


WAYS = [call, post, stream, websocket]


def of_type(config: Config, endpoint_type: str) -> Config:
    if endpoint_type == "api":
        return config
    return replace(config, endpoint_type="session", login=Login("user", "", COOKIE))


@pytest.mark.parametrize("endpoint_type", ["api", "session"])
@pytest.mark.parametrize("way", [None, *WAYS])
@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("same_host", [False, True])
async def test_redirects(status: int, way: object, endpoint_type: str, same_host: bool) -> None:
    """None is followed, to another server or on the same one, whatever was asked for."""
    elsewhere = Recorder()
    heads: list[bytes] = []
    async with serving(elsewhere.handle) as other:
        target = "/login" if same_host else f"{other.endpoint.url}/login"

        async def redirect(stream: trio.SocketStream) -> None:
            while head := await read_head(stream):
                heads.append(head)
                is_hello = len(heads) == 1 and way is not None
                moved = reply(status, b"", "text/html", f"Location: {target}")
                await stream.send_all(HELLO if is_hello else moved)

        async with serving(redirect) as config:
            with pytest.raises(BackendError):
                async with open_client(of_type(config, endpoint_type)) as client:
                    assert callable(way)
                    await way(client)
    assert elsewhere.connections == 0
    assert len(heads) <= 2 and not any(b" /login" in head for head in heads)


async def test_certificates_that_cannot_be_read_for_a_storage_proxy() -> None:
    """A client of a server on plain HTTP reads them for the first connection by TLS: before it."""
    storage = Recorder()
    async with serving(storage.handle) as at_storage, serving(Recorder().handle) as config:
        to = at_storage.endpoint._replace(scheme="https")
        async with open_client(replace(config, ca_file="missing.pem")) as client:
            with pytest.raises(ConfigError, match=r"missing\.pem"):
                async with client.request(INFO, to=to):
                    raise AssertionError
    assert storage.connections == 0


@pytest.mark.parametrize("status", STATUSES)
async def test_storage_proxy_that_redirects(status: int) -> None:
    """To a server of an attacker, or back to the manager: a request there would be signed."""
    manager, elsewhere = Recorder(), Recorder()
    async with serving(manager.handle) as config, serving(elsewhere.handle) as other:
        for target in (other.endpoint.url, config.endpoint.url):

            async def redirect(stream: trio.SocketStream, target: str = target) -> None:
                while await read_head(stream):
                    await stream.send_all(reply(status, b"", "text/html", f"Location: {target}/x"))

            async with serving(redirect) as storage, open_client(config) as client:
                with pytest.raises(BackendError):
                    async with client.request(INFO, to=storage.endpoint) as response:
                        await response.read_all()
    assert elsewhere.connections == 0
    assert b"GET /x" not in manager.received


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 Go on\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: {other}/x\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 407 Who?\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n",
    ],
)
@pytest.mark.parametrize("endpoint_type", ["api", "session"])
async def test_proxy_before_a_tunnel(answer: bytes, endpoint_type: str) -> None:
    """It is asked for the tunnel with nothing that signs, and gets nothing else in the clear."""
    received = bytearray()
    elsewhere = Recorder()
    async with serving(elsewhere.handle) as other:

        async def proxy(stream: trio.SocketStream) -> None:
            received.extend(await read_head(stream))
            await stream.send_all(answer.replace(b"{other}", other.endpoint.url.encode()))
            received.extend(await stream.receive_some(65536))

        async with serving(proxy) as config:
            wanted = replace(
                of_type(config, endpoint_type),
                endpoint=parse_endpoint("https://manager.example.com"),
                proxy=f"http://user:pass-word@127.0.0.1:{config.endpoint.port}",
                proxy_variable="HTTPS_PROXY",
            )
            with pytest.raises(BackendError):
                async with open_client(wanted):
                    pass
    assert received.startswith(b"CONNECT manager.example.com:443 HTTP/1.1\r\n")
    head, _, rest = bytes(received).partition(b"\r\n\r\n")
    assert not SIGNS.search(head)
    # What follows is a TLS handshake.
    assert rest == b"" or rest.startswith(b"\x16\x03")
    assert elsewhere.connections == 0


async def test_signatures_are_bound_to_their_server() -> None:
    """The server's host is signed: a server cannot use at another one what it was sent."""
    one, two = Recorder(), Recorder()
    signatures = []
    for server in (one, two):
        async with serving(server.handle) as config, open_client(config) as client:
            client.clock = lambda: datetime(2026, 11, 30, tzinfo=UTC)
            await client.call(INFO)
        signatures.append(re.findall(rb"(?im)^authorization: .*credential=(\S+)", server.received))
    first, second = signatures
    assert first and second and not {*first} & {*second}
