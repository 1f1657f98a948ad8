"""WebSockets, runs, kernels and logins: what one client may have of them."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from pathlib import Path

import pytest
import trio

from backendai_trio import GatewayOptions, open_gateway
from backendai_trio.gateway import Account, Gateway
from backendai_trio.gateway.api.manager_streams import ANSWERS_AHEAD
from backendai_trio.gateway.kernels.terminal import MAX_CLIENT_NAME
from backendai_trio.wire.logins import LOGIN_PATH

from .by_hand import check_served, connected, frame, handshake, limited, read_all
from .raw_client import Answer, Raw


async def opened_socket(
    raw: Raw, stream: trio.SocketStream, *lines: str, path: str = "pty"
) -> bytes:
    """Begin a WebSocket by hand; returns the head of the answer."""
    await raw("POST", "/session", {"name": "lab1", "image": "python"})
    await stream.send_all(handshake(raw, *lines, path=path))
    data = b""
    while b"\r\n\r\n" not in data:
        data += await stream.receive_some()
    return data


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


@limited(max_message_bytes=1000)
async def test_message_that_is_too_large_is_not_kept(gateway: Gateway, session: Raw) -> None:
    """Its client goes on to send it."""
    async with connected(gateway) as stream:
        await opened_socket(session, stream)
        await stream.send_all(frame(b"x" * 1001, 0x01))
        part = frame(b"x" * 1_000_000, 0x00)
        tracemalloc.start()
        try:
            for _ in range(30):
                await stream.send_all(part)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 15_000_000
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
