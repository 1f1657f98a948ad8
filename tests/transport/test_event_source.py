"""Streams of server-sent events over connections that break, to servers that misbehave."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import pytest
import trio

from backendai_trio import ApiError, Client, ConnectionFailed, RemoteProtocolError, open_client
from backendai_trio.transport.background_tasks import follow_task
from backendai_trio.transport.event_source import EventSource
from backendai_trio.transport.retry import RetryPolicy
from backendai_trio.wire.background_tasks import TaskEvent
from backendai_trio.wire.events import CONTENT_TYPE, Message, encode_message
from backendai_trio.wire.http import PROBLEM, Request

from .servers import HELLO, read_head, reply, serving

EVENTS = Request("GET", "/events/x")
STREAM = f"HTTP/1.1 200 OK\r\nContent-Type: {CONTENT_TYPE}\r\n\r\n".encode()
ONE, TWO = Message("one", "1"), Message("two", "2")
NO_LONG_PAUSES = RetryPolicy(first=0.01, longest=30.0)
CLOSE = encode_message(Message("server_close", ""))
PASSING = {
    "broken": b"",
    "no HTTP": b"220 mail.example ESMTP\r\n\r\n",
    "a page": reply(200, b"back soon", "text/html"),
    **{str(status): reply(status, b"", PROBLEM) for status in (408, 425, 429, 500, 502, 503, 504)},
}
LASTING = {status: reply(status, b"", PROBLEM) for status in (400, 401, 403, 404, 410, 501)}


def stream_of(*messages: Message) -> bytes:
    return STREAM + b"".join(map(encode_message, messages))


@asynccontextmanager
async def scripted(*answers: bytes) -> AsyncIterator[Client]:
    """A client of a server that gives these answers in turn, one on each connection."""
    left = [HELLO, *answers]

    async def handle(stream: trio.SocketStream) -> None:
        async with stream:
            if await read_head(stream) and left:
                await stream.send_all(left.pop(0))

    async with serving(handle) as config, open_client(config) as client:
        yield client


@asynccontextmanager
async def source_of(
    *answers: bytes, policy: RetryPolicy = NO_LONG_PAUSES
) -> AsyncIterator[EventSource]:
    """A connected source of these answers, which does not pause for long."""
    async with (
        scripted(*answers) as client,
        aclosing(EventSource(client, EVENTS, policy=policy)) as source,
    ):
        await source.connect()
        yield source


async def test_messages_in_order_and_the_end_of_a_connection() -> None:
    async with source_of(stream_of(ONE, TWO), stream_of(ONE)) as source:
        assert [await source.next_message() for _ in range(4)] == [ONE, TWO, None, None]
        await source.reconnect()
        assert [await source.next_message() for _ in range(2)] == [ONE, None]
        assert not source.closed_by_server


async def test_end_on_purpose_is_told() -> None:
    async with source_of(stream_of(ONE) + CLOSE + encode_message(TWO), stream_of(TWO)) as source:
        assert [await source.next_message() for _ in range(3)] == [ONE, None, None]
        assert source.closed_by_server
        await source.reconnect()
        assert not source.closed_by_server
        assert await source.next_message() == TWO


@pytest.mark.parametrize("failure", PASSING.values(), ids=PASSING.keys())
async def test_failure_that_passes_is_waited_out(failure: bytes) -> None:
    async with source_of(stream_of(ONE), failure, failure, stream_of(TWO)) as source:
        assert [await source.next_message() for _ in range(2)] == [ONE, None]
        await source.reconnect()
        assert await source.next_message() == TWO


@pytest.mark.parametrize(("asked", "longest", "waited"), [(1, 30.0, 1.0), (3600, 0.5, 0.5)])
async def test_server_gets_the_pause_that_it_asks_for(
    asked: int, longest: float, waited: float
) -> None:
    """As far as that is no longer than the longest one between two attempts."""
    busy = reply(503, b"", PROBLEM, f"Retry-After: {asked}")
    policy = RetryPolicy(first=0.01, longest=longest)
    async with source_of(STREAM, busy, stream_of(ONE), policy=policy) as source:
        assert await source.next_message() is None
        start = trio.current_time()
        with trio.fail_after(20):
            await source.reconnect()
        assert trio.current_time() - start >= waited


@pytest.mark.parametrize("failure", LASTING.values(), ids=map(str, LASTING))
async def test_refusal_is_raised(failure: bytes) -> None:
    async with source_of(STREAM, failure, stream_of(ONE)) as source:
        assert await source.next_message() is None
        with pytest.raises(ApiError):
            await source.reconnect()


@pytest.mark.parametrize(
    "failure", sorted(PASSING.keys() - {"429"})
)  # which the client itself waits out
async def test_first_connection_is_one_attempt(failure: str) -> None:
    async with (
        scripted(PASSING[failure]) as client,
        aclosing(EventSource(client, EVENTS)) as source,
    ):
        with pytest.raises((ApiError, ConnectionFailed, RemoteProtocolError)):
            await source.connect()


async def test_pauses_begin_anew_after_a_message() -> None:
    """Otherwise the last of these would take more than half a minute."""
    async with source_of(*[stream_of(ONE)] * 14) as source:
        with trio.fail_after(20):
            for _ in range(13):
                assert [await source.next_message() for _ in range(2)] == [ONE, None]
                await source.reconnect()


async def test_cancel_loses_no_message() -> None:
    async with source_of(stream_of(ONE, TWO)) as source:
        assert await source.next_message() == ONE
        with trio.CancelScope() as scope:
            scope.cancel()
            await source.next_message()
        assert scope.cancelled_caught
        assert await source.next_message() == TWO


async def test_closed_source_does_not_connect() -> None:
    async with source_of(stream_of(ONE), stream_of(TWO)) as source:
        await source.aclose()
        await source.aclose()
        for use in (source.next_message, source.connect, source.reconnect):
            with pytest.raises(trio.ClosedResourceError):
                await use()


@pytest.mark.parametrize("failure", ["a page", "408"])
async def test_task_is_followed_over_failures_that_pass(failure: str) -> None:
    updated, done = (TaskEvent(kind, "a-task", kind) for kind in ("updated", "done"))
    answers = stream_of(updated.encode()), PASSING[failure], stream_of(done.encode())
    async with scripted(*answers) as client:
        assert await follow_task(client, "a-task") == done
