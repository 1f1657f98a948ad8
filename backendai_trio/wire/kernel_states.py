"""States of sessions (docs/protocol.md, sections 3.4 to 3.7)."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .graphql import GraphQLQuery
from .json_fields import Fields, encode_json
from .status_details import StatusDetails

__all__ = [
    "COMING",
    "DEAD",
    "ENDED",
    "FAILURE",
    "LIVE",
    "NOT_NOW",
    "RUNNING",
    "STATES",
    "SUCCESS",
    "KernelState",
    "reason_of",
    "state_query",
]

COMING = frozenset(
    {"PENDING", "SCHEDULED", "PREPARING", "PULLING", "PREPARED", "CREATING", "BUILDING"}
    | {"RESERVED", "DEPRIORITIZING", "PREEMPTED", "RESCHEDULING", "TIMEOUT"}
)
"""States of a session that does not run, and may yet."""
RUNNING = frozenset({"RUNNING", "RUNNING_DEGRADED", "RESTARTING", "RESIZING", "SUSPENDED"})
"""States of a session that has been started."""
ENDED = frozenset({"CANCELLED", "TERMINATED"})
"""States of a session that holds nothing any more."""
DEAD = ENDED | {"TERMINATING", "ERROR"}
"""States of a session that has ended, or will never run."""
STATES = COMING | RUNNING | DEAD
"""All states that a server is known to tell."""
LIVE = "LIVE"
"""Stands for all states of sessions that have not ended, where a list is asked for."""
NOT_NOW = "generic-forbidden"
"""The kind of a manager's refusal (403) to destroy a session that is in one of these states."""

SUCCESS = "SUCCESS"
"""The result of a batch session whose command has ended with 0."""
FAILURE = "FAILURE"
"""The result of a batch session whose command has failed, or was ended."""

_NODE = "ComputeSessionNode"


@dataclass(frozen=True, slots=True)
class KernelState:
    """The state of a session, and why it is in it."""

    status: str = ""
    """In capitals; empty if the server knows no such session."""
    info: str = ""
    """Why, in a word, such as ``predicate-checks-failed``; empty if nothing is said."""
    details: StatusDetails = field(default_factory=StatusDetails)
    """Why, in full."""
    containers: tuple[str, ...] = ()
    """The states of its containers, in capitals."""
    result: str = ""
    """Of a batch session: ``SUCCESS`` or ``FAILURE``; before that ``UNDEFINED``."""
    ahead: int | None = None
    """How many sessions will be tried before it; None where the server does not tell."""

    @property
    def reason(self) -> str:
        """Why it is in its state: the word, and what is known beyond it."""
        return ": ".join(filter(None, (self.info, self.details.text)))

    @property
    def ended(self) -> bool:
        """Whether the session is over, by what the server says."""
        return not self.status or self.status in ENDED

    @property
    def is_coming(self) -> bool:
        """Whether it does not run yet, and may still."""
        return self.status in COMING

    @property
    def is_stuck(self) -> bool:
        """Whether its containers have ended, and it is said to be starting: a destroy has met the
        scheduler. Without force the manager refuses to destroy it to the end of time."""
        return self.is_coming and bool(self.containers) and ENDED.issuperset(self.containers)

    def encode(self) -> dict[str, Any]:
        """The data of the answer to `state_query`."""
        row = {
            "status": self.status,
            "status_info": self.info or None,
            "status_data": encode_json(self.details.as_json()).decode("ascii"),
            "result": self.result or None,
            "containers": [{"status": status} for status in self.containers],
        }
        return {
            "compute_session": row if self.status else None,
            "compute_session_node": {"queue_position": self.ahead},
        }

    @classmethod
    def decode(cls, answer: Mapping[str, Any]) -> KernelState:
        """Read the data of the answer to `state_query`.

        Args:
            answer: the data, without its envelope.

        Raises:
            RemoteProtocolError: it is malformed.
        """
        top = Fields(answer, "state of a session")
        if top.raw("compute_session") is None:
            return cls()
        row = top.nested("compute_session")
        info, details = _why(row)
        position = top.nested("compute_session_node").raw("queue_position")
        return cls(
            row.text("status").upper(),
            info,
            details,
            tuple(
                Fields(item, "container").text("status", default="").upper()
                for item in row.items("containers")
            ),
            row.text("result", default="").upper(),
            position if type(position) is int else None,
        )


def state_query(kernel_id: str, *, with_position: bool = False) -> GraphQLQuery:
    """The query for the state of one session, 20.09 and later (docs/protocol.md, section 8.3).

    Args:
        kernel_id: its id, a UUID.
        with_position: whether to ask for its place in the queue, too, which is told from 25.13 on.
    """
    fields = "status status_info status_data result containers { status }"
    if not with_position:
        return GraphQLQuery(
            f"query($id: UUID!) {{ compute_session(id: $id) {{ {fields} }} }}", {"id": kernel_id}
        )
    node = b64encode(f"{_NODE}:{kernel_id}".encode()).decode("ascii")
    return GraphQLQuery(
        "query($id: UUID!, $node: GlobalIDField!) "
        f"{{ compute_session(id: $id) {{ {fields} }} "
        "compute_session_node(id: $node) { queue_position } }",
        {"id": kernel_id, "node": node},
    )


def reason_of(row: Fields) -> str:
    """Why a session is in its state: what ``status_info`` and ``status_data`` say, if anything.

    Args:
        row: a session of the admin API.
    """
    info, details = _why(row)
    return KernelState(info=info, details=details).reason


def _why(row: Fields) -> tuple[str, StatusDetails]:
    info = row.text("status_info", default="")
    return info if info != "None" else "", StatusDetails.decode(row.raw("status_data"))
