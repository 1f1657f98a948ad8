"""Batch sessions: one command, followed from the queue to its result::

result = await run_batch(client, KernelSpec(runtime="python"), BatchJob("python train.py"))
print(result.exit_code, result.log)
"""

from __future__ import annotations

import math
import os
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import trio

from .._groups import one_error
from ..errors import BackendError, ExecutionError, ServerError
from ..files.sources import Upload
from ..transport.client import Client
from ..wire.batch_jobs import TIMED_OUT, BatchJob, JobLog, check_job, guarded_command
from ..wire.events import SessionEvent
from ..wire.kernel_spec import KernelSpec
from ..wire.kernel_states import FAILURE, SUCCESS, KernelState
from ..wire.kernels import CreateReply, CreateRequest, check_name
from ..wire.resumable import RESUMABLE_STREAMS
from .batch_files import plan_files, upload_files
from .batch_output import BatchOutput
from .creation import own_kernel
from .events import EventStream, open_events
from .kernel import TrioKernel
from .opening import new_token
from .templates import prepare_spec
from .waiting import StatePoller, StateReporter

__all__ = ["BatchResult", "run_batch"]

_FAILED = "task-failed"
"""Why a session has ended whose command has failed by itself."""
_LONGEST_PAUSE_SECONDS = 3.0
_ENDING_SECONDS = 60.0
"""How long a session may take to end when its result is there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchResult:
    """How a batch session has ended."""

    token: str
    kernel_id: str
    succeeded: bool
    exit_code: int | None
    """Of the command; None if the server told that it has failed, and not how."""
    reason: str
    """Of the server, in a word: ``task-finished``, ``task-failed``, ``task-timeout`` and others."""
    log: str
    """What the command has printed, both streams as they came, as far as the server keeps it."""
    log_complete: bool
    """Whether the server has shown the log after the command's end; else its end may be missing."""

    @property
    def timed_out(self) -> bool:
        """Whether the server has ended the command at its time limit."""
        return self.reason == TIMED_OUT


async def run_batch(
    client: Client,
    spec: KernelSpec,
    job: BatchJob,
    *,
    files: Iterable[str | os.PathLike[str] | Upload] = (),
    token: str | None = None,
    progress: trio.MemorySendChannel[KernelState] | None = None,
    output: trio.MemorySendChannel[str] | None = None,
    task_status: trio.TaskStatus[TrioKernel] = trio.TASK_STATUS_IGNORED,
) -> BatchResult:
    """Run a command in a session of its own, which ends with it; follow it to its result.

    Args:
        client: of the server.
        spec: the session to create.
        job: the command, and its time limit.
        files: what to upload to the work folder before the command begins: paths, folders with all
            their content (see `plan_uploads` for names), and planned uploads.
        token: the session's client token. Default: a fresh one.
        progress: where to send the session's states. A slow receiver delays the result, and so
            does one of `output`: nothing is dropped.
        output: where to send what the command prints, as the server's log shows it: some seconds
            late, and at once if the command is short.
        task_status: gets the session when it has been created; it may have to wait:
            ``kernel = await nursery.start(run_batch, client, spec, job)``.

    Returns:
        The result. A command that fails is a result, no error.

    Raises:
        LocalProtocolError: the server has no batch sessions that can be followed (before 20.09), or
            no time limits (before 24.12); or cannot take the files, of which none may be a stream.
        ServerError: the session could not be started; the text holds the server's reason.
        ExecutionError: the session was ended before its command.
        UploadError: a file cannot be read or uploaded.
        ApiError, ConnectionFailed: as for `open_kernel`; or the server refuses to tell the state of
            the session. Once the session is created, a server that cannot be reached or fails is
            asked again for as long as the caller waits (with a `RuntimeWarning` after a minute).

    Cancellation:
        Destroys the session and leaves nothing behind, as that of `open_kernel`.

    Endpoint: ``POST /session`` with the type ``batch`` (docs/protocol.md, section 3.10).
    """
    token = new_token() if token is None else check_name(client.hello, token)
    check_job(client.hello, client.era, job)
    spec = await prepare_spec(client, spec)
    uploads = await plan_files(client, files)
    name = secrets.token_hex(8)
    order = f".job-{name}" if uploads else ""
    is_manager = not client.has(RESUMABLE_STREAMS)
    command = guarded_command(
        job.command,
        name,
        waits_for=order,
        pauses=client.hello.loses_batch_ends,
        marks=is_manager,
    )
    create = CreateRequest(token, spec, reuse=False, job=replace(job, command=command))
    # Events first: the exit code is told in an event, and nowhere else.
    async with open_events(client) as events, own_kernel(client, create) as (kernel, reply):
        task_status.started(kernel)
        printed = BatchOutput(kernel, JobLog(name if is_manager else ""), output)
        following = _Following(client, kernel, reply, StateReporter(progress), printed)
        state = await following.run(events, uploads, order)
        if state.ended:
            kernel.release()
        return following.result(state)


