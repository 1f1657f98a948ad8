"""Calls whose answer is not lost when the wait for it is cancelled."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from backendai_trio import Client, open_client
from backendai_trio.errors import NotFound
from backendai_trio.wire.http import Request

from .servers import HELLO, client_of, read_head, reply, serving

ASK = Request("POST", "/session/abc")


@asynccontextmanager
async def one_answer(
    *chunks: bytes, gate: trio.MemoryReceiveChannel[None], gone: trio.Event | None = None
) -> AsyncIterator[Client]:
    """A client of a server that says hello, and answers the next request chunk by chunk."""

    async def handle(stream: trio.SocketStream) -> None:
        await read_head(stream)
        await stream.send_all(HELLO)
        await read_head(stream)
        for chunk in chunks:
            await gate.receive()
            await stream.send_all(chunk)
        try:
            assert await stream.receive_some() == b"", "the request was sent twice"
        finally:
            if gone is not None:
                gone.set()

    async with serving(handle) as config, open_client(config) as client:
        yield client


async def test_a_cancelled_wait_is_taken_up_again_at_any_point() -> None:
    """A wait is cancelled before and behind each byte of the answer."""
    whole = reply(200, b'{"result": 1}', "application/json")
    send, gate = trio.open_memory_channel[None](0)
    chunks = [whole[i : i + 1] for i in range(len(whole))]
    async with one_answer(*chunks, gate=gate) as client:
        call = client.start_call(ASK)
        with trio.move_on_after(0.05):
            await call.wait()  # sends the request
        for _ in chunks:
            assert not call.done
            with trio.CancelScope() as scope:
                scope.cancel()
                await call.wait()
            assert scope.cancelled_caught
            async with trio.open_nursery() as nursery:
                nursery.start_soon(call.settle)
                await send.send(None)
                nursery.cancel_scope.cancel()
        for _ in range(2):
            assert (await call.wait()).body == b'{"result": 1}'


async def test_nothing_is_sent_when_the_first_wait_was_cancelled() -> None:
    async with client_of(reply(200, b"{}", "application/json")) as client:
        call = client.start_call(ASK)
        with trio.CancelScope() as scope:
            scope.cancel()
            await call.wait()
        assert not call.sent and not call.done
        assert (await call.wait()).body == b"{}"
        assert call.sent


async def test_a_failure_is_raised_each_time() -> None:
    async with client_of(reply(404, b'{"type": "x"}', "application/problem+json")) as client:
        call = client.start_call(ASK)
        for _ in range(2):
            with pytest.raises(NotFound):
                await call.wait()
        await call.settle()
        assert call.done


async def test_a_closed_call_breaks_its_connection_off() -> None:
    send, gate = trio.open_memory_channel[None](0)
    gone = trio.Event()
    half = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhal"
    async with one_answer(half, gate=gate, gone=gone) as client:
        call = client.start_call(ASK)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(call.settle)
            await send.send(None)
            nursery.cancel_scope.cancel()
        assert call.sent and not call.done
        call.close()
        await gone.wait()
