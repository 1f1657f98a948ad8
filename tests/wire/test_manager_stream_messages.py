"""Messages of the managers' WebSockets: streaming execution and terminals."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from backendai_trio.errors import ExecutionError, LocalProtocolError, RemoteProtocolError
from backendai_trio.wire.execution import ExecuteReply, ExecuteRequest
from backendai_trio.wire.manager_streams import (
    FromTerminal,
    Ping,
    Resize,
    Restart,
    Stdin,
    decode_reply,
    decode_start,
    decode_typed,
    decode_typed_out,
    encode_reply,
    encode_start,
    encode_typed,
    encode_typed_out,
)

from .strategies import console_text, json_values, thorough

DECODERS = [decode_start, decode_reply, decode_typed, decode_typed_out]

_objects = st.dictionaries(st.text(max_size=8), json_values, max_size=3)
_starts = st.builds(
    ExecuteRequest,
    mode=st.sampled_from(["query", "batch"]),
    run_id=st.none() | st.text(min_size=1, max_size=64),
    code=st.text() | console_text,
    options=_objects,
)
_replies = st.builds(
    ExecuteReply,
    status=st.sampled_from(
        ["continued", "clean-finished", "build-finished", "waiting-input", "finished"]
    ),
    run_id=st.just(""),
    console=st.lists(
        st.tuples(st.sampled_from(["stdout", "stderr"]), st.text() | console_text), max_size=4
    ).map(tuple),
    exit_code=st.none() | st.integers(0, 255),
    options=_objects,
)
_typed: st.SearchStrategy[FromTerminal] = (
    st.builds(Stdin, st.binary())
    | st.builds(Resize, st.integers(1, 10_000), st.integers(1, 10_000))
    | st.just(Restart())
    | st.just(Ping())
)
# Nearly right: what a decoder looks for, holding anything.
_almost = st.dictionaries(
    st.sampled_from(["mode", "code", "options", "status", "console", "exitCode", "msg", "type"])
    | st.sampled_from(["chars", "rows", "cols", "data"]),
    json_values | st.sampled_from(["query", "stdin", "resize", "out", "finished", "error"]),
    max_size=4,
).map(json.dumps)


# --- streaming execution -------------------------------------------------------------------------


@given(_starts)
@thorough
def test_start_round_trip(request: ExecuteRequest) -> None:
    """The run's id is not told: it is private to the socket."""
    frame = encode_start(request)
    assert frame.isascii()
    assert "run" not in " ".join(json.loads(frame))
    assert decode_start(frame) == decode_start(frame.encode()) == replace(request, run_id=None)


@pytest.mark.parametrize("mode", ["continue", "input", "complete"])
def test_only_query_and_batch_start(mode: str) -> None:
    with pytest.raises(LocalProtocolError, match=mode):
        encode_start(ExecuteRequest(mode, "r"))  # type: ignore[arg-type]
    with pytest.raises(RemoteProtocolError, match=mode):
        decode_start(json.dumps({"mode": mode, "code": "", "runId": "r"}))


@given(_replies)
@thorough
def test_reply_round_trip(reply: ExecuteReply) -> None:
    frame = encode_reply(reply)
    assert frame.isascii()
    assert decode_reply(frame) == decode_reply(frame.encode()) == reply


@pytest.mark.parametrize("status", ["error", "server-restarting"])
def test_end_that_the_server_brings_about(status: str) -> None:
    with pytest.raises(ExecutionError, match=f"{status}.*: bad luck"):
        decode_reply(json.dumps({"status": status, "msg": "bad luck"}))
    with pytest.raises(ExecutionError, match=status):
        decode_reply(json.dumps({"status": status}))


# --- terminals -----------------------------------------------------------------------------------


@given(_typed)
@thorough
def test_typed_round_trip(message: FromTerminal) -> None:
    frame = encode_typed(message)
    assert decode_typed(frame) == decode_typed(frame.encode()) == message


@given(st.binary())
@example(bytes(range(256)))
@thorough
def test_output_round_trip(data: bytes) -> None:
    frame = encode_typed_out(data)
    assert json.loads(frame) == {"type": "out", "data": base64.b64encode(data).decode()}
    assert decode_typed_out(frame) == decode_typed_out(frame.encode()) == data


def test_messages_of_unknown_types_are_passed_over() -> None:
    for body in ({"type": "later"}, {}, {"type": None}):
        assert decode_typed(json.dumps(body)) is None
        assert decode_typed_out(json.dumps(body)) == b""


@pytest.mark.parametrize(
    "body",
    [
        {"type": "stdin", "chars": "a"},
        {"type": "stdin", "chars": "äöü="},
        {"type": "stdin", "chars": 1},
        {"type": "resize"},
        {"type": "resize", "rows": 24},
        {"type": "resize", "rows": 0, "cols": 80},
        {"type": "resize", "rows": 24, "cols": 10_001},
        {"type": "resize", "rows": "24", "cols": "80"},
        {"type": 1},
    ],
)
def test_malformed_typing_is_refused(body: dict[str, object]) -> None:
    with pytest.raises(RemoteProtocolError):
        decode_typed(json.dumps(body))


# --- both ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("decode", DECODERS)
@given(frame=st.binary() | st.text(st.characters(codec=None)) | _almost)
@example(frame="[" * 100_000)
@example(frame="\ud800")
@example(frame='{"type": "resize", "rows": 1e400, "cols": 1}')
@settings(deadline=None, max_examples=200)
def test_strange_frames_are_refused(
    decode: Callable[[str | bytes], object], frame: str | bytes
) -> None:
    """Of the decoders, only that of replies may raise an `ExecutionError`."""
    allowed = (RemoteProtocolError, ExecutionError) if decode is decode_reply else ()
    try:
        decode(frame)
    except (RemoteProtocolError, *allowed):
        pass
