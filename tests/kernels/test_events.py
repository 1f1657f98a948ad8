"""Session events: told by the real gateway, and by servers that misbehave on real sockets."""

from __future__ import annotations

import math
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from backendai_trio import (
    ApiError,
    Client,
    Config,
    ConnectionFailed,
    GatewayOptions,
    KernelSpec,
    NotFound,
    RemoteProtocolError,
    ServerError,
    SessionEvent,
    open_client,
    open_events,
    open_gateway,
    open_kernel,
)
from backendai_trio.config.endpoints import parse_endpoint
from backendai_trio.gateway import Gateway, GatewayLimits
from backendai_trio.gateway.kernels.events import QUEUE_LENGTH
from backendai_trio.gateway.storage.database import KeyPair, SqliteStore
from backendai_trio.kernels import EventStream
from backendai_trio.wire.events import RECONNECTED, EventParser
from backendai_trio.wire.http import Request
from backendai_trio.wire.versions import ERAS, SEED, SESSION_5, SESSION_6, TRANSITION, Era, Hello

PYTHON = KernelSpec(runtime="python")

OLD_NAMES = [
    "kernel_enqueued",
    "kernel_preparing",
    "kernel_creating",
    "kernel_started",
    "kernel_terminating",
    "kernel_terminated",
]
NAMES = [
    "session_enqueued",
    "session_scheduled",
    "kernel_preparing",
    "kernel_creating",
    "kernel_started",
    "session_started",
    "session_terminating",
    "kernel_terminating",
    "kernel_terminated",
    "session_terminated",
]
STEPS = NAMES[:2] + NAMES[5:7] + NAMES[9:]


async def until_end(events: EventStream) -> list[SessionEvent]:
    """The events up to the end of a session."""
    found = []
    async for event in events:
        found.append(event)
        if event.ends_session:
            return found
    raise AssertionError("the stream ended")


def names(found: list[SessionEvent]) -> list[str]:
    return [event.name for event in found]


# --- the gateway ---------------------------------------------------------------------------------


@pytest.mark.parametrize("era", ERAS[1:], ids=lambda era: era.name)
async def test_life_of_a_kernel(era: Era, gateway_parent: Path) -> None:
    async with (
        open_gateway(GatewayOptions(eras=(era,))) as gateway,
        open_client(gateway.config) as client,
        open_events(client) as events,
    ):
        assert client.era == era
        async with open_kernel(client, PYTHON) as kernel:
            pass
        found = await until_end(events)
        assert names(found) == (NAMES if era == SESSION_6 else OLD_NAMES)
        assert {event.token for event in found} == {kernel.token}
        ids = {SESSION_6: kernel.kernel_id, SESSION_5: "", TRANSITION: kernel.token}
        assert {event.session_id for event in found} == {ids[era]}
        assert found[0].reason == ""
        assert found[-1].reason == "user-requested"
        assert found[-1].exit_code == (0 if era == SESSION_6 else None)
        owners = {event.data["ownerAccessKey"] for event in found}
        assert owners == {gateway.config.access_key}
        assert events.reconnects == 0


async def test_seed_servers_tell_none(gateway_parent: Path) -> None:
    async with (
        open_gateway(GatewayOptions(eras=(SEED,))) as gateway,
        open_client(gateway.config) as client,
    ):
        with pytest.raises(ServerError, match=r"19\.06") as caught:
            async with open_events(client):
                pass
    assert (caught.value.status, caught.value.kind) == (503, "not-implemented")


@pytest.mark.parametrize("era", ERAS[1:], ids=lambda era: era.name)
async def test_one_session_of_many(era: Era, gateway_parent: Path) -> None:
    async with (
        open_gateway(GatewayOptions(eras=(era,))) as gateway,
        open_client(gateway.config) as client,
        open_events(client, token="wanted") as events,
    ):
        for token in ("other", "wanted"):
            async with open_kernel(client, PYTHON, token=token):
                pass
        assert {event.token for event in await until_end(events)} == {"wanted"}


async def test_a_cancel_loses_no_event(client: Client) -> None:
    found: list[str] = []
    async with open_events(client) as events:
        async with open_kernel(client, PYTHON):
            pass
        while not found or not found[-1].endswith("session_terminated"):
            with trio.CancelScope() as scope:
                scope.cancel()
                found.append((await anext(events)).name)
            found.append((await anext(events)).name)
    assert found == NAMES
    assert events.reconnects == 0


async def test_session_by_id(client: Client) -> None:
    async with (
        open_kernel(client, PYTHON) as other,
        open_kernel(client, PYTHON) as kernel,
        open_events(client, token=kernel.kernel_id) as events,
    ):
        await other.destroy()
        await kernel.destroy()
        found = await until_end(events)
    assert names(found) == NAMES[6:]
    assert {event.session_id for event in found} == {kernel.kernel_id}


