"""Background tasks of users that have ended."""

from __future__ import annotations

from collections import OrderedDict

from ...wire.background_tasks import TaskEvent
from ..refusals import Refused

__all__ = ["FinishedTasks"]

_REMEMBERED = 256


class FinishedTasks:
    """How background tasks have ended; the oldest ones are forgotten."""

    def __init__(self) -> None:
        self._events: OrderedDict[tuple[str, str], TaskEvent] = OrderedDict()

    def add(self, user: str, event: TaskEvent) -> None:
        """Add a task, with its last event."""
        self._events[user, event.task_id] = event
        while len(self._events) > _REMEMBERED:
            self._events.popitem(last=False)

    def find(self, user: str, task_id: str) -> TaskEvent:
        """The last event of a user's task.

        Raises:
            Refused: 404, there is none.
        """
        if (event := self._events.get((user, task_id))) is None:
            raise Refused(404, "object-not-found", "No such background task", repr(task_id))
        return event
