"""Handshakes of WebSockets whose client does not wait, or that are malformed."""

from __future__ import annotations

import logging
import socket
from functools import partial

import pytest
import trio

from backendai_trio import _asgi
from backendai_trio.gateway import Gateway

from ...leaks.census import SETTLING_SECONDS, Place, settled
from .by_hand import check_served, connected, frame, handshake, read_all
from .raw_client import Raw

MESSAGE = frame(b'{"type": "ping"}')


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("at_once", [False, True])
async def test_client_that_does_not_wait_for_the_answer(
    gateway: Gateway, session: Raw, signed: bool, at_once: bool
) -> None:
    """Its connection is closed, and nothing else happens."""
    place = Place((), gateway.tokens)
    before = place.census()
    await session("POST", "/session", {"name": "lab1", "image": "python"})
    for _ in range(5):
        async with connected(gateway) as stream:
            first = handshake(session, signed=signed)
            for data in [first + MESSAGE] if at_once else [first, MESSAGE]:
                await stream.send_all(data)
            if at_once:
                with trio.fail_after(SETTLING_SECONDS):
                    await read_all(stream)
    assert (await session("DELETE", "/session/lab1")).status == 200
    assert await settled(place, before) == []


async def test_malformed_handshake(gateway: Gateway, session: Raw) -> None:
    async with connected(gateway) as stream:
        await stream.send_all(handshake(session).replace(b"Sec-WebSocket-Key", b"X-Key"))
        with trio.fail_after(SETTLING_SECONDS):
            assert (await read_all(stream)).startswith(b"HTTP/1.1 400 ")
    await check_served(session)


async def test_connection_that_fails_ends_no_other_one(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(_connection: _asgi.HttpConnection) -> None:
        await trio.lowlevel.checkpoint()
        raise RuntimeError("a bug of the HTTP server")

    monkeypatch.setattr(_asgi.HttpConnection, "run", fail)
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    async with trio.open_nursery() as nursery:
        log = logging.getLogger("test")
        await nursery.start(partial(_asgi.serve_app, None, listener, log=log))
        for _ in range(2):
            async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
                assert await stream.receive_some() == b""
        nursery.cancel_scope.cancel()
    assert [item.message for item in caplog.records] == ["a connection has failed"] * 2
