"""What is kept of a kernel that has ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

from ...wire.batch_jobs import BatchJob
from ...wire.json_fields import encode_json
from ...wire.kernel_states import KernelState
from ...wire.kernels import Statistics
from ...wire.status_details import StatusDetails
from ..resource_slots import encode_amounts
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
    """The record of a kernel that has run."""
    result = session.job_result
    record = _record(session, session.job)
    return replace(
        record,
        cpu_ms=session.statistics.cpu_used if session.statistics else 0,
        status_info=session.end_reason,
        status_data=_text(StatusDetails(exit_code=result.exit_code if result else None)),
        result=result.name if result else record.result,
    )


def cancelled_record(item: QueuedSession, state: KernelState) -> EndedSession:
    """The record of a kernel that never ran.

    Args:
        item: the kernel.
        state: its last state.
    """
    return replace(
        _record(item, item.requested.create.job),
        status=state.status,
        status_info=state.info,
        status_data=_text(state.details),
    )


def _record(kernel: Session | QueuedSession, job: BatchJob | None) -> EndedSession:
    """What is kept of any kernel, which has ended now."""
    return EndedSession(
        session_id=kernel.session_id,
        token=kernel.token,
        access_key=kernel.access_key,
        runtime=kernel.runtime.name,
        created_at=kernel.created_at.isoformat(),
        terminated_at=datetime.now(UTC).isoformat(),
        cpu_ms=0,
        kind="INTERACTIVE" if job is None else "BATCH",
        slots=encode_json(encode_amounts(kernel.amounts)).decode("ascii"),
    )


def _text(details: StatusDetails) -> str:
    return encode_json(details.as_json()).decode("ascii")
