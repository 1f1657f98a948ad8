"""The command of a batch session."""

from __future__ import annotations

import math

import trio

from ...wire.batch_jobs import TIMED_OUT, BatchJob
from ...wire.execution import ExecuteRequest
from .run import Run
from .session import JobResult, Session

__all__ = ["finish_job", "start_job"]

RUN_ID = "batch-job"
"""The name that agents give to the run."""
_NOT_FINISHED = -2
"""The exit code that agents tell of a job that was ended."""


def start_job(session: Session, job: BatchJob) -> Run:
    """Start the command in a kernel. Its output goes to the log, and it gets no input.

    Args:
        session: the kernel.
        job: the command.
    """
    run = session.start(ExecuteRequest("batch", RUN_ID, "", {"exec": job.command}))
    # No client polls it, and it is not abandoned.
    run.last_seen = math.inf
    run.output.start_discarding()
    run.input.close()
    return run


async def finish_job(session: Session, job: BatchJob, run: Run) -> JobResult:
    """Wait until a kernel's command has ended, or its time limit is over.

    Args:
        session: the kernel.
        job: the command.
        run: what `start_job` has returned.
    """
    limit = math.inf if job.timeout_seconds is None else job.timeout_seconds
    try:
        with trio.move_on_after(limit):
            while run.outcome is None:
                await run.output.wait_written()
    finally:
        session.forget(run)
    if run.outcome is None:
        return JobResult(_NOT_FINISHED, TIMED_OUT)
    return JobResult(run.outcome, "task-finished" if run.outcome == 0 else "task-failed")