class _Following:
    """A batch session, from its create to its result."""

    def __init__(
        self,
        client: Client,
        kernel: TrioKernel,
        reply: CreateReply,
        reporter: StateReporter,
        output: BatchOutput,
    ) -> None:
        self._client = client
        self._kernel = kernel
        self._reply = reply
        self._reporter = reporter
        self._output = output
        self._event: SessionEvent | None = None
        self._polling = trio.CancelScope()

    async def run(self, events: EventStream, files: Sequence[Upload], order: str) -> KernelState:
        """Follow it to its end.

        Args:
            events: of all sessions, from before it was created.
            files: to upload when it runs.
            order: the name of the file for which its command waits; ``""`` if it does not wait.

        Returns:
            The last state. The session may not have ended, if it has its result.
        """
        state = KernelState(self._reply.status.upper())
        await self._reporter.report(state)
        with one_error():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._receive_events, events)
                poller = self._poller()
                while state.is_coming:
                    state = await poller.poll()
                    await self._reporter.report(state)
                self._check_started(state)
                self._kernel.started = True
                if order and not state.ended:
                    await upload_files(self._client, self._kernel.address, files, order)
                async with trio.open_nursery() as showing:
                    showing.start_soon(self._output.follow)
                    state = await self._follow_to_end(state)
                    self._output.finish()
                nursery.cancel_scope.cancel()
        return state

    def _poller(self) -> StatePoller:
        # Lasting: a command of many hours must not end with a connection to its server.
        return StatePoller(self._client, self._reply, longest=_LONGEST_PAUSE_SECONDS, lasting=True)

    async def _follow_to_end(self, state: KernelState) -> KernelState:
        """Follow the states until the session has ended, or should have: its result is there.

        The event and the time limit end a poll, and never a report: each state that was seen is
        reported.
        """
        poller, give_up = self._poller(), math.inf
        while not state.ended:
            if give_up == math.inf and (self._event is not None or _has_result(state)):
                give_up = trio.current_time() + _ENDING_SECONDS
                poller = self._poller()  # with short pauses again
            with trio.CancelScope(deadline=give_up) as self._polling:
                state = await poller.poll()
            if not self._polling.cancelled_caught:
                await self._reporter.report(state)
            elif trio.current_time() >= give_up:
                break
        return state

    def _check_started(self, state: KernelState) -> None:
        if state.result in (SUCCESS, FAILURE) or state.status not in ("CANCELLED", "ERROR", ""):
            return
        if self._event is not None:  # it has come and gone between two polls
            return
        raise ServerError(
            201,
            title=f"The server could not start the batch session {self._reply.token!r}: it is "
            f"{state.status or 'TERMINATED'}",
            detail=state.reason,
            request=f"POST {self._client.era.create_path}",
        )

    async def _receive_events(self, events: EventStream) -> None:
        """Wait for the event that tells how the command has ended."""
        try:
            async for event in events:
                mine = event.session_id == self._reply.kernel_id
                if mine and event.name in ("session_success", "session_failure"):
                    self._event = event
                    self._polling.cancel()
                    self._output.poll_now()  # while the container may still be there
                    return
        except BackendError:
            pass  # the states are polled all the same

    def result(self, state: KernelState) -> BatchResult:
        """The result.

        Args:
            state: the last one.

        Raises:
            ExecutionError: there is none.
        """
        event = self._event
        result = state.result if state.result in (SUCCESS, FAILURE) else ""
        if not result and event is not None:
            result = SUCCESS if event.name == "session_success" else FAILURE
        if not result:
            raise ExecutionError(
                f"the batch session {self._reply.token!r} was ended before its command: "
                f"{state.reason or 'the server does not say why'}"
            )
        code = self._output.exit_code
        if code is None and event is not None:
            code = event.exit_code
            if code is not None and code < 0 and event.reason == _FAILED:
                # The signal that has ended the command (measured: 23.09.10), as a shell tells it.
                code = 128 - code
        if code is None and result == SUCCESS:
            code = 0
        reason = event.reason if event is not None and event.reason else state.info
        return BatchResult(
            token=self._reply.token,
            kernel_id=self._reply.kernel_id,
            succeeded=result == SUCCESS,
            exit_code=code,
            reason=reason,
            log=self._output.text,
            log_complete=self._output.complete,
        )


def _has_result(state: KernelState) -> bool:
    return state.ended or state.result in (SUCCESS, FAILURE) or state.status == "ERROR"
