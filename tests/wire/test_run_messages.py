"""Requests and replies of a run, of every era."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from backendai_trio.errors import RemoteProtocolError
from backendai_trio.wire.execution import BatchOptions, ExecuteReply, ExecuteRequest, Mode
from backendai_trio.wire.json_fields import encode_json
from backendai_trio.wire.run_events import (
    Event,
    Html,
    Log,
    Media,
    Other,
    Stderr,
    Stdout,
    event_of,
    record_of,
)

from .strategies import console_text, json_values, quick

_objects = st.dictionaries(st.text(max_size=8), json_values, max_size=3)
_modes: st.SearchStrategy[Mode] = st.sampled_from(
    ["query", "batch", "continue", "input", "complete"]
)
_requests = st.builds(
    ExecuteRequest,
    mode=_modes,
    run_id=st.none() | st.text(min_size=1, max_size=64),
    code=st.text() | console_text,
    options=_objects,
    raw_console=st.booleans(),
    rich_output=st.booleans(),
    eof=st.booleans(),
)
_records = (
    st.tuples(st.sampled_from(["stdout", "stderr", "html", "log"]), st.text() | console_text)
    | st.tuples(st.just("media"), st.lists(st.text(), min_size=2, max_size=2))
    | st.tuples(st.text(), json_values)
)
_replies = st.builds(
    ExecuteReply,
    status=st.sampled_from(["continued", "finished", "waiting-input"]) | st.text(),
    run_id=st.text(),
    console=st.lists(_records, max_size=4).map(tuple),
    exit_code=st.none() | st.integers(),
    options=_objects,
)


# --- requests ------------------------------------------------------------------------------------


@given(_requests)
@settings(deadline=None, max_examples=80)
def test_request_round_trip(request: ExecuteRequest) -> None:
    body = request.encode()
    assert body.isascii()
    assert ExecuteRequest.decode(body) == request


@given(_requests)
@quick
def test_run_id_goes_in_both_spellings(request: ExecuteRequest) -> None:
    """Each server reads one of them, and each wants the key even when it is null."""
    body = json.loads(request.encode())
    assert body["runId"] == body["run_id"] == request.run_id


def test_request_sends_no_more_than_it_must() -> None:
    assert json.loads(ExecuteRequest("continue", "r").encode()) == {
        "mode": "continue",
        "code": "",
        "runId": "r",
        "run_id": "r",
    }


@pytest.mark.parametrize(
    ("body", "request_"),
    [
        (
            b'{"mode": "query", "code": "1+1", "runId": null}',
            ExecuteRequest("query", None, "1+1"),
        ),
        (b'{"mode": "continue", "code": null, "runId": "r"}', ExecuteRequest("continue", "r")),
        (b'{"mode": "input", "code": "x", "run_id": "r"}', ExecuteRequest("input", "r", "x")),
        (b'{"mode": "input", "runId": "a", "run_id": "b"}', ExecuteRequest("input", "a")),
        (b'{"mode": "query", "runId": ""}', ExecuteRequest("query", None)),
        (b'{"code": "1"}', ExecuteRequest("query", None, "1")),
        (b'{"mode": "batch", "options": null}', ExecuteRequest("batch", None)),
        (
            b'{"mode": "batch", "options": {"build": "*"}, "later": []}',
            ExecuteRequest("batch", None, options={"build": "*"}),
        ),
    ],
)
def test_forms_of_a_request(body: bytes, request_: ExecuteRequest) -> None:
    assert ExecuteRequest.decode(body) == request_


@pytest.mark.parametrize(
    "value",
    [
        {"mode": "eval"},
        {"mode": "Query"},
        {"mode": 1},
        {"mode": "query", "code": 1},
        {"mode": "query", "code": ["1"]},
        {"mode": "query", "runId": 7},
        {"mode": "query", "runId": "r" * 65},
        {"mode": "query", "options": []},
        {"mode": "query", "options": "x"},
        {"mode": "query", "rawConsole": 1},
        {"mode": "input", "eof": "true"},
        [],
        None,
    ],
    ids=repr,
)
def test_request_refused(value: object) -> None:
    with pytest.raises(RemoteProtocolError):
        ExecuteRequest.decode(encode_json(value))


@given(
    st.binary()
    | st.fixed_dictionaries(
        {},
        optional={
            "mode": st.sampled_from(["query", "batch"]) | json_values,
            "runId": json_values,
            "run_id": json_values,
            "code": json_values,
            "options": st.fixed_dictionaries(
                {},
                optional={
                    "build": json_values,
                    "exec": json_values,
                    "clean": json_values,
                    "buildLog": json_values,
                },
            )
            | json_values,
            "rawConsole": json_values,
            "eof": json_values,
        },
    ).map(encode_json)
)
@settings(deadline=None, max_examples=80)
@example(b"[" * 100_000)
def test_any_body_is_a_request_or_refused(body: bytes) -> None:
    try:
        request = ExecuteRequest.decode(body)
        assert isinstance(request.batch_options(), BatchOptions)
    except RemoteProtocolError:
        return
    assert request.run_id is None or 0 < len(request.run_id) <= 64
    assert isinstance(request.code, str)
    assert isinstance(request.options, dict)


# --- batch options -------------------------------------------------------------------------------

_commands = st.none() | st.just("*") | st.text(min_size=1)


@given(
    st.builds(
        BatchOptions, clean=_commands, build=_commands, exec=_commands, build_log=st.booleans()
    )
)
@quick
def test_batch_options_round_trip(options: BatchOptions) -> None:
    request = ExecuteRequest("batch", "r", options=options.as_json())
    assert ExecuteRequest.decode(request.encode()).batch_options() == options


def test_batch_options_of_old_servers() -> None:
    """`clean` is not sent unless asked for; the defaults are the runtime's own rules."""
    assert BatchOptions().as_json() == {"build": "*", "buildLog": False, "exec": "*"}
    assert BatchOptions(clean="*").as_json()["clean"] == "*"
    empty = ExecuteRequest("batch", None, options={"build": "", "exec": None})
    assert empty.batch_options() == BatchOptions(build=None, exec=None)


