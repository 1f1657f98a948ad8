"""Events of background tasks, by which managers tell how long work goes on.

Source: docs/protocol.md, section 6.4.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import RemoteProtocolError
from .events import Message
from .http import Request
from .json_fields import Fields, decode_json, encode_json
from .versions import Era

__all__ = ["TaskEvent", "task_events_request"]

_PREFIXES = ("bgtask_", "task_")
"""Of the names of events; the second was that of 20.03."""
_DONE, _FAILED = frozenset({"done", "partial_success"}), frozenset({"failed", "cancelled"})


@dataclass(frozen=True, slots=True)
class TaskEvent:
    """Something that happened to a background task."""

    kind: str
    """``updated``, ``done``, ``failed`` or ``cancelled``."""
    task_id: str = ""
    message: str = ""
    done: float = 0.0
    """Progress, in units of the task."""
    total: float = 0.0
    """Progress at the end; 0 if unknown."""
    errors: tuple[str, ...] = ()
    """What failed of a task that has ended well otherwise (25.x+)."""

    @property
    def succeeded(self) -> bool:
        """Whether the task has ended well."""
        return self.kind in _DONE

    @property
    def failed(self) -> bool:
        """Whether the task has ended, and not well."""
        return self.kind in _FAILED

    def encode(self) -> Message:
        """The message."""
        body: dict[str, object] = {"task_id": self.task_id, "message": self.message}
        if self.total or self.done:
            body |= {"current_progress": self.done, "total_progress": self.total}
        if self.errors:
            body["errors"] = list(self.errors)
        return Message(f"{_PREFIXES[0]}{self.kind}", encode_json(body).decode())

    @classmethod
    def decode(cls, message: Message) -> TaskEvent | None:
        """Read a message; None for one that is not about a task, such as a keep-alive.

        Args:
            message: of the stream.

        Raises:
            RemoteProtocolError: it is malformed.
        """
        for prefix in _PREFIXES:
            if message.event.startswith(prefix):
                kind = message.event.removeprefix(prefix)
                break
        else:
            return None
        data = decode_json(message.data.encode("utf-8", "replace") or b"{}", "background task")
        fields = Fields(data, "background task")
        return cls(
            kind,
            fields.text("task_id", default=""),
            fields.text("message", default=""),
            _number(fields.raw("current_progress")),
            _number(fields.raw("total_progress")),
            fields.texts("errors"),
        )


def _number(value: object) -> float:
    """Progress, as a number or its text; 0 for none."""
    if value is None or value == "":
        return 0.0
    try:
        if isinstance(value, int | float | str):
            return float(value)
    except (ValueError, OverflowError):
        pass
    raise RemoteProtocolError(f"background task: {value!r:.60} is not a number")


def task_events_request(era: Era, task_id: str) -> Request:
    """The request for the events of a task.

    Args:
        era: of the server.
        task_id: of the task.
    """
    return Request("GET", era.path("events", "background-task"), (("taskId", task_id),))