async def ask(client: Client, query: tuple[tuple[str, str], ...]) -> list[str]:
    """The names of the events of a kernel's life that are told for a query."""
    found: list[str] = []
    parser = EventParser()
    async with client.request(Request("GET", "/events/session", query)) as reply:
        assert reply.content_type == "text/event-stream"
        async with open_kernel(client, PYTHON):
            pass
        while not found or not found[-1].endswith("_terminated"):
            parser.feed(await reply.receive_some())
            while (message := parser.next_message()) is not None:
                found.append(message.event)
    return found


async def test_scope(client: Client) -> None:
    assert await ask(client, (("scope", "session"),)) == STEPS
    kernels = [name for name in NAMES if name not in STEPS]
    assert await ask(client, (("scope", "kernel"),)) == kernels
    with pytest.raises(ApiError, match="scope 'x': use") as caught:
        await ask(client, (("scope", "x"),))
    assert caught.value.status == 400


async def test_owner_that_is_somebody_else(client: Client) -> None:
    with pytest.raises(ApiError) as caught:
        await ask(client, (("ownerAccessKey", "AKIASOMEBODYELSES123"),))
    assert caught.value.status == 403


async def test_events_of_others(gateway_parent: Path, tmp_path: Path) -> None:
    theirs, mine = KeyPair.generate(), KeyPair.generate()
    store = SqliteStore(tmp_path / "data")
    store.keypair(theirs.access_key, theirs.secret_key)
    store.close()
    options = GatewayOptions(
        data=tmp_path / "data", access_key=mine.access_key, secret_key=mine.secret_key
    )
    async with open_gateway(options) as gateway, open_client(gateway.config) as client:
        config = replace(gateway.config, access_key=theirs.access_key, secret_key=theirs.secret_key)
        async with open_client(config) as other, open_events(other) as events:
            async with open_kernel(client, PYTHON, token="mine"):
                pass
            async with open_kernel(other, PYTHON, token="theirs"):
                pass
            assert {event.token for event in await until_end(events)} == {"theirs"}


async def test_idle_kernel(gateway_parent: Path) -> None:
    async with (
        open_gateway(GatewayOptions(idle_seconds=0.05)) as gateway,
        open_client(gateway.config) as client,
        open_events(client) as events,
        open_kernel(client, PYTHON),
    ):
        found = await until_end(events)
    assert {event.reason for event in found if "terminat" in event.name} == {"idle-timeout"}


async def test_end_of_the_gateway(gateway_parent: Path) -> None:
    found: list[SessionEvent] = []
    async with open_gateway() as gateway:
        config = gateway.config

        async def listen(*, task_status: trio.TaskStatus[None]) -> None:
            async with open_client(config) as client, open_events(client) as events:
                async with open_kernel(client, PYTHON) as kernel:
                    kernel.release()
                task_status.started()
                async for event in events:
                    found.append(event)
                assert events.closed_by_server
                assert await anext(events, None) is None

        async with trio.open_nursery() as nursery:
            await nursery.start(listen)
            with trio.fail_after(4):
                await gateway._sessions.close()
    assert names(found) == NAMES
    assert found[-1].reason == "gateway-closed"


async def test_slow_listener_is_dropped(client: Client, gateway: Gateway) -> None:
    hub = gateway._sessions.events
    key = gateway.config.access_key
    async with open_events(client) as events:
        for number in range(QUEUE_LENGTH + 1):
            hub.publish(key, SessionEvent("session_started", token=str(number)))
        assert len(hub._subscribers) == 1
        event = await anext(events)
        assert event == SessionEvent(RECONNECTED)
        assert events.reconnects == 1
        hub.publish(key, SessionEvent("session_started", token="after"))
        assert (await anext(events)).token == "after"


async def test_listener_that_goes(client: Client, gateway: Gateway) -> None:
    hub = gateway._sessions.events
    async with open_events(client):
        assert len(hub._subscribers) == 1
    with trio.fail_after(5):
        while hub._subscribers:
            await hub._changed.wait()


@pytest.mark.parametrize("limits", [GatewayLimits(keepalive_seconds=0.05)])
async def test_keep_alive(client: Client) -> None:
    async with open_events(client, silence_seconds=0.5) as events:
        with trio.move_on_after(1.2):
            await anext(events)
        assert events.reconnects == 0


async def test_wait_that_is_cancelled(client: Client) -> None:
    async with open_events(client) as events:
        with trio.move_on_after(0.05):
            await anext(events)
        async with open_kernel(client, PYTHON):
            pass
        assert names(await until_end(events)) == NAMES
        assert events.reconnects == 0


# --- servers that misbehave ----------------------------------------------------------------------

STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
ONE = b'event: session_started\ndata: {"sessionName": "one"}\n\n'
TWO = b'event: session_started\ndata: {"sessionName": "two"}\n\n'
CLOSE = b"event: server_close\n\n"


