"""Events of background tasks: messages both ways."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backendai_trio.errors import RemoteProtocolError
from backendai_trio.wire.background_tasks import TaskEvent, task_events_request
from backendai_trio.wire.events import EventParser, Message, encode_message

_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
_events = st.builds(
    TaskEvent,
    st.sampled_from(["updated", "done", "failed", "cancelled"]),
    _texts,
    st.integers(0, 2**31),
    st.integers(0, 2**31),
    st.lists(_texts, max_size=2).map(tuple),
)


@given(_events)
def test_events_both_ways(event: TaskEvent) -> None:
    parser = EventParser()
    parser.feed(encode_message(event.encode("a-task")))
    message = parser.next_message()
    assert message is not None and TaskEvent.decode(message) == event


@pytest.mark.parametrize(
    ("name", "state", "last"),
    [
        ("task_updated", "updated", False),  # 20.03
        ("task_done", "done", True),
        ("bgtask_started", "updated", False),
        ("bgtask_partial_success", "done", True),
        ("bgtask_cancelled", "cancelled", True),
    ],
)
def test_names_of_releases(name: str, state: str, last: bool) -> None:
    # Of a task that has ended, managers up to 23.09 send what they kept: text.
    event = TaskEvent.decode(Message(name, '{"current_progress": "2", "total_progress": "0"}'))
    assert event is not None
    assert (event.state, event.is_last, event.current, event.total) == (state, last, 2, 0)


def test_other_messages() -> None:
    for name in ("server_close", "done", "session_started", "bgtask_nonsense"):
        assert TaskEvent.decode(Message(name, "{}")) is None
    for data in ("", "[]", '{"message": 1}', '{"current_progress": "x"}', '{"errors": "x"}'):
        with pytest.raises(RemoteProtocolError):
            TaskEvent.decode(Message("bgtask_done", data))


def test_the_request() -> None:
    assert task_events_request("a-b").target == "/events/background-task?taskId=a-b"
