"""Why a session is in its state, in the words of its manager (docs/protocol.md, section 3.7).

Managers keep a word (``status_info``) and an object (``status_data``), whose parts come and go with
the session's states. What is malformed in them is passed over: it explains, and decides nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import RemoteProtocolError
from .json_fields import decode_json

__all__ = ["Failure", "Predicate", "StatusDetails"]


@dataclass(frozen=True, slots=True)
class Predicate:
    """A condition that a session has to meet before it is started."""

    name: str
    """Such as ``concurrency``, ``dependencies`` or ``keypair_resource_limit``."""
    message: str = ""
    """Why it is not met."""


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong when a session was started."""

    text: str
    """The error, as Python shows it."""
    name: str = ""
    """The class of the error."""
    source: str = ""
    """``agent`` or ``other``."""
    agent: str = ""
    """The agent's id, where the manager tells."""


@dataclass(frozen=True, slots=True)
class StatusDetails:
    """The content of ``status_data``."""

    tries: int = 0
    """How often the scheduler has tried to start the session."""
    last_try: str = ""
    """When it last did: ISO 8601."""
    failed: tuple[Predicate, ...] = ()
    """The conditions that were not met then."""
    passed: tuple[str, ...] = ()
    """The names of those that were."""
    message: str = ""
    """Why no agent was found for it."""
    failures: tuple[Failure, ...] = ()
    exit_code: int | None = None
    """Of a container's main program, once it has ended."""

    @property
    def text(self) -> str:
        """Why the session waits or has died; ``""`` if nothing is said of that."""
        if self.failures:
            return "; ".join(failure.text for failure in self.failures)
        reasons = [predicate.message or predicate.name for predicate in self.failed]
        return "; ".join(filter(None, (*reasons, self.message)))

    def as_json(self) -> dict[str, Any]:
        """The object; what is not known is left out."""
        scheduler = {
            "retries": self.tries,
            "last_try": self.last_try,
            "failed_predicates": [{"name": p.name, "msg": p.message} for p in self.failed],
            "passed_predicates": [{"name": name} for name in self.passed],
            "msg": self.message,
        }
        scheduler = {key: value for key, value in scheduler.items() if value}
        found: dict[str, Any] = {"scheduler": scheduler} if scheduler else {}
        errors = [_as_json(failure) for failure in self.failures]
        if len(errors) == 1:
            found["error"] = errors[0]
        elif errors:
            name = "MultiAgentError"
            text = f"{name}({len(errors)})"
            found["error"] = {"src": "agent", "name": name, "repr": text, "collection": errors}
        if self.exit_code is not None:
            found["kernel"] = {"exit_code": self.exit_code}
        return found

    @classmethod
    def decode(cls, value: object) -> StatusDetails:
        """Read ``status_data``.

        Args:
            value: an object, JSON within a text (GraphQL), or whatever else was sent.
        """
        if isinstance(value, str):
            try:
                value = decode_json(value.encode("utf-8", "replace"), "status data")
            except RemoteProtocolError:
                return cls()
        data = _object(value)
        scheduler = _object(data.get("scheduler"))
        failed = [
            Predicate(_text(item, "name"), _text(item, "msg"))
            for item in _objects(scheduler.get("failed_predicates"))
        ]
        passed = [_text(item, "name") for item in _objects(scheduler.get("passed_predicates"))]
        error = _object(data.get("error"))
        failures = [_failure(item) for item in _objects(error.get("collection")) or [error]]
        return cls(
            tries=_number(scheduler.get("retries")) or 0,
            last_try=_text(scheduler, "last_try"),
            failed=tuple(item for item in failed if item.name or item.message),
            passed=tuple(filter(None, passed)),
            message=_text(scheduler, "msg"),
            failures=tuple(item for item in failures if item.text),
            exit_code=_number(_object(data.get("kernel")).get("exit_code")),
        )


def _as_json(failure: Failure) -> dict[str, str]:
    found = {"src": failure.source, "name": failure.name, "repr": failure.text}
    found = {key: value for key, value in found.items() if value}
    return found | ({"agent_id": failure.agent} if failure.agent else {})


def _failure(item: Mapping[str, Any]) -> Failure:
    return Failure(
        _text(item, "repr"), _text(item, "name"), _text(item, "src"), _text(item, "agent_id")
    )


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _objects(value: object) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _text(item: Mapping[str, Any], name: str) -> str:
    value = item.get(name)
    return value if isinstance(value, str) else ""


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
