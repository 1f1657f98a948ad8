"""Session events and the stream they travel in."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backendai_trio.errors import LocalProtocolError, RemoteProtocolError
from backendai_trio.wire import events
from backendai_trio.wire.events import (
    KEEPALIVE,
    EventParser,
    Message,
    SessionEvent,
    encode_message,
    events_request,
    name_in,
)
from backendai_trio.wire.versions import ERAS, SEED, SESSION_5, SESSION_6, TRANSITION, Era

from .strategies import thorough

each_era = pytest.mark.parametrize("era", ERAS, ids=lambda era: era.name)
UUID = "5d40c8a1-5f4e-4a38-8f0c-1f6ad3b5a4de"

_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_line = _text.filter(lambda text: not {"\r", "\n"} & {*text})
_messages = st.builds(Message, _line.filter(bool), _text)


def parse(*pieces: bytes) -> tuple[list[Message], EventParser]:
    """What comes out, message by message as soon as it can."""
    parser = EventParser()
    found = []
    for piece in pieces:
        parser.feed(piece)
        while (message := parser.next_message()) is not None:
            found.append(message)
    return found, parser


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    at = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[a:b] for a, b in pairwise(at)]


# --- the stream ----------------------------------------------------------------------------------


@given(st.lists(_messages, max_size=5), st.lists(st.integers(0, 500)))
@thorough
def test_round_trip(messages: list[Message], cuts: list[int]) -> None:
    data = KEEPALIVE.join(encode_message(message) for message in messages)
    unified = [Message(m.event, m.data.replace("\r\n", "\n").replace("\r", "\n")) for m in messages]
    assert parse(*split(data, cuts))[0] == unified


@given(
    st.lists(
        st.sampled_from(
            [
                *(b"event", b"data", b"retry", b"id", b":", b" ", b"\r", b"\n", b"\r\n", b"12"),
                *(b"\xef\xbb\xbf", b"\xff", b"\n\n", b"data: 1\n", b"event: e\r\n", b"x"),
            ]
        ),
        max_size=30,
    ).map(b"".join),
    st.lists(st.integers(0, 500)),
)
@thorough
def test_split_makes_no_difference(data: bytes, cuts: list[int]) -> None:
    whole, parser = parse(data)
    for pieces in (split(data, cuts), [data[i : i + 1] for i in range(len(data))]):
        found, other = parse(*pieces)
        assert found == whole
        assert other.retry_seconds == parser.retry_seconds


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"event: e\ndata: 1\n\n", [Message("e", "1")]),
        (b"event:e\rdata:1\r\r", [Message("e", "1")]),
        (b"event:e\r\ndata:  1\r\n\r\n", [Message("e", " 1")]),
        (b"\xef\xbb\xbfevent: e\ndata: 1\n\n", [Message("e", "1")]),
        (b"data: 1\ndata: 2\ndata\n\n", [Message("message", "1\n2\n")]),
        (b": ping\n\n: ping 2\nevent: e\ndata: 1\nid: 7\nother: x\n\n", [Message("e", "1")]),
        (b"event: e\n\ndata: 1\n\n", [Message("e"), Message("message", "1")]),
        (b"event: server_close\n\n", [Message("server_close")]),
        (b"event: e\ndata: 1\n", []),
        (b"\n\n\n", []),
        (b"data: \xff\n\n", [Message("message", "�")]),
    ],
)
def test_forms(data: bytes, expected: list[Message]) -> None:
    assert parse(data)[0] == expected


@pytest.mark.parametrize(
    ("line", "seconds"),
    [
        (b"retry: 2500", 2.5),
        (b"retry:0", 0.0),
        (b"retry: -1", None),
        (b"retry: soon", None),
        ("retry: ٣".encode(), None),
        (b"retry: 99999999999999", None),
    ],
)
def test_retry(line: bytes, seconds: float | None) -> None:
    assert parse(line + b"\n")[1].retry_seconds == seconds


@pytest.mark.parametrize("end", [b"", b"\n\n"])
@pytest.mark.parametrize("size", [1, 1000, 1 << 20])
def test_long_line(end: bytes, size: int) -> None:
    line = b"event: e\ndata: 1\n\ndata: " + b"x" * events.MAX_LINE_BYTES + end
    parser = EventParser()
    found = []
    with pytest.raises(RemoteProtocolError, match="a line exceeds 65536 bytes"):
        for start in range(0, len(line), size):
            parser.feed(line[start : start + size])
            while (message := parser.next_message()) is not None:
                found.append(message)
    assert found == [Message("e", "1")]


def test_long_message() -> None:
    with pytest.raises(RemoteProtocolError, match="a message exceeds"):
        parse((b"data: " + b"x" * 1000 + b"\n") * 1000)


@pytest.mark.parametrize("name", ["", "a\nb", "a\rb", "\ud800"])
def test_name_that_cannot_be_sent(name: str) -> None:
    with pytest.raises(LocalProtocolError):
        encode_message(Message(name))


# --- events --------------------------------------------------------------------------------------


@each_era
@given(
    st.builds(
        SessionEvent,
        _line.filter(bool),
        st.text(),
        st.text(),
        st.text(),
        st.none() | st.integers(),
        st.dictionaries(st.sampled_from(["ownerAccessKey", "kernelId"]), st.text()),
    )
)
@thorough
def test_event_round_trip(era: Era, event: SessionEvent) -> None:
    (message,) = parse(event.encode(era))[0]
    found = SessionEvent.decode(message)
    assert (found.name, found.token, found.reason) == (event.name, event.token, event.reason)
    assert found.data.items() >= event.data.items()
    if era == SESSION_6:
        assert (found.session_id, found.exit_code) == (event.session_id, event.exit_code)
    else:
        assert found.session_id == ("" if era == SESSION_5 else event.token)
        assert found.exit_code is None


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ('{"sessionId": "t", "ownerAccessKey": "A", "reason": "r"}', ("t", "t", "r", None)),
        ('{"sessionName": "t", "ownerAccessKey": "A", "reason": null}', ("", "t", "", None)),
        (f'{{"sessionName": "t", "sessionId": "{UUID}", "exitCode": 3}}', (UUID, "t", "", 3)),
        ("{}", ("", "", "", None)),
    ],
)
def test_forms_of_events(data: str, expected: tuple[object, ...]) -> None:
    event = SessionEvent.decode(Message("session_started", data))
    assert (event.session_id, event.token, event.reason, event.exit_code) == expected


@pytest.mark.parametrize(
    "data", ["", "[]", "null", "x", '{"sessionName": 1}', '{"exitCode": "0"}', '{"reason": []}']
)
def test_not_an_event(data: str) -> None:
    with pytest.raises(RemoteProtocolError):
        SessionEvent.decode(Message("session_started", data))


@pytest.mark.parametrize(
    ("name", "session_id", "ends"),
    [
        ("session_terminated", UUID, True),
        ("session_cancelled", UUID, True),
        ("kernel_terminated", UUID, False),  # one of several, perhaps
        ("kernel_terminated", "", True),
        ("kernel_terminated", "t", True),
        ("session_terminating", "t", False),
    ],
)
def test_what_ends_a_session(name: str, session_id: str, ends: bool) -> None:
    assert SessionEvent(name, session_id, "t").ends_session is ends


# --- eras ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("era", "token", "target"),
    [
        (SEED, "t", "/v2/stream/kernel/_/events?sessionId=t"),
        (TRANSITION, None, "/stream/kernel/_/events?sessionId=*"),
        (TRANSITION, "t", "/stream/kernel/_/events?sessionId=t"),
        (SESSION_5, None, "/events/session"),
        (SESSION_5, "t", "/events/session?sessionName=t&name=t"),
        (SESSION_6, None, "/events/session"),
        (SESSION_6, "a b", "/events/session?sessionName=a+b"),
        (SESSION_6, UUID, f"/events/session?sessionId={UUID}"),
        (SESSION_6, UUID.replace("-", ""), f"/events/session?sessionName={UUID.replace('-', '')}"),
    ],
)
def test_request(era: Era, token: str | None, target: str) -> None:
    assert events_request(era, token).target == target


@each_era
def test_request_without_a_name(era: Era) -> None:
    with pytest.raises(LocalProtocolError, match="None for all"):
        events_request(era, "")


@pytest.mark.parametrize(
    ("name", "old"),
    [
        ("session_enqueued", "kernel_enqueued"),
        ("session_scheduled", None),
        ("session_started", None),  # kernel_started says it
        ("kernel_started", "kernel_started"),
        ("session_terminated", None),
        ("session_success", "kernel_success"),
    ],
)
def test_names(name: str, old: str | None) -> None:
    assert name_in(SESSION_6, name) == name
    for era in (TRANSITION, SESSION_5):
        assert name_in(era, name) == old
