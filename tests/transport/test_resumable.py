"""Resumable streams, against a server whose connections break as told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from wsproto import events as ws

from backendai_trio import ConnectionFailed, RemoteProtocolError, ServerError, open_client
from backendai_trio.transport.resumable import ResumableStream, StreamLimits, open_resumable
from backendai_trio.transport.resumable_input import CHUNK_BYTES, InputBuffer
from backendai_trio.wire.resumable import (
    FromServer,
    Input,
    InputSeen,
    Mark,
    Output,
    decode_from_client,
    encode_frame,
)

from .servers import reply, serving
from .websocket_servers import Peer, Script, accepting, until_closed, upgrading


async def send(peer: Peer, message: FromServer) -> None:
    frame = encode_frame(message)
    await peer.send(ws.BytesMessage(frame) if isinstance(frame, bytes) else ws.TextMessage(frame))


async def next_input(peer: Peer) -> Input:
    """The next input, put together of the parts that wsproto makes of it."""
    data = b""
    while True:
        event = await peer.next()
        assert isinstance(event, ws.BytesMessage), event
        data += event.data
        if event.message_finished:
            message = decode_from_client(data)
            assert isinstance(message, Input)
            return message


@asynccontextmanager
async def streaming(
    *scripts: Script, limits: StreamLimits | None = None, new: bool = False
) -> AsyncIterator[ResumableStream]:
    """A stream from a server whose connections go by these scripts; the last is repeated."""
    first, again = ("begin", "go on") if new else (None, None)
    rest = list(scripts)

    async def script(peer: Peer) -> None:
        await (rest.pop(0) if len(rest) > 1 else rest[0])(peer)

    async with (
        serving(accepting(script)) as config,
        open_client(config) as client,
        open_resumable(
            client, "/stream", first=first, again=again, is_new=new, limits=limits
        ) as stream,
    ):
        yield stream


async def test_input_goes_on_in_parts() -> None:
    """One that is cut off is lost whole, so that a large one might never arrive."""
    typed = bytes(range(256)) * 700
    first = 10_000
    parts: list[Input] = []

    async def break_off(peer: Peer) -> None:
        await send(peer, InputSeen(0))
        size = 0
        while size < len(typed):
            size += len((await next_input(peer)).data)

    async def go_on(peer: Peer) -> None:
        await send(peer, InputSeen(first))
        while not parts or parts[-1].start + len(parts[-1].data) < len(typed):
            parts.append(await next_input(peer))
        await send(peer, Output("stdout", 1, b"."))
        await until_closed(peer)

    async with streaming(break_off, go_on) as stream, trio.open_nursery() as nursery:
        nursery.start_soon(stream.send, typed)
        assert await stream.receive() == Output("stdout", 1, b".")
    assert len(parts) > 1
    assert all(len(part.data) <= CHUNK_BYTES for part in parts)
    assert b"".join(part.data for part in parts) == typed[first:]


@pytest.mark.parametrize("later", [Output("stdout", 9, b"."), Mark(9, {})])
async def test_lost_output_is_an_error(later: Output | Mark) -> None:
    async def lose(peer: Peer) -> None:
        await send(peer, Output("stdout", 3, b"..."))
        await send(peer, later)
        await until_closed(peer)

    with pytest.RaisesGroup(pytest.RaisesExc(RemoteProtocolError, match="lost 5 bytes of output")):
        async with streaming(lose) as stream:
            await stream.receive()
            await stream.receive()


async def test_new_stream_takes_input_before_the_server_has_said_anything() -> None:
    targets: list[str] = []
    openings: list[str] = []
    inputs: list[Input] = []

    async def begin(peer: Peer) -> None:
        targets.append(peer.target)
        event = await peer.next()
        assert isinstance(event, ws.TextMessage), event
        openings.append(event.data)
        inputs.append(await next_input(peer))

    async def answer(peer: Peer) -> None:
        await begin(peer)
        await send(peer, Output("stdout", 1, b"."))

    async def go_on(peer: Peer) -> None:
        targets.append(peer.target)
        event = await peer.next()
        assert isinstance(event, ws.TextMessage), event
        openings.append(event.data)
        await send(peer, InputSeen(2))
        inputs.append(await next_input(peer))
        await send(peer, Output("stdout", 2, b"."))
        await until_closed(peer)

    async with streaming(begin, answer, go_on, new=True) as stream:
        await stream.send(b"typed")
        for end in (1, 2):
            assert await stream.receive() == Output("stdout", end, b".")
    assert openings == ["begin", "begin", "go on"]
    assert inputs == [Input(0, b"typed"), Input(0, b"typed"), Input(2, b"ped")]
    assert ["new=1" in target for target in targets] == [True, True, False]


async def test_server_that_breaks_each_new_connection() -> None:
    async def greet(peer: Peer) -> None:
        await send(peer, InputSeen(0))

    async def break_off(peer: Peer) -> None:
        pass

    limits = StreamLimits(outage_seconds=0.3)
    with pytest.RaisesGroup(
        pytest.RaisesExc(ConnectionFailed, match=r"within 0\.3 s; .*breaks each new connection"),
        flatten_subgroups=True,
    ):
        async with streaming(greet, break_off, limits=limits) as stream:
            await stream.receive()


async def test_refusals_that_pass_and_one_that_does_not() -> None:
    """A proxy answers 502 while the server behind it restarts; 501 will not change."""
    answers = [None, 502, 503, None, 501]

    async def answer(stream: trio.SocketStream, head: bytes) -> None:
        if (status := answers.pop(0)) is not None:
            await stream.send_all(reply(status, b"not now"))
            return
        peer = Peer(stream, head)
        await peer.send(ws.AcceptConnection())
        await send(peer, InputSeen(0))
        await send(peer, Output("stdout", 1 if len(answers) == 4 else 2, b"."))

    async with serving(upgrading(answer)) as config, open_client(config) as client:
        with pytest.raises(ServerError) as caught:
            async with open_resumable(client, "/stream") as stream:
                assert await stream.receive() == Output("stdout", 1, b".")
                while True:
                    await stream.receive()
        assert caught.value.status == 501


@given(st.lists(st.binary(max_size=3 * CHUNK_BYTES), max_size=4), st.data())
@settings(deadline=None, max_examples=50)
def test_input_buffer_keeps_what_was_not_confirmed(typed: list[bytes], data: st.DataObject) -> None:
    everything = b"".join(typed)
    buffer = InputBuffer()
    history = data.draw(st.integers(0, 1000))  # bytes of a terminal's users before this one
    for piece in typed:
        buffer.append(piece)
    buffer.confirm(history)
    seen = data.draw(st.integers(0, len(everything)))
    assert buffer.confirm(history + seen) is (seen > 0)
    position, rest = history + seen, b""
    while (message := buffer.chunk(position)) is not None:
        assert message.start == position
        position += len(message.data)
        rest += message.data
    assert rest == everything[seen:]
    assert position == buffer.end == history + len(everything)
    for impossible in (history + seen - 1, buffer.end + 1):
        with pytest.raises(RemoteProtocolError, match="has input up to position"):
            buffer.confirm(impossible)
