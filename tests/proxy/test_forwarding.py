"""What a proxy passes on, byte for byte, and what it must not."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace

import h11
import pytest
import trio
import trio_websocket
from hypothesis import given
from hypothesis import strategies as st

from backendai_trio import GatewayOptions, open_client, open_gateway
from backendai_trio.proxy import open_proxy
from backendai_trio.wire.http import Request
from backendai_trio.wire.versions import SEED, SESSION_6

from .. import plain_http
from ..plain_http import PlainResponse
from ..websockets import open_vanilla_websocket
from .conftest import Chain, Web
from .upstream import MEBIBYTE, SECRET_KEY, open_upstream

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "REPORT"]
# What a path may hold and a careless proxy would change.
TARGET = "/odd//a%2Fb/%c3%a9;x=1/..%2e?q=1&q=%20+&empty=&=~"


def told(response: PlainResponse) -> dict[str, str]:
    return {name.decode().lower(): value.decode() for name, value in response.headers}


@pytest.mark.parametrize("method", METHODS)
async def test_methods_targets_and_bodies(chain: Chain, method: str) -> None:
    body = b"" if method in ("GET", "HEAD") else bytes(range(256)) * 40
    response = await chain.web.ask(method, TARGET, body)
    assert response.status == 200
    if method == "HEAD":
        assert response.content == b"" and int(told(response)["content-length"]) > 100
        return
    seen = json.loads(response.content)
    assert seen["method"] == method
    assert seen["target"] == chain.proxy.client.era.server_path(TARGET)
    assert (seen["size"], seen["sha256"]) == (len(body), hashlib.sha256(body).hexdigest())


async def test_chunked_body(chain: Chain) -> None:
    async def pieces() -> AsyncIterator[bytes]:  # noqa: ASYNC124
        for number in range(100):
            yield str(number).encode()

    response = await plain_http.request("POST", f"{chain.web.url}/x", content=pieces())
    expected = "".join(map(str, range(100))).encode()
    assert json.loads(response.content)["sha256"] == hashlib.sha256(expected).hexdigest()


async def test_headers_of_the_request(chain: Chain) -> None:
    response = await chain.web.ask(
        "POST",
        "/x",
        b"{}",
        Content_Type="application/json; charset=utf-8",
        Connection="keep-alive, X-Mine",
        X_Mine="between us two",
        Keep_Alive="timeout=1",
        TE="trailers",
        Upgrade="something/1",
        Proxy_Authorization="Basic Zm9vOmJhcg==",
        Cookie="other=server",
        Authorization="Basic Zm9vOmJhcg==",
        Date="yesterday",
        X_BackendAI_Version="v1",
        X_Forwarded_Host="evil.example",
        X_Forwarded_URL="http://evil.example/",
        User_Agent="vanilla",
        Accept="text/plain",
        X_Kept="kept",
    )
    pairs = json.loads(response.content)["headers"]
    seen = dict(pairs)
    assert len(pairs) == len(seen), "a header came twice"
    assert set(seen) <= {
        "host", "user-agent", "date", "x-backendai-version", "content-type", "authorization",
        "content-length", "via", "accept", "x-kept",
    }  # fmt: skip
    assert seen["host"] == chain.proxy.client.config.endpoint.host_header
    assert seen["content-type"] == "application/json; charset=utf-8"
    assert seen["authorization"].startswith("BackendAI ")
    assert seen["x-backendai-version"] == chain.proxy.client.era.version
    assert (seen["user-agent"], seen["accept"], seen["x-kept"]) == ("vanilla", "text/plain", "kept")


@pytest.mark.parametrize("name", ["X-B3-TraceId", "X_Custom", "a", "!#$%&'*+-.^_`|~09azAZ"])
async def test_any_legal_header_is_passed_on(chain: Chain, name: str) -> None:
    """Names are tokens of RFC 9110, values may hold bytes that are not ASCII."""
    url = f"{chain.web.url}/x"
    response = await plain_http.request("GET", url, headers=[(name, "a\t\xe9 b")])
    assert response.status == 200
    assert [name.lower(), "a\t\xe9 b"] in json.loads(response.content)["headers"]


async def test_compressed_answers_are_not_opened(chain: Chain) -> None:
    response = await chain.web.ask("GET", "/compressed")
    assert told(response)["content-encoding"] == "gzip"
    assert gzip.decompress(response.content) == MEBIBYTE
    response = await chain.web.ask("GET", "/compressed?as=br")  # which nobody here knows
    assert (response.status, told(response)["content-encoding"]) == (200, "br")
    assert gzip.decompress(response.content) == MEBIBYTE


async def test_headers_of_the_answer(chain: Chain) -> None:
    response = await chain.web.ask("GET", "/x")
    names = [name.decode().lower() for name, _ in response.headers]
    cookies = [value for name, value in response.headers if name.lower() == b"set-cookie"]
    assert cookies == [b"a=1", b"b=2"]
    assert names.count("date") == names.count("content-length") == 1
    hops = {"keep-alive", "x-hop", "connection", "transfer-encoding"}
    assert not hops & set(names)
    assert not [name for name in names if name.startswith("access-control-")]


@pytest.mark.parametrize("status", [201, 204, 206, 301, 304, 400, 404, 418, 500, 503])
async def test_statuses(chain: Chain, status: int) -> None:
    """Redirects too: following them is up to who asked."""
    response = await chain.web.ask("GET", f"/status?of={status}")
    assert response.status == status
    assert told(response)["location"] == "/elsewhere"
    assert response.content == (b"" if status in (204, 304) else b"body")


async def test_fifty_at_once(chain: Chain) -> None:
    """The server answers none before all are there."""
    statuses: list[int] = []

    async def ask() -> None:
        statuses.append((await chain.web.ask("POST", "/crowd", b"x" * 5000)).status)

    async with trio.open_nursery() as nursery:
        for _ in range(chain.upstream.crowd):
            nursery.start_soon(ask)
    assert statuses == [200] * 50


async def test_download_is_whole(chain: Chain) -> None:
    response = await chain.web.ask("GET", "/bytes?mebibytes=5")
    assert response.content == MEBIBYTE * 5
    assert "content-length" not in told(response)


async def test_one_who_hangs_up_is_heard_of(chain: Chain) -> None:
    async with chain.web.piece_by_piece("/endless") as chunks:
        assert await anext(chunks) == b"first"
    await chain.upstream.hung_up.wait()


async def test_an_answer_that_breaks_off_is_no_whole_one(chain: Chain) -> None:
    async with chain.web.piece_by_piece("/endless") as chunks:
        assert await anext(chunks) == b"first"
        chain.upstream.stop.set()
        with pytest.raises(h11.RemoteProtocolError):
            await anext(chunks)


async def test_server_that_has_gone() -> None:
    async with AsyncExitStack() as stack:
        async with open_upstream("v6.20200815") as (upstream, config):
            client = await stack.enter_async_context(open_client(config))
        proxy = await stack.enter_async_context(open_proxy(client))
        chain = Chain(upstream, proxy, Web(proxy.url))
        response = await chain.web.ask("POST", "/x", b"x" * 3_000_000)
        with pytest.raises(trio_websocket.ConnectionRejected) as refused:
            async with chain.socket("/x"):
                pass
    assert response.status == refused.value.status_code == 502
    assert f"cannot connect to {config.endpoint.url}" in json.loads(response.content)["msg"]
    assert SECRET_KEY.encode() not in response.content


@pytest.mark.parametrize(
    "target", ["/folders/_/download_with_token?token=let-me-in", "/folders/_/tus/upload/let-me-in"]
)
async def test_tokens_do_not_show(target: str, caplog: pytest.LogCaptureFixture) -> None:
    """Neither in logs nor in the proxy's own problems; also where the server has gone."""
    caplog.set_level("DEBUG", "backendai_trio")
    async with AsyncExitStack() as stack:
        async with open_upstream("v6.20200815") as (upstream, config):
            client = await stack.enter_async_context(open_client(config))
        proxy = await stack.enter_async_context(open_proxy(client))
        chain = Chain(upstream, proxy, Web(proxy.url))
        told = (await chain.web.ask("GET", target)).content.decode()
        with pytest.raises(trio_websocket.ConnectionRejected) as refused:
            async with chain.socket(target):
                pass
        told += (refused.value.body or b"").decode()
    async with open_upstream("v6.20200815") as (_, config), open_client(config) as client:
        await client.call(Request("GET", target))
        async with open_proxy(client) as proxy, open_vanilla_websocket(proxy.port, target):
            pass
    assert "cannot connect" in told
    assert {record.name for record in caplog.records} >= {"backendai_trio.http"}
    told += caplog.text
    assert "let-me-in" not in told, told


