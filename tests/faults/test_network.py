"""What a network with faults does to the bytes of plain requests."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import trio

from backendai_trio import open_client
from backendai_trio.admin import authorize
from backendai_trio.errors import AuthError
from backendai_trio.gateway import Gateway
from backendai_trio.testing import (
    Cut,
    Delay,
    Drip,
    Duplicate,
    Fault,
    FaultyNetwork,
    MalformedJson,
    Reorder,
    Reply,
    SlowRead,
    Stall,
    Vanish,
    WrongLength,
    open_faulty_network,
)

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
#: The server closes the connection after its answer.
LAST_REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


@pytest.fixture
async def network(gateway: Gateway) -> AsyncIterator[FaultyNetwork]:
    async with open_faulty_network(gateway.config) as opened:
        yield opened


async def connect(network: FaultyNetwork) -> trio.SocketStream:
    return await trio.open_tcp_stream("127.0.0.1", network.config.endpoint.port)


async def all_of(stream: trio.SocketStream) -> tuple[bytes, str]:
    """What comes, and how that ends: ``ended`` or ``reset``."""
    data = b""
    try:
        while more := await stream.receive_some():
            data += more
    except trio.BrokenResourceError:
        return data, "reset"
    return data, "ended"


async def first_of(stream: trio.SocketStream, size: int) -> bytes:
    """The first bytes that come; for a moment nothing follows, and the connection stays open."""
    data = b""
    while len(data) < size:
        more = await stream.receive_some()
        assert more, f"it ended after {len(data)} bytes"
        data += more
    with trio.move_on_after(0.2) as waiting:
        data += await stream.receive_some()
    assert waiting.cancelled_caught and len(data) == size
    return data


async def answer(network: FaultyNetwork, fault: Fault | None = None) -> tuple[bytes, str]:
    """The answer to one request over a connection of its own, up to its end."""
    if fault is not None:
        network.inject(fault)
    async with await connect(network) as stream:
        await stream.send_all(LAST_REQUEST)
        return await all_of(stream)


def split(data: bytes) -> tuple[bytes, bytes]:
    head, _, body = data.partition(b"\r\n\r\n")
    return head, body


def timeless(data: bytes) -> bytes:
    """An answer without the digits of its date, which may be the next second's."""
    return re.sub(rb"\d", b"0", data)


async def test_requests_pass_unharmed(network: FaultyNetwork, gateway: Gateway) -> None:
    async with await trio.open_tcp_stream("127.0.0.1", gateway.config.endpoint.port) as stream:
        await stream.send_all(LAST_REQUEST)
        direct, _ = await all_of(stream)
    async with await connect(network) as stream:
        for request in (REQUEST, REQUEST, LAST_REQUEST):  # over one connection
            await stream.send_all(request)
            data = b"" if request is REQUEST else (await all_of(stream))[0]
            while len(split(data)[1]) < len(split(direct)[1]):
                data += await stream.receive_some()
            assert split(data)[1] == split(direct)[1]
    assert network.requests == ["GET /"] * 3 and network.hits == []


@pytest.mark.parametrize("after", [0, 1, 20, 200])
async def test_answers_end_at_a_byte(network: FaultyNetwork, after: int) -> None:
    whole, _ = await answer(network)
    part, end = await answer(network, Cut(after))
    assert (timeless(part), end) == (timeless(whole[:after]), "ended")
    network.inject(Stall(after))
    async with await connect(network) as stream:
        await stream.send_all(LAST_REQUEST)
        assert timeless(await first_of(stream, after)) == timeless(whole[:after])


async def test_answers_end_in_their_body(network: FaultyNetwork) -> None:
    whole, _ = await answer(network)
    head, body = split(whole)
    assert split((await answer(network, Cut(3, "body")))[0])[1] == body[:3]
    network.inject(Stall(3, "body"))
    async with await connect(network) as stream:
        await stream.send_all(LAST_REQUEST)
        assert split(await first_of(stream, len(head) + 4 + 3))[1] == body[:3]
    for fault in (Cut(10_000, "body"), Stall(10_000, "body")):  # it is not that long
        assert split((await answer(network, fault))[0])[1] == body


async def test_reset(network: FaultyNetwork) -> None:
    assert (await answer(network, Cut(20, reset=True)))[1] == "reset"


@pytest.mark.parametrize("fault", [Delay(0.2), Reorder(0.2), Drip(8, 0.001), SlowRead(8, 0.001)])
async def test_answers_that_are_late_or_slow(network: FaultyNetwork, fault: Fault) -> None:
    whole, _ = await answer(network)
    data, _ = await answer(network, fault)
    assert split(data)[1] == split(whole)[1]


