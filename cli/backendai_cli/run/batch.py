"""One call of `batch`: a batch session, followed to its result."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass

import click
import trio

from backendai_trio import Client, Config, KernelSpec, TrioKernel, new_token, open_client
from backendai_trio.files import Upload
from backendai_trio.kernels import (
    BatchJob,
    BatchResult,
    KernelState,
    enqueue_kernel,
    one_error,
    run_batch,
)

from .. import exit_codes
from ..console import Status, write_bytes
from ..images import suggesting_images
from ..server import call_server, journal_for
from ..termination import cancel_on_signals
from ..waiting import line_of, too_late

__all__ = ["JobRequest", "enqueue_job", "follow_job"]


@dataclass(frozen=True, kw_only=True)
class JobRequest:
    """The batch session that a command line asks for."""

    spec: KernelSpec
    job: BatchJob
    uploads: list[Upload]
    token: str | None
    max_wait: float | None


def enqueue_job(
    config: Config, spec: KernelSpec, job: BatchJob, token: str | None, status: Status
) -> int:
    """Leave a batch session in the queue of its server, and print its token."""

    async def enqueue(client: Client) -> TrioKernel:
        async with suggesting_images(client, spec.runtime):
            return await enqueue_kernel(client, spec, token=token or new_token(), job=job)

    made = call_server(config, enqueue)
    status.done(f"Batch session (ID: {made.kernel_id}) is queued.")
    click.echo(made.token)
    return 0


async def follow_job(request: JobRequest, config: Config, status: Status) -> int:
    """Run it to its result; returns the exit code of its command."""
    async with (
        cancel_on_signals(),
        open_client(config, journal=journal_for(config)) as client,
        suggesting_images(client, request.spec.runtime),
    ):
        result = await _Follower(request, client, status).run()
    if not result.log_complete:
        status.warn(
            "The end of the output may be missing: the server did not show the log after the "
            f"command's end. 'backend.ai logs {result.kernel_id}' may show it later"
        )
    if result.succeeded:
        status.done("The command has succeeded.")
        return 0
    if result.timed_out:
        limit = request.job.timeout_seconds
        told = f" of {limit:g} s (--timeout)" if limit is not None else ", which the server sets"
        status.info(f"The command was ended at its time limit{told}.")
        return exit_codes.TIMED_OUT
    told = f" with exit code {result.exit_code}" if result.exit_code is not None else ""
    status.info(f"The command has failed{told} ({result.reason}).")
    return (result.exit_code or 1) & 0xFF or 1


class _Follower:
    """What is shown of a batch session."""

    def __init__(self, request: JobRequest, client: Client, status: Status) -> None:
        self._request = request
        self._client = client
        self._status = status
        self._state = KernelState()
        self._waiting = trio.CancelScope()

    async def run(self) -> BatchResult:
        """Run the session; returns its result."""
        request = self._request
        token = request.token or new_token()
        self._status.info(f"Client session token: {token}")
        if request.max_wait is not None:
            self._waiting.deadline = trio.current_time() + request.max_wait
        progress, states = trio.open_memory_channel[KernelState](0)
        output, texts = trio.open_memory_channel[str](0)
        with one_error():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._show_states, states)
                nursery.start_soon(self._show_output, texts)
                with progress, output, self._waiting:  # closed, they end those tasks
                    result = await run_batch(
                        self._client,
                        request.spec,
                        request.job,
                        files=request.uploads,
                        token=token,
                        progress=progress,
                        output=output,
                    )
        if self._waiting.cancelled_caught:
            raise too_late(request.max_wait, self._state)
        return result

    async def _show_states(self, states: trio.MemoryReceiveChannel[KernelState]) -> None:
        started = False
        async for state in states:
            self._state = state
            if state.is_coming:
                self._status.wait(line_of(state))
            elif not started:
                started = True
                self._waiting.deadline = math.inf
                self._status.done("The batch session runs.")

    async def _show_output(self, texts: trio.MemoryReceiveChannel[str]) -> None:
        async for text in texts:
            self._status.clear()
            data = text.encode("utf-8", "surrogateescape")
            await trio.to_thread.run_sync(write_bytes, sys.stdout, data, abandon_on_cancel=True)