async def test_end_while_a_client_does_not_read(chain: Chain) -> None:
    """The block of `open_proxy` ends although the proxy is in the middle of a write."""
    async with open_proxy(chain.proxy.client) as proxy:
        stream = await trio.open_tcp_stream("127.0.0.1", proxy.port)
        request = "GET /bytes?mebibytes=500 HTTP/1.1\r\nHost: localhost\r\n\r\n"
        await stream.send_all(request.encode())
        assert (await stream.receive_some(100)).startswith(b"HTTP/1.1 200")
    await trio.aclose_forcefully(stream)


# --- WebSockets ----------------------------------------------------------------------------------


async def test_messages_both_ways(chain: Chain) -> None:
    options = {"subprotocols": ["one", "two"], "max_message_size": 2**24}
    async with chain.socket("/socket", **options) as web:
        assert web.subprotocol == "two"
        await web.send_message("grüß")
        assert json.loads(await web.get_message()) == {"you": "grüß"}
        for data in (b"", b"\0\xff", MEBIBYTE * 3):
            await web.send_message(data)
            assert await web.get_message() == data


@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (1013, "try later"), (4321, "ours")])
async def test_how_the_server_closes(chain: Chain, code: int, reason: str) -> None:
    async with chain.socket("/socket") as web:
        await web.send_message(b"before")
        await web.send_message(f"close {code} {reason}")
        assert await web.get_message() == b"before"
        with pytest.raises(trio_websocket.ConnectionClosed) as closed:
            await web.get_message()
    assert closed.value.reason is not None
    assert (closed.value.reason.code, closed.value.reason.reason or "") == (code, reason)


