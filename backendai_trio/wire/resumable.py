"""Resumable streams: two-way byte streams that survive a broken connection. Our own gateway's.

Both directions count bytes. What the server sends carries the position behind it, and a client that
comes back says which position it has; what the client types carries the position before it, and the
server says how much it has. So after a reconnect nothing is missing and nothing comes twice.

==================  ======  ======================================================================
server to client    binary  kind (1 byte: 1 stdout, 2 stderr, 3 records), position behind (8
                            bytes), data
..                  text    ``{"end": position, "mark": {...}}``: something between the bytes
..                  text    ``{"input": position}``: input received so far. First of all on a
                            connection, unless it begins the stream (query ``new=1``) and nothing
                            was received; after that it also says that more may be sent
client to server    binary  position before (8 bytes), data: input
..                  text    ``{"ack": position}``: output up to here need not be kept
..                  text    ``{"eof": position}``: input ends here
..                  text    ``{"control": {...}}``: anything else: ``resize`` (rows and columns),
                            ``interrupts`` (how many there were), ``restart``
==================  ======  ======================================================================

A mark counts one position. Feature name: `RESUMABLE_STREAMS`.

Records are those of a console that are not text of a stream, such as pictures: lines of JSON,
``[kind, payload]``, cut by frames anywhere. A client gets them if it has asked for
`backendai_trio.wire.execution.RICH_OUTPUT`.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import RemoteProtocolError
from .json_fields import Fields, decode_json, encode_json

__all__ = [
    "RESUMABLE_STREAMS",
    "Ack",
    "Control",
    "EndOfInput",
    "FromClient",
    "FromServer",
    "Input",
    "InputSeen",
    "Mark",
    "Output",
    "RecordParser",
    "decode_from_client",
    "decode_from_server",
    "encode_frame",
    "encode_record",
]

RESUMABLE_STREAMS = "numbered-streams"
"""Feature: terminals and executions can be had as resumable streams (query ``position=``)."""

_OUTPUT = struct.Struct(">BQ")
_INPUT = struct.Struct(">Q")
_KINDS = {1: "stdout", 2: "stderr", 3: "records"}
_NUMBERS = {kind: number for number, kind in _KINDS.items()}
_MAX_POSITION = 2**63
_MAX_RECORD_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Output:
    """Bytes of a program."""

    kind: str
    """``stdout`` (also for terminals), ``stderr`` or ``records``."""
    end: int
    """The position behind them."""
    data: bytes


@dataclass(frozen=True, slots=True)
class Mark:
    """Something between the bytes, such as ``{"status": "waiting-input"}``."""

    end: int
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class InputSeen:
    """How much input the server has received; but for the first, it asks for more."""

    position: int


@dataclass(frozen=True, slots=True)
class Input:
    """Bytes for a program."""

    start: int
    """The position before them."""
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Ack:
    """Output up to here was received."""

    position: int


@dataclass(frozen=True, slots=True)
class EndOfInput:
    """Input ends at this position."""

    position: int


@dataclass(frozen=True, slots=True)
class Control:
    """A message beside the stream."""

    fields: Mapping[str, Any]


FromServer = Output | Mark | InputSeen
FromClient = Input | Ack | EndOfInput | Control


def encode_frame(message: FromServer | FromClient) -> bytes | str:
    """A WebSocket message: bytes for a binary one, str for a text one."""
    match message:
        case Output(kind, end, data):
            return _OUTPUT.pack(_NUMBERS[kind], end) + data
        case Input(start, data):
            return _INPUT.pack(start) + data
        case Mark(end, fields):
            body: dict[str, object] = {"end": end, "mark": dict(fields)}
        case InputSeen(position):
            body = {"input": position}
        case Ack(position):
            body = {"ack": position}
        case EndOfInput(position):
            body = {"eof": position}
        case Control(fields):
            body = {"control": dict(fields)}
    return encode_json(body).decode("ascii")


def decode_from_server(frame: bytes | str) -> FromServer:
    """Read what a server sent."""
    if isinstance(frame, bytes):
        if len(frame) < _OUTPUT.size:
            raise RemoteProtocolError("stream: a frame is too short")
        number, end = _OUTPUT.unpack_from(frame)
        if number not in _KINDS:
            raise RemoteProtocolError(f"stream: output of unknown kind {number}")
        return Output(_KINDS[number], _checked(end), frame[_OUTPUT.size :])
    fields = _parse(frame)
    if fields.raw("input") is not None:
        return InputSeen(_checked(fields.integer("input")))
    return Mark(_checked(fields.integer("end")), fields.nested("mark").everything())


def decode_from_client(frame: bytes | str) -> FromClient:
    """Read what a client sent."""
    if isinstance(frame, bytes):
        if len(frame) < _INPUT.size:
            raise RemoteProtocolError("stream: a frame is too short")
        (start,) = _INPUT.unpack_from(frame)
        return Input(_checked(start), frame[_INPUT.size :])
    fields = _parse(frame)
    if fields.raw("ack") is not None:
        return Ack(_checked(fields.integer("ack")))
    if fields.raw("eof") is not None:
        return EndOfInput(_checked(fields.integer("eof")))
    return Control(fields.nested("control").everything())


def encode_record(kind: str, payload: object) -> bytes:
    """A record of a console, as the bytes of an `Output` of kind ``records``."""
    return encode_json([kind, payload]) + b"\n"


class RecordParser:
    """Reads records: bytes in, records out, however the bytes are split."""

    def __init__(self) -> None:
        self._pending: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> list[tuple[str, Any]]:
        """The records, as (kind, payload), that are complete with these bytes.

        Raises:
            RemoteProtocolError: a record is malformed, or larger than any gateway sends.
        """
        *lines, rest = data.split(b"\n")
        found = []
        for line in lines:
            self._pending.append(line)
            found.append(_record(b"".join(self._pending)))
            self._pending, self._size = [], 0
        self._size += len(rest)
        if self._size > _MAX_RECORD_BYTES:
            raise RemoteProtocolError(f"stream: a record exceeds {_MAX_RECORD_BYTES:,} bytes")
        if rest:
            self._pending.append(rest)
        return found


def _record(line: bytes) -> tuple[str, Any]:
    match decode_json(line, "stream: a record"):
        case [str(kind), payload]:
            return kind, payload
    raise RemoteProtocolError("stream: a record must be a pair")


def _parse(frame: str) -> Fields:
    return Fields.parse(frame.encode("utf-8", "surrogatepass"), "stream message")


def _checked(position: int) -> int:
    if not 0 <= position < _MAX_POSITION:
        raise RemoteProtocolError(f"stream: {position} is no position")
    return position