async def test_answers_that_overtake(network: FaultyNetwork) -> None:
    order: list[str] = []
    network.inject(Reorder(20))

    async def ask(name: str) -> None:
        async with await connect(network) as stream:
            await stream.send_all(REQUEST)
            await stream.receive_some()
            order.append(name)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, "first")
        while not network.hits:  # noqa: ASYNC110 (the network is in no position to tell)
            await trio.sleep(0.01)
        nursery.start_soon(ask, "second")
    assert order == ["second", "first"]


async def test_answers_that_come_twice(network: FaultyNetwork) -> None:
    data, _ = await answer(network, Duplicate())
    half = len(data) // 2
    assert data[:half] == data[half:] != b""


async def test_lengths_and_bodies_that_are_wrong(network: FaultyNetwork) -> None:
    whole = split((await answer(network))[0])[1]
    for difference in (5, -5):
        data, _ = await answer(network, WrongLength(difference))
        head, body = split(data)
        assert b"content-length: %d" % (len(whole) + difference) in head.lower()
        assert body == whole
    head, body = split((await answer(network, MalformedJson()))[0])
    assert body == whole[: len(whole) // 2]
    assert b"content-length: %d" % len(body) in head.lower()
    with pytest.raises(json.JSONDecodeError):
        json.loads(body)


@pytest.mark.parametrize("forward", [False, True])
async def test_replies_in_place_of_the_gateways(gateway: Gateway, forward: bool) -> None:
    async with (
        open_faulty_network(gateway.config) as behind,
        open_faulty_network(behind.config) as network,
    ):
        fault = Reply(503, b"busy", "text/plain", {"Retry-After": "1"}, forward=forward)
        head, body = split((await answer(network, fault))[0])
        assert head.startswith(b"HTTP/1.1 503 ") and b"Retry-After: 1" in head and body == b"busy"
        assert len(behind.requests) == forward


@pytest.mark.parametrize("reachable", [True, False])
async def test_server_that_vanishes(network: FaultyNetwork, reachable: bool) -> None:
    async with await connect(network) as old, await connect(network) as hit:
        await old.send_all(REQUEST)
        while b"}" not in await old.receive_some():
            pass
        network.inject(Vanish(reachable))
        for stream in (hit, old):
            await stream.send_all(REQUEST)
            await first_of(stream, 0)
        if reachable:
            assert (await answer(network))[0]
        else:
            async with await connect(network) as new:
                await new.send_all(REQUEST)
                await first_of(new, 0)
        network.clear()
        assert (await answer(network))[0]
        await old.send_all(REQUEST)
        await first_of(old, 0)  # it stays so


async def test_which_requests_meet_a_fault(network: FaultyNetwork) -> None:
    network.inject(Reply(502), matching="^GET /b", skip=1, times=2)
    network.inject(Reply(503), matching="^GET /b", times=None)
    found = []
    for target in ("a", "b", "b", "a", "b", "b", "b"):
        async with await connect(network) as stream:
            await stream.send_all(LAST_REQUEST.replace(b"GET /", f"GET /{target}".encode()))
            found.append(int((await stream.receive_some()).split()[1]))
    assert found == [404, 503, 502, 404, 502, 503, 503]
    assert network.hits == ["GET /b"] * 5


async def test_clock_that_is_off(gateway: Gateway) -> None:
    async with open_client(gateway.config) as client:
        await authorize(client)
        gateway.faults.clock_skew_seconds = 3600.0
        with pytest.raises(AuthError) as refusal:
            await authorize(client)
        assert "set the clock" in refusal.value.advice
        gateway.faults.clock_skew_seconds = 0.0
        await authorize(client)


async def test_what_is_not_http_ends_the_connection(network: FaultyNetwork) -> None:
    async with await connect(network) as stream:
        await stream.send_all(b"\x16\x03\x01 hello\r\n\r\n")
        assert await all_of(stream) == (b"", "ended")


async def test_server_that_is_not_there_ends_the_connection(gateway: Gateway) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and listens not
        endpoint = gateway.config.endpoint._replace(host="127.0.0.1", port=nobody.getsockname()[1])
        async with open_faulty_network(replace(gateway.config, endpoint=endpoint)) as network:
            for _ in range(2):
                async with await connect(network) as stream:
                    await stream.send_all(REQUEST)
                    assert await all_of(stream) == (b"", "ended")


async def test_it_leads_to_plain_http_only(gateway: Gateway) -> None:
    endpoint = gateway.config.endpoint._replace(scheme="https")
    with pytest.raises(ValueError, match="plain http"):
        async with open_faulty_network(replace(gateway.config, endpoint=endpoint)):
            pytest.fail("it is open")
