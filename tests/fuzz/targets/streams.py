"""Resumable streams: a server that repeats, loses, reorders and cuts, and the gateway's buffer."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import trio
import trio.testing

from backendai_trio.errors import BackendError
from backendai_trio.gateway.kernels.output_buffer import ReplayBuffer
from backendai_trio.transport.resumable import ResumableStream, StreamLimits
from backendai_trio.transport.websocket import CloseReason, ConnectionClosed
from backendai_trio.wire.resumable import (
    Ack,
    FromServer,
    InputSeen,
    Mark,
    Output,
    decode_from_client,
    encode_frame,
)

from ..choices import Choices

# Connections are made by the classes below, so that of the client only its address is used.
_CLIENT: Any = SimpleNamespace(
    config=SimpleNamespace(endpoint=SimpleNamespace(url="http://127.0.0.1:9"))
)
_LIMITS = StreamLimits(outage_seconds=3)
_KINDS = ("stdout", "stderr", "records")


class _Connection:
    """A connection in memory: what the client reads of it, and what it has sent."""

    def __init__(self, frames: Iterator[str | bytes]) -> None:
        self._frames = frames
        self.acknowledged = 0

    async def get_message(self) -> str | bytes:
        await trio.lowlevel.checkpoint()
        for frame in self._frames:
            return frame
        raise ConnectionClosed(CloseReason(1006, ""))

    async def send_message(self, frame: str | bytes) -> None:
        await trio.lowlevel.checkpoint()
        message = decode_from_client(frame)
        if isinstance(message, Ack):
            assert message.position >= self.acknowledged
            self.acknowledged = message.position

    async def abort(self, reason: object = None) -> None:
        await trio.lowlevel.checkpoint()

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        await trio.lowlevel.checkpoint()


class _Stream(ResumableStream):
    """A stream whose connections are made of the input."""

    choices: Choices
    buffer: ReplayBuffer
    connections = 0

    async def connect(self) -> None:
        await trio.lowlevel.checkpoint()
        self.connections += 1
        self._input.hold()
        frames = _frames(self.choices, self.buffer, self.position, self.connections)
        self.websocket = _Connection(frames)  # type: ignore[assignment]
        self._acknowledged = self.position


def _frames(
    choices: Choices, buffer: ReplayBuffer, position: int, number: int
) -> Iterator[str | bytes]:
    """What a connection brings: the output from a position on, with faults while input is left."""
    yield encode_frame(InputSeen(0))
    if choices.left > 0:
        position = max(position - choices.below(20), 0)  # sent again
    while (chunk := buffer.read(position, choices.below(50) + 1)) is not None:
        fault = choices.below(16) if choices.left > 0 else 0
        if fault == 1 and number < 20:
            return  # it breaks
        position = chunk.end
        message: FromServer = Output(chunk.kind, chunk.end, chunk.data)
        if chunk.mark is not None:
            message = Mark(chunk.end, chunk.mark)
        yield encode_frame(message)
        if fault == 2:
            yield encode_frame(message)
        if fault == 3:
            yield encode_frame(InputSeen(0))
        if fault == 4:
            position = max(position - choices.below(100), 0)
    while True:
        yield encode_frame(Mark(buffer.end + 1, {"end": True}))


def resumable(data: bytes) -> None:
    """The client gets each byte and mark of the gateway's buffer once and in order."""
    choices = Choices(data, None)
    writes = [(choices.below(5), choices.below(60)) for _ in range(choices.below(12))]
    buffer = ReplayBuffer(1 << 20)
    expected: list[tuple[str, bytes]] = []
    number = 0
    for kind, size in writes:
        if kind > 2:
            buffer.write_mark({"number": number})
            expected.append((f"mark {number}", b""))
        else:
            text = bytes((number + at) % 256 for at in range(size))
            trio.run(buffer.write, _KINDS[kind], text)
            if text:
                expected.append((_KINDS[kind], text))
        number += size + 1
    received = trio.run(
        _receive, choices, buffer, clock=trio.testing.MockClock(autojump_threshold=0)
    )
    assert _joined(received) == _joined(expected)


def _joined(items: list[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    for kind, data in items:
        if found and found[-1][0] == kind and not kind.startswith("mark"):
            data, (kind, _) = found[-1][1] + data, found.pop()
        found.append((kind, data))
    return found


async def _receive(choices: Choices, buffer: ReplayBuffer) -> list[tuple[str, bytes]]:
    received: list[tuple[str, bytes]] = []
    async with trio.open_nursery() as nursery:
        stream = _Stream(nursery, _CLIENT, "/s", (), None, None, False, _LIMITS)
        stream.choices, stream.buffer = choices, buffer
        await stream.connect()
        while True:
            message = await stream.receive()
            if isinstance(message, Mark):
                if message.fields.get("end"):
                    break
                received.append((f"mark {message.fields['number']}", b""))
            else:
                assert message.data
                received.append((message.kind, message.data))
        await stream.aclose()
        nursery.cancel_scope.cancel()
    return received


class _Hostile(_Stream):
    async def connect(self) -> None:
        await trio.lowlevel.checkpoint()
        self._input.hold()
        self.websocket = _Connection(_hostile_frames(self.choices))  # type: ignore[assignment]
        self._acknowledged = self.position


def _hostile_frames(choices: Choices) -> Iterator[str | bytes]:
    while choices.left > 0:
        kind = choices.below(7)
        end = choices.below(300)
        match kind:
            case 0 | 1 | 2:
                yield encode_frame(Output(_KINDS[kind], end, bytes(choices.below(100))))
            case 3:
                yield encode_frame(Mark(end, {}))
            case 4:
                yield encode_frame(InputSeen(end))
            case 5:
                return
            case _:
                raw = choices.rest()
                yield raw if end % 2 else raw.decode("utf-8", "replace")


def resumable_hostile(data: bytes) -> None:
    """Whatever a server sends: positions only grow, and errors are those of the library."""
    clock = trio.testing.MockClock(autojump_threshold=0)
    choices = Choices(data, max(len(data) - 40, 0))
    trio.run(_receive_hostile, choices, clock=clock)


async def _receive_hostile(choices: Choices) -> None:
    async with trio.open_nursery() as nursery:
        stream = _Hostile(nursery, _CLIENT, "/s", (), None, None, False, _LIMITS)
        stream.choices, stream.buffer = choices, ReplayBuffer()
        await stream.connect()
        nursery.start_soon(_send_some, stream)
        try:
            while True:
                before = stream.position
                message = await stream.receive()
                assert message.end == stream.position > before
                size = len(message.data) if isinstance(message, Output) else 1
                # Only at its beginning may a stream have lost what was before.
                assert not before or message.end - size == before
        except BackendError as exc:
            assert str(exc)
        await stream.aclose()
        nursery.cancel_scope.cancel()


async def _send_some(stream: ResumableStream) -> None:
    try:
        await stream.send(bytes(250))
        await stream.send_eof()
    except trio.ClosedResourceError:
        pass
