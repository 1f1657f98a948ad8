"""What clients may take of a gateway: one that takes more is refused, and no other one notices."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trio

from backendai_trio import GatewayOptions, open_gateway
from backendai_trio.gateway import Account, Gateway, GatewayLimits, QueryLimits
from backendai_trio.gateway.api.manager_streams import ANSWERS_AHEAD
from backendai_trio.gateway.bodies import UnsignedBodies
from backendai_trio.gateway.kernels.terminal import MAX_CLIENT_NAME
from backendai_trio.gateway.refusals import Refused
from backendai_trio.wire.logins import LOGIN_PATH
from backendai_trio.wire.signing import Signed, sign

from ...local_kernels import files_below
from .raw_client import Answer, Raw, exchange

# One for each test; all else is as usual.
_LIMITS = GatewayLimits()


def limited(**changes: object) -> pytest.MarkDecorator:
    """Run a test with a gateway that has other limits."""
    return pytest.mark.parametrize("limits", [replace(_LIMITS, **changes)])  # type: ignore[arg-type]


@asynccontextmanager
async def connected(gateway: Gateway) -> AsyncIterator[trio.SocketStream]:
    async with await trio.open_tcp_stream("127.0.0.1", gateway.config.endpoint.port) as stream:
        yield stream


async def read_all(stream: trio.SocketStream) -> bytes:
    """What the server sends until it closes the connection."""
    data = b""
    try:
        async for chunk in stream:
            data += chunk
    except trio.BrokenResourceError:
        pass
    return data


async def check_served(raw: Raw) -> None:
    assert (await raw("POST", "/auth", {"echo": "x"})).status == 200


def head(raw: Raw, path: str = "/auth", *lines: str, version: str = "", body: bytes = b"") -> bytes:
    """The head of a signed POST of JSON, without its end."""
    date, host = datetime.now(UTC).isoformat(), raw.gateway.config.endpoint.host_header
    version, kind = version or raw.version, "application/json"
    signature = sign(
        Signed("POST", path, date, host, kind, version, "x-backendai-version", body),
        access_key=raw.gateway.config.access_key,
        secret_key=raw.gateway.config.secret_key,
    )
    fields = [
        f"POST {path} HTTP/1.1",
        f"Host: {host}",
        f"Date: {date}",
        f"X-BackendAI-Version: {version}",
        f"Content-Type: {kind}",
        f"Authorization: {signature}",
        *lines,
    ]
    return "".join(f"{line}\r\n" for line in fields).encode()


# --- connections and heads -----------------------------------------------------------------------


@limited(max_connections=3)
async def test_too_many_connections(gateway: Gateway, session: Raw) -> None:
    async with connected(gateway) as one, connected(gateway) as two:
        await check_served(session)  # the third
        async with connected(gateway) as three:
            refusal = await exchange(gateway, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (refusal.status, refusal.json()["title"]) == (503, "Too many connections")
            # The others go on.
            for stream in (one, two, three):
                await stream.send_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                assert (await stream.receive_some()).startswith(b"HTTP/1.1 200 ")
        with trio.fail_after(20):
            while (await exchange(gateway, b"GET / HTTP/1.0\r\nHost: x\r\n\r\n")).status == 503:
                pass


@limited(max_head_bytes=2000)
@pytest.mark.parametrize("line", [b"X: y\r\n", b"X: " + b"y" * 100 + b"\r\n", b"y"])
async def test_head_that_is_too_large(gateway: Gateway, session: Raw, line: bytes) -> None:
    async with connected(gateway) as stream:
        await stream.send_all(b"GET / HTTP/1.1\r\nHost: x\r\n" + line * (3000 // len(line)))
        assert (await read_all(stream)).startswith(b"HTTP/1.1 431 ")
    await check_served(session)


@limited(head_seconds=0.5)
@pytest.mark.parametrize("start", [b"", b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HT"])
async def test_head_that_trickles(gateway: Gateway, session: Raw, start: bytes) -> None:
    """On a new connection, and on one that has carried a request."""
    async with connected(gateway) as stream, trio.open_nursery() as nursery:

        async def trickle() -> None:
            try:
                while True:
                    await stream.send_all(b"a")
                    await trio.sleep(0.01)
            except trio.BrokenResourceError:
                pass

        await stream.send_all(start)
        nursery.start_soon(trickle)
        answered = await read_all(stream)
        assert answered.count(b"HTTP/1.1 200 ") == bool(start)
        nursery.cancel_scope.cancel()
    await check_served(session)


async def test_connections_do_not_become_http_2(gateway: Gateway, session: Raw) -> None:
    """Its limits are others."""
    upgrade = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\n"
    async with connected(gateway) as stream:
        await stream.send_all(b"GET / HTTP/1.1\r\nHost: x\r\n" + upgrade + b"\r\n")
        assert (await stream.receive_some()).startswith(b"HTTP/1.1 200 ")
    async with connected(gateway) as stream:
        await stream.send_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        assert (await read_all(stream)).startswith(b"HTTP/1.1 4")
    await check_served(session)


# --- bodies --------------------------------------------------------------------------------------


@limited(body_seconds=0.1)
async def test_body_that_does_not_come(gateway: Gateway, session: Raw) -> None:
    async with connected(gateway) as stream:
        await stream.send_all(head(session, "/auth", "Content-Length: 100") + b'\r\n{"echo": ')
        answer = await read_all(stream)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"9 bytes have arrived" in answer
    await check_served(session)


@limited(body_seconds=0.1, max_body_bytes=1_000_000)
async def test_large_body_gets_time(session: Raw) -> None:
    """A second for each 16 KiB of it."""
    async with connected(session.gateway) as stream:
        body = json.dumps({"echo": "x" * 100_000}).encode()
        size = f"Content-Length: {len(body)}"
        await stream.send_all(head(session, "/auth", size, "Connection: close") + b"\r\n")
        await stream.send_all(body[:90_000])
        await trio.sleep(0.3)
        await stream.send_all(body[90_000:])
        assert (await read_all(stream)).startswith(b"HTTP/1.1 200 ")


@limited(refused_seconds=0.1)
async def test_refused_body_that_trickles(gateway: Gateway, session: Raw) -> None:
    """The rest of a refused request is read for a while, so that the refusal is; not for ever."""
    async with connected(gateway) as stream, trio.open_nursery() as nursery:

        async def trickle() -> None:
            try:
                while True:
                    await stream.send_all(b"x")
                    await trio.sleep(0.01)
            except trio.BrokenResourceError:
                pass

        await stream.send_all(b"POST /auth HTTP/1.1\r\nHost: x\r\nContent-Length: 99999\r\n\r\n")
        nursery.start_soon(trickle)
        assert (await read_all(stream)).startswith(b"HTTP/1.1 400 ")
        nursery.cancel_scope.cancel()
    await check_served(session)


@pytest.mark.parametrize(
    ("path", "changed", "status"),
    [
        ("/auth", (b"credential=AKIA", b"credential=AKIB"), 401),
        ("/auth", (b"Authorization", b"X-Authorization"), 401),
        ("/auth", (b"Date: 20", b"Date: 19"), 400),
        # Of this version the body is signed: it is read, unless something else is wrong already.
        ("/v2/kernel/create", (b"Authorization", b"X-Authorization"), 401),
        ("/v2/kernel/create", (b"Date: 20", b"Date: 19"), 400),
        ("/v2/kernel/create", (b"signMethod=HMAC", b"signMethod=X"), 400),
    ],
)
async def test_body_of_what_is_not_signed_is_not_waited_for(
    gateway: Gateway, session: Raw, seed: Raw, path: str, changed: tuple[bytes, bytes], status: int
) -> None:
    """The refusal comes before any of the body was sent."""
    sent = head(seed if path.startswith("/v2") else session, path, "Content-Length: 1000000")
    assert changed[0] in sent
    async with connected(gateway) as stream:
        await stream.send_all(sent.replace(*changed) + b"\r\n")
        answer = b""
        while b"-auth-params" not in answer and b"auth-failed" not in answer:
            received = await stream.receive_some()
            assert received, answer
            answer += received
        assert answer.startswith(b"HTTP/1.1 %d " % status)
    await check_served(session)


@pytest.mark.parametrize("kind", ["multipart/form-data; boundary=x", "application/x-tar"])
async def test_what_is_not_signed_leaves_no_file(
    gateway: Gateway, gateway_parent: Path, session: Raw, kind: str
) -> None:
    await session("POST", "/session", {"name": "lab1", "image": "python"})
    before = files_below(gateway_parent)
    sent = head(session, "/session/lab1/upload", "Content-Length: 1000000")
    sent = sent.replace(b"application/json", kind.encode())  # so that the signature is wrong
    sent = sent.replace(b"credential=AKIA", b"credential=AKIB")
    async with connected(gateway) as stream:
        await stream.send_all(sent + b"\r\n--x\r\n")
        assert (await stream.receive_some()).startswith(b"HTTP/1.1 401 ")
        assert files_below(gateway_parent) == before


@pytest.mark.parametrize("version", ["v2.20170315", "v4.20181214", "v6.20200815"])
@pytest.mark.parametrize(
    "kind", ["application/offset+octet-stream", "multipart/mixed", "application/x-tar", "text/x"]
)
async def test_wrong_signature_is_refused_whatever_the_body_is(
    gateway: Gateway, version: str, kind: str
) -> None:
    raw = Raw(gateway, version)
    path = "/v2/kernel/create" if version.startswith("v2") else "/kernel/create"
    sent = head(raw, path, "Content-Length: 2", "Connection: close", body=b"{}")
    sent = sent.replace(b"application/json", kind.encode())
    async with connected(gateway) as stream:
        await stream.send_all(sent + b"\r\n{}")
        assert (await read_all(stream)).startswith(b"HTTP/1.1 401 ")
    assert gateway.tokens() == []


async def test_bodies_that_are_not_checked_yet_have_a_limit_together() -> None:
    bodies = UnsignedBodies(100)
    with bodies.reading() as first:
        first(60)
        with bodies.reading() as second, pytest.raises(Refused) as caught:
            second(30)
            second(20)
        assert caught.value.problem.status == 503
        first(40)  # what was refused does not count
    with bodies.reading() as third:
        third(100)


@limited(max_unsigned_bytes=1000)
async def test_body_that_is_to_be_checked_is_too_large(gateway: Gateway, seed: Raw) -> None:
    answer = await seed("GET", "/v2/authorize", {"echo": "x" * 1000})
    assert answer.status == 503
    assert (await seed("GET", "/v2/authorize", {"echo": "x" * 900})).status == 200
    # Signatures of later versions are checked before.
    assert (await Raw(gateway, "v6.20200815")("POST", "/auth", {"echo": "x" * 1000})).status == 200


@pytest.mark.parametrize("what", ["list", "object"])
async def test_body_that_is_nested_too_deeply(session: Raw, what: str) -> None:
    """Near the depth at which Python gives up, what can be read cannot be written any more."""
    begin, end = {"list": ("[", "]"), "object": ('{"a":', "}")}[what]
    found = set()
    for depth in [100, *range(930, 1000), 5000]:
        nested = begin * depth + "0" + end * depth
        found.add((await session("POST", "/auth", f'{{"echo":{nested}}}'.encode())).status)
    assert found == {200, 400}


async def test_template_that_is_nested_too_deeply(session: Raw) -> None:
    """It would be stored, and perhaps never be read again."""
    for depth, status in ((90, 200), (100, 400), (900, 400)):
        spec = {"kernel": {"image": "python"}, "more": "DEEP"}
        row = {"template": {"apiVersion": "6", "metadata": {"name": "t"}, "spec": spec}}
        payload = json.dumps([row]).replace('"DEEP"', "[" * depth + "]" * depth)
        answer = await session("POST", "/template/session", {"payload": payload})
        assert answer.status == status
    assert len((await session("GET", "/template/session")).json()) == 1


# --- the admin API -------------------------------------------------------------------------------

SMALL = QueryLimits(body_bytes=2000, chars=1000, depth=3, fields=10, root_fields=3)
FRAGMENTS = " ".join(
    f"fragment {one} on Query {{...{two} ...{two}}}" for one, two in ("AB", "BC", "CD")
)


async def asked(raw: Raw, query: str, **variables: object) -> Answer:
    body = {"query": query, "variables": variables}
    return await raw("POST", "/admin/graphql", body)


@limited(query=SMALL)
@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("{agents {id" + " " * 1000 + "}}", "more than 1,000 characters"),
        ("{agents {compute_containers {agent {id}}}}", "more than 3 levels"),
        ("{agents {" + "id " * 10 + "}}", "more than 10 fields"),
        ("{...A} " + FRAGMENTS + " fragment D on Query {agents {id}}", "more than 10 fields"),
        ("{a: agents {id} b: agents {id} c: agents {id} d: agents {id}}", "more than 3 fields at"),
        ("{... {agents {id}} ... {b: agents {id} c: agents {id} d: agents {id}}}", "fields at its"),
    ],
)
async def test_query_that_asks_for_too_much(session: Raw, query: str, said: str) -> None:
    answer = await asked(session, query)
    assert (answer.status, answer.kind) == (400, "graphql-error")
    assert said in answer.json()["msg"]
    assert (await asked(session, "{agents {id status} users {id}}")).status == 200


@limited(query=SMALL)
async def test_query_whose_variables_are_too_large(session: Raw) -> None:
    answer = await asked(session, "{agents {id}}", unused="x" * 2000)
    assert (answer.status, answer.kind) == (400, "invalid-api-params")
    assert "more than 2,000 bytes" in answer.json()["msg"]


@pytest.mark.parametrize(
    "query",
    [
        "{" + "agents {" * 300 + "}" * 301,
        "{agents(status: " + "[" * 3000 + "]" * 3000 + ") {id}}",
        "{...A} fragment A on Query {...B} fragment B on Query {...A}",
        "{...A} " + "".join(f"fragment F{n} on Query {{...F{n + 1}}} " for n in range(2000)),
    ],
)
async def test_query_without_end(session: Raw, query: str) -> None:
    answer = await asked(session, query)
    assert (answer.status, answer.kind) == (400, "graphql-error")


async def test_graphiql_gets_the_schema(session: Raw) -> None:
    """The longest query that anybody sends."""
    from graphql import get_introspection_query

    answer = await asked(session, get_introspection_query())
    assert answer.status == 200
    assert len(answer.json()["__schema"]["types"]) > 30


# --- WebSockets and runs -------------------------------------------------------------------------


async def opened_socket(
    raw: Raw, stream: trio.SocketStream, *lines: str, path: str = "pty"
) -> bytes:
    """Begin a WebSocket by hand; returns the head of the answer."""
    await raw("POST", "/session", {"name": "lab1", "image": "python"})
    date, host = datetime.now(UTC).isoformat(), raw.gateway.config.endpoint.host_header
    path = f"/stream/session/lab1/{path}"
    kind = "application/octet-stream"
    signature = sign(
        Signed("GET", path, date, host, kind, raw.version, "x-backendai-version", b""),
        access_key=raw.gateway.config.access_key,
        secret_key=raw.gateway.config.secret_key,
    )
    fields = [
        f"GET {path} HTTP/1.1",
        f"Host: {host}",
        f"Date: {date}",
        f"X-BackendAI-Version: {raw.version}",
        f"Authorization: {signature}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        *lines,
    ]
    await stream.send_all("".join(f"{line}\r\n" for line in fields).encode() + b"\r\n")
    data = b""
    while b"\r\n\r\n" not in data:
        data += await stream.receive_some()
    return data


def frame(data: bytes, first: int = 0x81) -> bytes:
    """A text message, masked with zeros."""
    size = len(data)
    length = bytes([0x80 | size]) if size < 126 else b"\xfe" + (size % 2**16).to_bytes(2, "big")
    if size >= 2**16:
        length = b"\xff" + size.to_bytes(8, "big")
    return bytes([first]) + length + bytes(4) + data


async def closed_with(stream: trio.SocketStream, code: int) -> bytes:
    """Wait for a close frame; returns all that has come."""
    data = b""
    while code.to_bytes(2, "big") not in data:
        received = await stream.receive_some()
        assert received, data
        data += received
    return data


@limited(max_message_bytes=1000)
@pytest.mark.parametrize("in_parts", [False, True])
async def test_message_that_is_too_large(gateway: Gateway, session: Raw, in_parts: bool) -> None:
    async with connected(gateway) as stream:
        assert (await opened_socket(session, stream)).startswith(b"HTTP/1.1 101 ")
        parts = [frame(b"x" * 300, 0x01)] + [frame(b"x" * 300, 0x00)] * 3
        await stream.send_all(b"".join(parts) if in_parts else frame(b"x" * 1001))
        await closed_with(stream, 1009)
    assert gateway.tokens() == ["lab1"]
    await check_served(session)


async def test_messages_are_not_compressed(gateway: Gateway, session: Raw) -> None:
    """They would be decompressed before anybody looks at their size."""
    async with connected(gateway) as stream:
        offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"
        answer = await opened_socket(session, stream, offer)
        assert answer.startswith(b"HTTP/1.1 101 ")
        assert b"extensions" not in answer.lower()
        bomb = gzip.compress(bytes(100_000_000))
        await stream.send_all(frame(bomb, 0xC1))  # with the bit that says: compressed
        await read_all(stream)
    await check_served(session)


@limited(max_input_bytes=1000)
@pytest.mark.parametrize("path", ["pty", "execute"])
async def test_too_much_input(gateway: Gateway, session: Raw, path: str) -> None:
    """More than the program reads; clients wait until they are told to go on."""
    async with connected(gateway) as stream:
        answer = await opened_socket(session, stream, path=f"{path}?position=0&new=1")
        assert answer.startswith(b"HTTP/1.1 101 "), answer
        if path == "execute":
            start = {"mode": "query", "code": "import time; time.sleep(60)", "runId": "one"}
            await stream.send_all(frame(json.dumps(start).encode()))
        # A shell reads all of it, sooner or later: so much at once that it cannot.
        await stream.send_all(frame(bytes(8) + b"x" * 2_000_000, 0x82))
        assert b"1,000 bytes of input" in await closed_with(stream, 1008)
    assert gateway.tokens() == ["lab1"]
    await check_served(session)


async def test_too_many_answers_in_advance(gateway: Gateway, session: Raw) -> None:
    async with connected(gateway) as stream:
        await opened_socket(session, stream, path="execute")
        start = {"mode": "query", "code": "import time; time.sleep(60)", "options": {}}
        answers = b"".join(frame(b"answer") for _ in range(ANSWERS_AHEAD + 1))
        await stream.send_all(frame(json.dumps(start).encode()) + answers)
        await read_all(stream)
    await check_served(session)


async def test_name_of_a_client_that_is_too_long(gateway: Gateway, session: Raw) -> None:
    async with connected(gateway) as stream:
        await opened_socket(session, stream, path="pty?client=" + "x" * (MAX_CLIENT_NAME + 1))
        assert b"longer than 64" in await closed_with(stream, 1008)
    await check_served(session)


@limited(log_chars=1000)
async def test_log_is_cut_at_its_beginning(session: Raw) -> None:
    await session("POST", "/session", {"name": "lab1", "image": "python"})
    code = "for number in range(1000): print(number, flush=True)"
    body = {"mode": "query", "code": code, "runId": "one"}
    while (await session("POST", "/session/lab1", body)).result["status"] != "finished":
        body["mode"] = "continue"
    log = (await session("GET", "/session/lab1/logs")).result["logs"]
    assert log.endswith("999\n")
    assert not log.startswith("0\n")


async def test_too_many_failed_logins(gateway_parent: Path) -> None:
    account = Account("someone", "password")
    async with open_gateway(GatewayOptions(account=account)) as gateway:
        raw = Raw(gateway, "v6.20200815")
        wrong = {"username": "someone", "password": "guess"}
        found = [(await raw("POST", LOGIN_PATH, wrong)).status for _ in range(12)]
        assert found == [401] * 10 + [429] * 2
        right = {"username": "someone", "password": "password"}
        assert (await raw("POST", LOGIN_PATH, right)).status == 429
        assert (await raw("POST", LOGIN_PATH, {"username": "x" * 70_000})).status == 400
        await check_served(raw)  # requests that are signed go on


@limited(max_runs=2, poll_seconds=0.0)
async def test_too_many_runs(session: Raw) -> None:
    for name in ("lab1", "lab2"):
        await session("POST", "/session", {"name": name, "image": "python"})

    async def begin(run: str, kernel: str = "lab1") -> Answer:
        body = {"mode": "query", "code": "import time; time.sleep(60)", "runId": run}
        return await session("POST", f"/session/{kernel}", body)

    for run in ("one", "two"):
        assert (await begin(run)).status == 200
    refusal = await begin("three")
    assert (refusal.status, refusal.kind) == (429, "too-many-requests")
    assert (await begin("one")).status == 200  # it is there already
    assert (await begin("three", "lab2")).status == 200


async def test_too_many_kernels(gateway_parent: Path) -> None:
    options = GatewayOptions(max_sessions=1, max_waiting=1)
    async with open_gateway(options) as gateway:
        raw = Raw(gateway, "v6.20200815")
        config = {"image": "python", "enqueueOnly": True}
        for name in ("lab1", "lab2"):
            assert (await raw("POST", "/session", {"name": name, **config})).status == 201
        refusal = await raw("POST", "/session", {"name": "lab3", **config})
        assert (refusal.status, refusal.kind) == (412, "quota-exceeded")
        assert (await raw("GET", "/session/lab1")).status == 200
