"""WebSocket frames, with wsproto as the other side."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto import events as ws
from wsproto.connection import Connection, ConnectionType

from backendai_trio.wire.websocket_frames import (
    BINARY,
    CLOSE,
    NO_CODE,
    PING,
    PONG,
    TEXT,
    Control,
    FrameDecoder,
    FrameError,
    decode_close,
    encode_close,
    encode_websocket_frame,
)

LIMIT = 1 << 20
KEY = b"\x01\x80\xfe\x3c"

sizes = st.sampled_from([0, 1, 125, 126, 127, 65_535, 65_536, 70_001])
binaries = st.binary(max_size=200) | sizes.map(lambda size: (b"0123456" * 10_001)[:size])
messages = binaries | st.text(max_size=200)
controls = st.builds(Control, st.sampled_from([PING, PONG]), st.binary(max_size=125))
codes = st.sampled_from([1000, 1001, 1003, 1007, 1014, 3000, 4999])


def decode_all(decoder: FrameDecoder, data: bytes, cuts: list[int]) -> list[str | bytes | Control]:
    """Everything in some bytes that come in pieces."""
    got = []
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    for start, end in pairwise(places):
        decoder.feed(data[start:end])
        while (message := decoder.next()) is not None:
            got.append(message)
    return got


def encode(message: str | bytes | Control, key: bytes) -> bytes:
    match message:
        case str():
            return encode_websocket_frame(TEXT, message.encode(), key)
        case bytes():
            return encode_websocket_frame(BINARY, message, key)
        case Control(opcode, payload):
            return encode_websocket_frame(opcode, payload, key)


def event_of(message: str | bytes | Control, last: bool = True) -> ws.Event:
    match message:
        case str():
            return ws.TextMessage(message, message_finished=last)
        case bytes():
            return ws.BytesMessage(message, message_finished=last)
        case Control(opcode, payload):
            return ws.Ping(payload) if opcode == PING else ws.Pong(payload)


@given(
    st.lists(messages | controls, max_size=6),
    st.lists(st.integers(0, 1 << 20), max_size=6),
    st.sampled_from([b"", KEY]),
)
def test_round_trip(sent: list[str | bytes | Control], cuts: list[int], key: bytes) -> None:
    decoder = FrameDecoder(masked=bool(key), limit=LIMIT)
    data = b"".join(encode(message, key) for message in sent)
    assert decode_all(decoder, data, cuts) == sent


@given(st.lists(messages | controls, max_size=6))
def test_the_library_reads_what_we_write(sent: list[str | bytes | Control]) -> None:
    server = Connection(ConnectionType.SERVER)
    server.receive_data(b"".join(encode(message, KEY) for message in sent))
    got: list[str | bytes | Control] = []
    for event in server.events():
        match event:
            case ws.Ping(payload) | ws.Pong(payload):
                opcode = PING if isinstance(event, ws.Ping) else PONG
                got.append(Control(opcode, bytes(payload)))
            case ws.TextMessage(data):
                got.append(data)
            case ws.BytesMessage(data):
                got.append(bytes(data))
    assert got == sent


@given(
    st.lists(st.lists(st.text(max_size=9), min_size=1, max_size=4) | controls, max_size=5),
    st.lists(st.integers(0, 1 << 20), max_size=6),
)
def test_we_read_what_the_library_writes(sent: list[list[str] | Control], cuts: list[int]) -> None:
    """Messages in pieces, with control frames after the first of them."""
    server = Connection(ConnectionType.SERVER)
    data = b""
    expected: list[str | bytes | Control] = []
    for message in sent:
        if isinstance(message, Control):
            data += server.send(event_of(message))
            expected.append(message)
            continue
        for number, piece in enumerate(message, 1):
            data += server.send(event_of(piece, last=number == len(message)))
            if number == 1 and len(message) > 1:
                data += server.send(ws.Ping(b"between"))
                expected.append(Control(PING, b"between"))
        expected.append("".join(message))
    assert decode_all(FrameDecoder(masked=False, limit=LIMIT), data, cuts) == expected


@given(st.binary(max_size=300), st.booleans())
def test_any_bytes(data: bytes, masked: bool) -> None:
    decoder = FrameDecoder(masked=masked, limit=LIMIT)
    decoder.feed(data)
    try:
        while (message := decoder.next()) is not None:
            if isinstance(message, Control) and message.opcode == CLOSE:
                decode_close(message.payload)
    except FrameError as exc:
        assert exc.code in (1002, 1007, 1009)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\xc2\x00", 1002),  # a reserved bit
        (b"\x83\x00", 1002),  # an opcode without a meaning
        (b"\x8b\x00", 1002),
        (b"\x82\x80", 1002),  # masked by a server
        (b"\x09\x00", 1002),  # a ping in pieces
        (b"\x89\x7e\x00\x7e", 1002),  # a ping of 126 bytes
        (b"\x80\x00", 1002),  # the rest of nothing
        (b"\x02\x00\x81\x00", 1002),  # a message within another
        (b"\x81\x01\xff", 1007),
        (b"\x01\x01\xc3\x80\x00", 1007),  # half a character, and no more
        (b"\x82\x7f" + (LIMIT + 1).to_bytes(8, "big"), 1009),  # before any of it has come
        (b"\x02\x01x\x80\x7f" + LIMIT.to_bytes(8, "big"), 1009),  # in all
    ],
)
def test_what_is_refused(data: bytes, code: int) -> None:
    decoder = FrameDecoder(masked=False, limit=LIMIT)
    decoder.feed(data)
    with pytest.raises(FrameError) as caught:
        while decoder.next() is not None:
            pass
    assert caught.value.code == code


def test_the_largest_message() -> None:
    decoder = FrameDecoder(masked=False, limit=70_000)
    assert decode_all(decoder, encode(bytes(70_000), b""), []) == [bytes(70_000)]


@given(codes, st.text(max_size=200))
def test_goodbyes(code: int, reason: str) -> None:
    payload = encode_close(code, reason)
    assert len(payload) <= 125
    got, text = decode_close(payload)
    assert got == code
    assert reason.startswith(text)
    assert text == reason or len(text.encode()) > 119  # a character has at most four bytes


def test_codes_that_are_not_sent() -> None:
    assert decode_close(encode_close(NO_CODE, "")) == (NO_CODE, "")
    assert decode_close(encode_close(1006, "gone")) == (1000, "gone")


@pytest.mark.parametrize("payload", [b"\x03", b"\x03\xed", b"\x00\x00", b"\x03\xe8\xff"])
def test_goodbyes_that_are_none(payload: bytes) -> None:
    with pytest.raises(FrameError):
        decode_close(payload)
