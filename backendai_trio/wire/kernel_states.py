"""States of sessions (docs/protocol.md, sections 3.4 to 3.7)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import RemoteProtocolError
from .graphql import GraphQLQuery
from .json_fields import Fields, decode_json

__all__ = ["COMING", "DEAD", "ENDED", "LIVE", "NOT_NOW", "KernelState", "reason_of", "state_query"]

COMING = frozenset(
    {"PENDING", "SCHEDULED", "PREPARING", "PULLING", "PREPARED", "CREATING", "BUILDING"}
    | {"RESERVED", "DEPRIORITIZING", "PREEMPTED", "RESCHEDULING", "TIMEOUT"}
)
"""States of a session that does not run yet."""
ENDED = frozenset({"CANCELLED", "TERMINATED"})
"""States of a session that holds nothing any more."""
DEAD = ENDED | {"TERMINATING", "ERROR"}
"""States of a session that has ended, or will never run."""
LIVE = "LIVE"
"""Stands for all states of sessions that have not ended, where a list is asked for."""
NOT_NOW = "generic-forbidden"
"""The kind of a manager's refusal (403) to destroy a session that is in one of these states."""


@dataclass(frozen=True, slots=True)
class KernelState:
    """The state of a session, and why it is in it."""

    status: str = ""
    """In capitals; empty if the server knows no such session."""
    reason: str = ""
    is_stuck: bool = False
    """Whether its containers have ended, and it is said to be starting: a destroy has met the
    scheduler. Without force the manager refuses to destroy it to the end of time."""

    @property
    def ended(self) -> bool:
        """Whether the session is over, by what the server says."""
        return not self.status or self.status in ENDED

    @classmethod
    def decode(cls, answer: Mapping[str, Any]) -> KernelState:
        """Read the data of the answer to `state_query`.

        Args:
            answer: the data, without its envelope.

        Raises:
            RemoteProtocolError: it is malformed.
        """
        if answer.get("compute_session") is None:
            return cls()
        row = Fields(answer, "state of a session").nested("compute_session")
        status = row.text("status").upper()
        containers = [
            Fields(item, "container").text("status", default="").upper()
            for item in row.items("containers")
        ]
        stuck = status in COMING and bool(containers) and ENDED.issuperset(containers)
        return cls(status, reason_of(row), stuck)


def state_query(kernel_id: str) -> GraphQLQuery:
    """The query for the state of one session, 20.09 and later (docs/protocol.md, section 8.3).

    Args:
        kernel_id: its id, a UUID.
    """
    return GraphQLQuery(
        "query($id: UUID!) { compute_session(id: $id) "
        "{ status status_info status_data containers { status } } }",
        {"id": kernel_id},
    )


def reason_of(row: Fields) -> str:
    """Why a session is in its state: what ``status_info`` and ``status_data`` say, if anything.

    Args:
        row: a session of the admin API.
    """
    info = row.text("status_info", default="")
    return ": ".join(
        filter(None, [info if info != "None" else "", _details(row.raw("status_data"))])
    )


def _details(status_data: object) -> str:
    """What went wrong, in the words of the manager: errors, or why no agent was found."""
    if isinstance(status_data, str):
        try:
            status_data = decode_json(status_data.encode("utf-8", "replace"), "status data")
        except RemoteProtocolError:
            return ""
    if not isinstance(status_data, dict):
        return ""
    error = status_data.get("error")
    if isinstance(error, dict):
        several = error.get("collection")
        errors = several if isinstance(several, list) and several else [error]
        return "; ".join(
            str(item["repr"]) for item in errors if isinstance(item, dict) and "repr" in item
        )
    scheduler = status_data.get("scheduler")
    if not isinstance(scheduler, dict):
        return ""
    failed = scheduler.get("failed_predicates")
    told = [item.get("msg") for item in failed or () if isinstance(item, dict)]
    return "; ".join(str(text) for text in (*told, scheduler.get("msg")) if text)