@asynccontextmanager
async def scripted(
    *answers: bytes, silent: bool = False
) -> AsyncIterator[tuple[Client, list[float]]]:
    """A client of a server that gives these answers in turn, and closes or falls silent after each;
    beside it, when the answers were asked for."""
    left = [f"HTTP/1.1 200 OK\r\nContent-Length: {len(HELLO)}\r\n\r\n".encode() + HELLO, *answers]
    asked: list[float] = []

    async def handle(stream: trio.SocketStream) -> None:
        async with stream:
            while b"\r\n\r\n" not in await stream.receive_some():
                pass
            asked.append(trio.current_time())
            if left:
                is_hello = len(asked) == 1
                await stream.send_all(left.pop(0))
                if silent and not is_hello and left:
                    await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        await nursery.start(trio.serve_listeners, handle, listeners)
        port = listeners[0].socket.getsockname()[1]
        config = Config(parse_endpoint(f"http://127.0.0.1:{port}"), "AKIA" + "X" * 16, "s" * 40)
        async with open_client(config) as client:
            asked.clear()
            asked.append(-math.inf)
            yield client, asked
        nursery.cancel_scope.cancel()


HELLO = Hello(SESSION_6.version).encode()


async def test_connection_that_breaks() -> None:
    broken = STREAM + ONE + b"event: session_term"
    refused = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"
    async with (
        scripted(broken, refused, STREAM + TWO + CLOSE) as (client, _),
        open_events(client, token="x") as events,
    ):
        found = [event async for event in events]
        assert [(event.name, event.token) for event in found] == [
            ("session_started", "one"),
            (RECONNECTED, "x"),
            ("session_started", "two"),
        ]
        assert (events.reconnects, events.closed_by_server) == (1, True)


def about(session_id: str) -> bytes:
    return f'event: session_started\ndata: {{"sessionId": "{session_id}"}}\n\n'.encode()


async def test_manager_that_ignores_the_id() -> None:
    """Managers from 25.15 on tell of all sessions when they are asked for one by its id."""
    mine, other = (str(uuid.UUID(int=number)) for number in (1, 2))
    answer = STREAM + about(other) + about(mine) + about(other) + CLOSE
    async with scripted(answer) as (client, _), open_events(client, token=mine) as events:
        assert [event.session_id async for event in events] == [mine]
    async with scripted(answer) as (client, _), open_events(client) as events:
        assert [event.session_id async for event in events] == [other, mine, other]


async def test_chunks_that_are_cut() -> None:
    head = STREAM.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n")
    chunk = f"{len(ONE):x}\r\n".encode() + ONE + b"\r\n"
    async with (
        scripted(head + chunk, STREAM + CLOSE) as (client, _),
        open_events(client) as events,
    ):
        assert names([event async for event in events]) == ["session_started", RECONNECTED]


async def test_server_that_falls_silent() -> None:
    async with (
        scripted(STREAM + ONE, STREAM + CLOSE, silent=True) as (client, _),
        open_events(client, silence_seconds=0.2) as events,
    ):
        assert names([event async for event in events]) == ["session_started", RECONNECTED]


async def test_retry_is_honoured() -> None:
    async with (
        scripted(STREAM + b"retry: 2000\n\n", STREAM + CLOSE) as (client, asked),
        open_events(client) as events,
    ):
        assert names([event async for event in events]) == [RECONNECTED]
        assert asked[2] - asked[1] >= 1.0  # half of it, at the least: it is jittered


async def test_refusal_after_a_break() -> None:
    gone = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
    async with scripted(STREAM, gone) as (client, _), open_events(client) as events:
        with pytest.raises(NotFound):
            await anext(events)


@pytest.mark.parametrize("status", [b"200 OK", b"408 Request Timeout"])
async def test_page_of_a_proxy_after_a_break(status: bytes) -> None:
    page = b"HTTP/1.1 %s\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nhi" % status
    async with (
        scripted(STREAM, page, STREAM + ONE + CLOSE) as (client, _),
        open_events(client) as events,
    ):
        assert names([event async for event in events]) == [RECONNECTED, "session_started"]
        assert events.reconnects == 1


async def test_stream_does_not_connect_after_its_block() -> None:
    async with scripted(STREAM + ONE, STREAM + TWO) as (client, asked):
        async with open_events(client) as events:
            pass
        with pytest.raises(trio.ClosedResourceError):
            await anext(events)
        assert len(asked) == 2


async def test_not_a_stream_of_events() -> None:
    page = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nhi"
    async with scripted(page) as (client, _):
        with pytest.raises(RemoteProtocolError, match="'text/html'"):
            async with open_events(client):
                pass


async def test_stream_of_something_else() -> None:
    async with (
        scripted(STREAM + b"event: session_started\ndata: hi\n\n") as (client, _),
        open_events(client) as events,
    ):
        with pytest.raises(RemoteProtocolError, match="expected JSON, got 'hi'"):
            await anext(events)


async def test_first_connection_that_breaks() -> None:
    async with scripted(b"") as (client, _):
        with pytest.raises(ConnectionFailed, match="closed the connection"):
            async with open_events(client):
                pass
