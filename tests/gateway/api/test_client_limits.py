"""What clients may take of a gateway: one that takes more is refused, and no other one notices.

Connections, heads and bodies.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import trio

from backendai_trio import GatewayOptions
from backendai_trio.gateway import Gateway
from backendai_trio.gateway.bodies import UnsignedBodies
from backendai_trio.gateway.refusals import Refused

from ...local_kernels import files_below
from .by_hand import check_served, connected, head, limited, read_all
from .raw_client import Raw, exchange

# --- connections and heads -----------------------------------------------------------------------


def test_each_kernel_may_have_clients() -> None:
    """Those that run and those that wait, by the defaults, with two connections for each."""
    options = GatewayOptions()
    kernels = options.max_sessions + options.max_waiting
    assert options.limits.max_connections >= 2 * kernels


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


def test_bodies_that_are_not_checked_yet_have_a_limit_together() -> None:
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
