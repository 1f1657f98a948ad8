"""Messages of resumable streams."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from backendai_trio.errors import RemoteProtocolError
from backendai_trio.wire.resumable import (
    Ack,
    Control,
    EndOfInput,
    FromClient,
    FromServer,
    Input,
    InputSeen,
    Mark,
    Output,
    RecordParser,
    decode_from_client,
    decode_from_server,
    encode_frame,
    encode_record,
)

from .strategies import json_values, thorough

DECODERS = [decode_from_server, decode_from_client]

_positions = st.integers(0, 2**63 - 1)
_objects = st.dictionaries(st.text(max_size=8), json_values, max_size=3)
_from_server: st.SearchStrategy[FromServer] = (
    st.builds(Output, st.sampled_from(["stdout", "stderr", "records"]), _positions, st.binary())
    | st.builds(Mark, _positions, _objects)
    | st.builds(InputSeen, _positions)
)
_from_client: st.SearchStrategy[FromClient] = (
    st.builds(Input, _positions, st.binary())
    | st.builds(Ack, _positions)
    | st.builds(EndOfInput, _positions)
    | st.builds(Control, _objects)
)
# Nearly right: what a decoder looks for, holding anything.
_almost = st.dictionaries(
    st.sampled_from(["input", "end", "mark", "ack", "eof", "control"]), json_values, max_size=3
).map(json.dumps)


@given(_from_server)
@thorough
def test_server_message_round_trip(message: FromServer) -> None:
    assert decode_from_server(encode_frame(message)) == message


@given(_from_client)
@thorough
def test_client_message_round_trip(message: FromClient) -> None:
    assert decode_from_client(encode_frame(message)) == message


@given(_from_server | _from_client)
@thorough
def test_text_messages_are_ascii_and_data_is_binary(message: FromServer | FromClient) -> None:
    frame = encode_frame(message)
    assert isinstance(frame, bytes) == isinstance(message, Output | Input)
    assert isinstance(frame, bytes) or frame.isascii()


def test_forms_are_those_that_are_documented() -> None:
    assert encode_frame(Output("stdout", 3, b"abc")) == b"\x01" + bytes(7) + b"\x03abc"
    assert encode_frame(Output("stderr", 256, b"")) == b"\x02" + bytes(6) + b"\x01\x00"
    assert encode_frame(Input(1, b"x")) == bytes(7) + b"\x01x"
    texts: list[tuple[FromServer | FromClient, object]] = [
        (Mark(7, {"status": "finished"}), {"end": 7, "mark": {"status": "finished"}}),
        (InputSeen(5), {"input": 5}),
        (Ack(6), {"ack": 6}),
        (EndOfInput(8), {"eof": 8}),
        (Control({"resize": [24, 80]}), {"control": {"resize": [24, 80]}}),
    ]
    for message, expected in texts:
        assert json.loads(encode_frame(message)) == expected


@pytest.mark.parametrize("decode", DECODERS)
@given(frame=st.binary() | st.text(st.characters(codec=None)) | _almost)
@example(frame="[" * 100_000)
@example(frame="\ud800")
@example(frame='{"input": 1e400}')
@example(frame='{"input": ' + "9" * 5000 + "}")
@settings(deadline=None, max_examples=200)
def test_strange_frames_are_refused(
    decode: Callable[[bytes | str], object], frame: bytes | str
) -> None:
    try:
        decode(frame)
    except RemoteProtocolError as exc:
        assert len(str(exc)) < 500


@pytest.mark.parametrize("position", [-1, 2**63, 2**64 - 1])
def test_positions_have_bounds(position: int) -> None:
    frames: list[tuple[Callable[[bytes | str], object], dict[str, Any]]] = [
        (decode_from_server, {"input": position}),
        (decode_from_server, {"end": position, "mark": {}}),
        (decode_from_client, {"ack": position}),
        (decode_from_client, {"eof": position}),
    ]
    for decode, body in frames:
        with pytest.raises(RemoteProtocolError, match="is no position"):
            decode(json.dumps(body))
    if position >= 0:
        with pytest.raises(RemoteProtocolError, match="is no position"):
            decode_from_server(b"\x01" + position.to_bytes(8, "big"))
        with pytest.raises(RemoteProtocolError, match="is no position"):
            decode_from_client(position.to_bytes(8, "big"))


@pytest.mark.parametrize(("decode", "size"), [(decode_from_server, 9), (decode_from_client, 8)])
def test_short_frames_are_refused(decode: Callable[[bytes | str], object], size: int) -> None:
    for length in range(size):
        with pytest.raises(RemoteProtocolError, match="too short"):
            decode(b"\x01" * length)


def test_unknown_kind_of_output_is_refused() -> None:
    with pytest.raises(RemoteProtocolError, match="unknown kind 4"):
        decode_from_server(b"\x04" + bytes(8) + b"data")


# --- records -------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.text(), json_values), max_size=4), st.data())
@thorough
def test_records_come_back_however_they_are_cut(
    records: list[tuple[str, Any]], data: st.DataObject
) -> None:
    stream = b"".join(encode_record(kind, payload) for kind, payload in records)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=9)))
    parser = RecordParser()
    found = []
    for start, end in pairwise([0, *cuts, len(stream)]):
        found += parser.feed(stream[start:end])
    assert found == records


@given(
    st.binary().map(lambda line: line.replace(b"\n", b""))
    | json_values.map(json.dumps).map(str.encode)
)
@thorough
@example(b'["media"]')
@example(b"[1, 2]")
@example(b"\xff")
def test_malformed_records_are_refused_by_name(line: bytes) -> None:
    try:
        ((kind, _),) = RecordParser().feed(line + b"\n")
    except RemoteProtocolError as exc:
        assert "a record" in str(exc)
    else:
        assert isinstance(kind, str)


def test_record_without_an_end_is_refused() -> None:
    parser = RecordParser()
    with pytest.raises(RemoteProtocolError, match="a record exceeds 67,108,864 bytes"):
        for _ in range(70):
            parser.feed(bytes(1024 * 1024).replace(b"\0", b"x"))
