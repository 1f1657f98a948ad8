"""Who may use a proxy: by the headers, and on the wire."""

from __future__ import annotations

import json

import pytest
import trio
import trio_websocket
from hypothesis import given
from hypothesis import strategies as st

from backendai_trio import ConfigError
from backendai_trio.proxy.guard import Guard, parse_origin

from .conftest import FRIEND, Chain

GUARD = Guard.of("127.0.0.1", "localhost", [FRIEND])
OPEN = Guard.of("0.0.0.0", "0.0.0.0", [])


@pytest.mark.parametrize(
    "host",
    ["localhost:8084", "LOCALHOST", "127.0.0.1:8084", "127.1.2.3:1", "[::1]:8084", "localhost:9"],
)
def test_own_hosts(host: str) -> None:
    """Ports do not matter: a tunnel may bring another one."""
    assert GUARD.refusal({"host": host}) is None
    assert GUARD.refusal({"host": host, "origin": f"http://{host}"}) is None


@pytest.mark.parametrize(
    "host",
    [
        "", "evil.example", "evil.example:8084", "localhost.evil.example", "127.0.0.1.evil.example",
        "192.168.1.2:8084", "8.8.8.8", "[fe80::1]", "localhost:8084@evil", "localhost,evil",
        "evil#localhost", "[localhost]", "127.0.0.1:port", "2130706433", "127.1", "0x7f.1",
    ],
)  # fmt: skip
def test_foreign_hosts(host: str) -> None:
    refusal = GUARD.refusal({"host": host})
    assert refusal is not None and "localhost or 127.0.0.1" in refusal


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example", "https://localhost:8084", "http://localhost:3000", "null",
        "http://localhost:8084.evil.example", "http://friend.example", "https://friend.example:3000",
        "http://localhost:8084 http://evil.example",
    ],
)  # fmt: skip
def test_foreign_origins(origin: str) -> None:
    headers = {"host": "localhost:8084", "origin": origin}
    refusal = GUARD.refusal(headers)
    assert refusal is not None and "--allow-origin" in refusal
    assert GUARD.shares_with(headers) is None


def test_allowed_origin() -> None:
    headers = {"host": "localhost:8084", "origin": FRIEND, "sec-fetch-site": "cross-site"}
    assert GUARD.refusal(headers) is None
    assert GUARD.shares_with(headers) == FRIEND
    assert GUARD.refusal(headers | {"host": "evil.example"}) is not None


@pytest.mark.parametrize(
    ("site", "passes"),
    [("same-origin", True), ("none", True), ("same-site", False), ("cross-site", False)],
)
def test_requests_without_an_origin(site: str, passes: bool) -> None:
    headers = {"host": "localhost:8084", "sec-fetch-site": site}
    assert (GUARD.refusal(headers) is None) is passes


def test_open_to_the_network() -> None:
    assert OPEN.refusal({"host": "192.168.1.2:8084"}) is None
    assert OPEN.refusal({"host": "evil.example"}) is not None
    assert OPEN.refusal({"host": "192.168.1.2", "origin": "http://192.168.1.3"}) is not None


@given(st.text(), st.text())
def test_any_text_gets_an_answer(host: str, origin: str) -> None:
    refusal = GUARD.refusal({"host": host, "origin": origin})
    assert refusal is not None or host.lower().startswith(("localhost", "127.", "[::1]"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://Localhost:3000", "http://localhost:3000"),
        ("https://x.example:443/", "https://x.example"),
        ("http://x.example:80", "http://x.example"),
        ("https://x.example:80", "https://x.example:80"),
        ("http://[::1]:5173", "http://[::1]:5173"),
        ("chrome-extension://abcdef", "chrome-extension://abcdef"),
    ],
)
def test_origins(text: str, expected: str) -> None:
    assert parse_origin(text) == expected
    assert parse_origin(expected) == expected


@pytest.mark.parametrize(
    "text", ["", "*", "null", "localhost:3000", "http://", "http://x/y", "http://x?q", "http://u@x",
             "http://x:99999", "http://*.x.example", "http://x#f"],
)  # fmt: skip
def test_no_origins(text: str) -> None:
    with pytest.raises(ConfigError, match="--allow-origin"):
        parse_origin(text)


@given(st.text())
def test_any_text_is_an_origin_or_an_error(text: str) -> None:
    try:
        origin = parse_origin(text)
    except ConfigError:
        return
    assert parse_origin(origin) == origin


# --- on the wire ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec_Fetch_Site": "cross-site"},
    ],
)
async def test_refusals(chain: Chain, headers: dict[str, str]) -> None:
    """Whatever is asked, and however much is sent; the connection goes on."""
    for method, path in [("GET", "/x"), ("POST", "/x"), ("GET", "/graphiql"), ("OPTIONS", "/x")]:
        body = b"x" * 3_000_000 if method == "POST" else b""
        response = await chain.web.ask(method, path, body, **headers)
        assert response.status == 403
        problem = json.loads(response.content)
        assert problem["title"].startswith("The proxy refuses this request")
        assert "access-control-allow-origin" not in dict(response.headers)


@pytest.mark.parametrize(
    "header", [("Host", "evil.example"), ("Origin", "http://evil.example"), ("Origin", "null")]
)
async def test_refused_sockets(chain: Chain, header: tuple[str, str]) -> None:
    name, value = header
    host = value if name == "Host" else "localhost"
    extra = [] if name == "Host" else [(name.encode(), value.encode())]
    with pytest.raises(trio_websocket.ConnectionRejected) as refused:
        async with chain.socket("/socket", host=host, extra_headers=extra):
            pass
    assert refused.value.status_code == 403


async def test_another_server_is_not_to_be_had(chain: Chain) -> None:
    """The form of requests to an HTTP proxy of the usual kind."""
    async with await trio.open_tcp_stream("127.0.0.1", chain.proxy.port) as stream:
        await stream.send_all(
            b"GET http://localhost/x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )
        assert (await stream.receive_some(4096)).startswith(b"HTTP/1.1 403 ")


async def test_an_allowed_page(chain: Chain) -> None:
    asked = await chain.web.ask(
        "OPTIONS",
        "/x",
        Origin=FRIEND,
        Access_Control_Request_Method="DELETE",
        Access_Control_Request_Headers="content-type",
        Access_Control_Request_Private_Network="true",
    )
    told = {name.decode().lower(): value.decode() for name, value in asked.headers}
    assert asked.status == 204
    assert told["access-control-allow-origin"] == FRIEND
    assert told["access-control-allow-methods"] == "DELETE"
    assert told["access-control-allow-headers"] == "content-type"
    assert told["access-control-allow-private-network"] == "true"
    answered = await chain.web.ask("DELETE", "/x", Origin=FRIEND)
    assert answered.status == 200
    assert [v for n, v in answered.headers if n.lower() == b"access-control-allow-origin"] == [
        FRIEND.encode()
    ]