# --- replies -------------------------------------------------------------------------------------


@given(_replies)
@settings(deadline=None, max_examples=80)
@example(ExecuteReply("finished", "r", (("stdout", "\udcff\udcfe"), ("stderr", "\udc80é")), 0))
def test_reply_round_trip(reply: ExecuteReply) -> None:
    body = reply.encode()
    assert body.isascii()
    assert ExecuteReply.decode(body) == reply


@given(_replies)
@quick
def test_reply_suits_the_first_clients(reply: ExecuteReply) -> None:
    """Those index `console` and `options` without a look at what they are."""
    result = json.loads(reply.encode())["result"]
    assert isinstance(result["console"], list)
    assert isinstance(result["options"], dict)
    assert isinstance(result["completions"], list)
    assert isinstance(result["files"], list)
    assert {"status", "runId", "exitCode"} <= result.keys()


@pytest.mark.parametrize(
    ("result", "reply"),
    [
        # 1.0: no runId, no exitCode
        (
            {"status": "finished", "console": [], "completions": [], "options": {}, "files": []},
            ExecuteReply("finished"),
        ),
        # 1.1 to 18.12
        (
            {"status": "continued", "runId": "r", "console": [["stdout", "x"]], "options": None},
            ExecuteReply("continued", "r", (("stdout", "x"),)),
        ),
        # today
        (
            {
                "status": "waiting-input",
                "runId": "r",
                "console": [["media", ["image/png", "data:..."]]],
                "exitCode": None,
                "options": {"is_password": True},
                "files": None,
            },
            ExecuteReply(
                "waiting-input",
                "r",
                (("media", ["image/png", "data:..."]),),
                None,
                {"is_password": True},
            ),
        ),
        # a kernel that vanished
        (
            {"status": "finished", "exitCode": 130, "console": [], "files": []},
            ExecuteReply("finished", "", (), 130),
        ),
        ({"status": "finished", "console": None}, ExecuteReply("finished")),
        ({"status": "finished", "run_id": "r", "options": []}, ExecuteReply("finished", "r")),
    ],
)
def test_forms_of_a_reply(result: dict[str, Any], reply: ExecuteReply) -> None:
    assert ExecuteReply.decode(encode_json({"result": result})) == reply


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"result": None},
        {"result": []},
        {"result": {}},
        {"result": {"status": 1}},
        {"result": {"status": "finished", "runId": 1}},
        {"result": {"status": "finished", "console": {}}},
        {"result": {"status": "finished", "console": ["stdout"]}},
        {"result": {"status": "finished", "console": [["stdout"]]}},
        {"result": {"status": "finished", "console": [["stdout", "x", "y"]]}},
        {"result": {"status": "finished", "console": [[1, "x"]]}},
        {"result": {"status": "finished", "exitCode": "0"}},
        {"result": {"status": "finished", "exitCode": True}},
        {"result": {"status": "finished", "exitCode": 0.5}},
        [],
    ],
    ids=repr,
)
def test_reply_refused(value: object) -> None:
    with pytest.raises(RemoteProtocolError):
        ExecuteReply.decode(encode_json(value))


@given(
    st.binary()
    | st.fixed_dictionaries(
        {
            "result": st.fixed_dictionaries(
                {},
                optional={
                    "status": st.just("finished") | json_values,
                    "runId": json_values,
                    "run_id": json_values,
                    "console": st.lists(
                        st.tuples(json_values, json_values) | json_values, max_size=3
                    )
                    | json_values,
                    "exitCode": json_values,
                    "options": json_values,
                },
            )
            | json_values
        }
    ).map(encode_json)
)
@settings(deadline=None, max_examples=80)
@example(b"[" * 100_000)
def test_any_body_is_a_reply_or_refused(body: bytes) -> None:
    try:
        reply = ExecuteReply.decode(body)
    except RemoteProtocolError:
        return
    assert isinstance(reply.status, str)
    assert reply.exit_code is None or type(reply.exit_code) is int
    for kind, payload in reply.console:
        event_of(kind, payload)


# --- events --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "payload", "event"),
    [
        ("stdout", "x", Stdout("x")),
        ("stderr", "\udcff", Stderr("\udcff")),
        ("html", "<b>", Html("<b>")),
        ("log", "{}", Log("{}")),
        ("media", ["image/svg+xml", "<svg>"], Media("image/svg+xml", "<svg>")),
        ("completion", ["a"], Other("completion", ["a"])),
        ("completion", "a", Other("completion", "a")),
        ("stdout", None, Other("stdout", None)),
        ("stdout", ["x"], Other("stdout", ["x"])),
        ("media", "x", Other("media", "x")),
        ("media", ["x"], Other("media", ["x"])),
        ("media", ["x", 1], Other("media", ["x", 1])),
        ("", "", Other("", "")),
    ],
)
def test_event_of(kind: str, payload: object, event: Event) -> None:
    assert event_of(kind, payload) == event


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        ("stdout", "a"),
        ("stderr", "b"),
        ("html", "<b>"),
        ("log", "c"),
        ("media", ["image/png", "AA=="]),
        ("odd", {"x": 1}),
        ("stdout", 5),
    ],
)
def test_records_and_events_are_each_others_inverse(kind: str, payload: object) -> None:
    assert record_of(event_of(kind, payload)) == (kind, payload)