async def test_a_client_that_closes_is_heard_of(chain: Chain) -> None:
    async with chain.socket("/socket") as web:
        await web.send_message(b"x")
        await web.get_message()
        await web.aclose()
        await chain.upstream.hung_up.wait()


async def test_a_client_that_vanishes_is_heard_of(chain: Chain) -> None:
    async with chain.socket("/socket") as web:
        await web.send_message(b"x")
        await web.get_message()
    await chain.upstream.hung_up.wait()


async def test_refused_upgrade(chain: Chain) -> None:
    with pytest.raises(trio_websocket.ConnectionRejected) as refused:
        async with chain.socket("/refused"):
            pass
    assert refused.value.status_code == 404
    assert b"such app" in (refused.value.body or b"")


# --- paths ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/kernel/x", "/v2/kernel/x"),
        ("/v2/kernel/x", "/v2/kernel/x"),
        ("/v3/kernel/x", "/v2/kernel/x"),
        ("/v2", "/v2"),
        ("/", "/v2"),
        ("/v2/", "/v2"),
        ("/v2x/y", "/v2/v2x/y"),
        ("/folders/v3/x", "/v2/folders/v3/x"),
    ],
)
def test_paths_of_an_era_with_a_prefix(path: str, expected: str) -> None:
    assert SEED.server_path(path) == expected
    assert SESSION_6.server_path(path) == path
    # Managers 1.3 tell their version at the root, and only there.
    later = replace(SEED, hello_path="/")
    assert later.server_path(path) == (expected if expected != "/v2" else "/")


@pytest.mark.parametrize("hello_path", ["/", "/v2"])
@pytest.mark.usefixtures("gateway_parent")
async def test_the_version_of_a_seed_server(hello_path: str) -> None:
    """A client behind the proxy finds the server, wherever that tells its version."""
    seed = replace(SEED, hello_path=hello_path)
    async with (
        open_gateway(GatewayOptions(eras=(seed,))) as gateway,
        open_client(gateway.config) as client,
        open_proxy(client) as proxy,
    ):
        assert client.era == seed
        for path in ("/", "/v2", "/v2/", "/v3"):
            response = await plain_http.request("GET", proxy.url + path)
            assert json.loads(response.content)["version"] == SEED.version
        behind = gateway.config.endpoint._replace(host=proxy.host, port=proxy.port)
        async with open_client(replace(gateway.config, endpoint=behind)) as through:
            assert through.era.name == "seed"
            assert (await through.call(Request("GET", "/v2/authorize"))).status == 200


@given(st.text("/v2x", min_size=1).map(lambda text: "/" + text))
def test_a_server_path_stays(path: str) -> None:
    once = SEED.server_path(path)
    assert once.startswith("/v2")
    if once.rstrip("/") != "/v2" and not once.startswith("/v2/v2"):
        assert SEED.server_path(once) == once
