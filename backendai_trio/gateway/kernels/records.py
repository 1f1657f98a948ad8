"""What is kept of a kernel that has ended."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from ...wire.json_fields import encode_json
from ...wire.kernel_states import KernelState
from ...wire.kernels import Statistics
from ...wire.status_details import StatusDetails
from ..storage.database import EndedSession
from .queue import QueuedSession
from .session import Session

__all__ = ["cancelled_record", "ended_record", "statistics_of"]


def statistics_of(usage: Mapping[str, int]) -> Statistics:
    """What a kernel has used, from the figures of its process host."""
    scratch = usage.get("scratch_bytes", 0)
    return Statistics(
        cpu_used=usage.get("cpu_ms", 0),
        mem_max_bytes=usage.get("max_rss_bytes", 0),
        io_read_bytes=usage.get("read_bytes", 0),
        io_write_bytes=usage.get("write_bytes", 0),
        io_max_scratch_size=scratch,
        io_cur_scratch_size=scratch,
    )


def ended_record(session: Session) -> EndedSession:
    """The record of a kernel that has run. The log is kept of batch sessions."""
    result = session.job_result
    details = StatusDetails(exit_code=None if result is None else result.exit_code)
    return EndedSession(
        session.session_id,
        session.token,
        session.access_key,
        session.runtime.name,
        session.created_at.isoformat(),
        datetime.now(UTC).isoformat(),
        session.statistics.cpu_used if session.statistics else 0,
        "TERMINATED",
        session.end_reason,
        _text(details),
        "INTERACTIVE" if session.job is None else "BATCH",
        "UNDEFINED" if result is None else result.name,
        "" if session.job is None else session.logs(),
    )


def cancelled_record(item: QueuedSession, state: KernelState) -> EndedSession:
    """The record of a kernel that never ran.

    Args:
        item: the kernel.
        state: its last state.
    """
    return EndedSession(
        item.session_id,
        item.token,
        item.access_key,
        item.runtime.name,
        item.created_at.isoformat(),
        datetime.now(UTC).isoformat(),
        0,
        state.status,
        state.info,
        _text(state.details),
        "INTERACTIVE" if item.requested.create.job is None else "BATCH",
    )


def _text(details: StatusDetails) -> str:
    return encode_json(details.as_json()).decode("ascii")
