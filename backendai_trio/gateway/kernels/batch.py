"""The command of a batch session."""

from __future__ import annotations

import math

import trio

from ...wire.batch_jobs import TIMED_OUT, BatchJob
from ...wire.execution import ExecuteRequest
from .session import JobResult, Session

__all__ = ["run_job"]

RUN_ID = "batch-job"
"""The name that agents give to the run."""
_NOT_FINISHED = -2
"""The exit code that agents tell of a job that was ended."""


async def run_job(session: Session, job: BatchJob) -> JobResult:
    """Run the command in a kernel, to its end or its time limit. Its output goes to the log.

    It gets no input: nobody is there to give any.

    Args:
        session: the kernel.
        job: the command.
    """
    run = session.start(ExecuteRequest("batch", RUN_ID, "", {"exec": job.command}))
    run.output.start_discarding()
    run.input.close()
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
