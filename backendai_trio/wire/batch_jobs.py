"""Batch sessions: sessions that run one command, and end with it (docs/protocol.md, section
3.10)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import LocalProtocolError
from .json_fields import Fields
from .versions import Era, Hello

__all__ = ["BATCH", "BatchJob", "check_job"]

BATCH = "batch"
"""The type of such a session in a create request."""
_TIMEOUTS_SINCE = (24, 12)
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0, "": 1.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)([smhdw]?)", re.ASCII)


@dataclass(frozen=True, slots=True)
class BatchJob:
    """What a batch session does."""

    command: str
    """A shell command, which runs in the work folder."""
    timeout_seconds: float | None = None
    """After this time the server ends it, and it has failed. Default: no limit."""
    starts_at: str = ""
    """When it may start: ISO 8601, or an offset such as ``30m``. Default: at once."""

    def __post_init__(self) -> None:
        if not self.command.strip():
            raise LocalProtocolError("a batch session needs a command")
        if self.timeout_seconds is not None and self.timeout_seconds <= 0:
            raise LocalProtocolError("the time limit of a batch session must be above 0")

    def encode(self) -> dict[str, object]:
        """Its keys in a create request."""
        found: dict[str, object] = {"type": BATCH, "startupCommand": self.command}
        if self.timeout_seconds is not None:
            found["batch_timeout"] = self.timeout_seconds
        if self.starts_at:
            found["starts_at"] = self.starts_at
        return found

    @classmethod
    def decode(cls, top: Fields) -> BatchJob | None:
        """The inverse of `encode`, for every spelling of the keys.

        Args:
            top: a create request.

        Returns:
            The job; None if the session is of another type.

        Raises:
            LocalProtocolError: it has no command, or its time limit is none.
            RemoteProtocolError: it is malformed.
        """
        kind = top.text("type", "session_type", "sessionType", default="interactive")
        if kind.lower() != BATCH:
            return None
        return cls(
            top.text("startupCommand", "startup_command", default=""),
            _seconds(top.raw("batch_timeout", "batchTimeout")),
            top.text("starts_at", "startsAt", default=""),
        )


def _seconds(value: object) -> float | None:
    """A time limit as clients write it: a number, or a text such as ``1.5h``."""
    if value is None:
        return None
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is not None:
        return float(match[1]) * _SECONDS[match[2]]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    raise LocalProtocolError(f"batch_timeout {value!r}: write seconds, or a text such as 30m")


def check_job(hello: Hello, era: Era, job: BatchJob) -> None:
    """Check that a server can run a batch session.

    Args:
        hello: what the server says of itself.
        era: of the server.
        job: what to run.

    Raises:
        LocalProtocolError: it cannot; says from which release on others can.
    """
    server = f"manager {hello.manager}" if hello.manager else f"a server of API {hello.version}"
    if not era.takes_ids:
        raise LocalProtocolError(
            f"{server} cannot run batch sessions that can be followed; managers can from 20.09 on"
        )
    if job.timeout_seconds is not None and not hello.features and hello.release < _TIMEOUTS_SINCE:
        raise LocalProtocolError(
            f"{server} has no time limit for batch sessions; managers have from 24.12 on"
        )
