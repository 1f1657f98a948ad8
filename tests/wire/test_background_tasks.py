"""Events of background tasks that are about administration: what only some of it failed."""

from __future__ import annotations

import pytest

from backendai_trio.errors import RemoteProtocolError
from backendai_trio.wire.background_tasks import TaskEvent
from backendai_trio.wire.events import Message


def test_errors_of_a_task_that_went_on() -> None:
    event = TaskEvent("done", "a-task", "all read", errors=("one was not", "nor was another"))
    assert TaskEvent.decode(event.encode()) == event and event.succeeded
    with pytest.raises(RemoteProtocolError):
        TaskEvent.decode(Message("bgtask_done", '{"errors": "x"}'))
