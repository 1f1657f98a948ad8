"""Batch sessions: one command, followed from the queue to its result::

result = await run_batch(client, KernelSpec(runtime="python"), BatchJob("python train.py"))
print(result.exit_code, result.log)
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import trio

from .._groups import one_error
from ..errors import ApiError, BackendError, ExecutionError, ServerError
from ..files.sources import Upload
from ..files.upload_plan import plan_items
from ..transport.client import Client
from ..wire.batch_jobs import BatchJob, JobLog, check_job, guarded_command
from ..wire.events import SessionEvent
from ..wire.kernel_spec import KernelSpec
from ..wire.kernel_states import FAILURE, SUCCESS, KernelState
from ..wire.kernels import CreateReply, CreateRequest, check_name
from ..wire.resumable import RESUMABLE_STREAMS
from .batch_files import check_files, upload_files
from .creation import Creation, note_of
from .defaults import complete_spec
from .events import EventStream, open_events
from .kernel import TrioKernel
from .opening import new_token
from .waiting import StateReporter, follow_states

__all__ = ["BatchResult", "run_batch"]

_FAILED = "task-failed"
"""Why a session has ended whose command has failed by itself."""
_LOG_SECONDS = 1.0
"""Time between two looks at the log."""
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

    In a nursery: ``kernel = await nursery.start(run_batch, client, spec, job)``.

    Args:
        client: of the server.
        spec: the session to create.
        job: the command, and its time limit.
        files: what to upload to the work folder before the command begins: paths, folders with all
            their content (see `plan_uploads` for names), and planned uploads.
        token: the session's client token. Default: a fresh one.
        progress: where to send the session's states.
        output: where to send what the command prints, as the server's log shows it: some seconds
            late, and at once if the command is short.
        task_status: gets the session when it has been created; it may have to wait.

    Returns:
        The result. A command that fails is a result, no error.

    Raises:
        LocalProtocolError: the server has no batch sessions that can be followed (before 20.09), or
            no time limits (before 24.12); or cannot take the files.
        ServerError: the session could not be started; the text holds the server's reason.
        ExecutionError: the session was ended before its command.
        UploadError: a file cannot be read or uploaded.
        ApiError, ConnectionFailed: as for `open_kernel`.

    Cancellation:
        Destroys the session and leaves nothing behind, as that of `open_kernel`.

    Endpoint: ``POST /session`` with the type ``batch`` (docs/protocol.md, section 3.10).
    """
    token = new_token() if token is None else check_name(client.hello, token)
    check_job(client.hello, client.era, job)
    spec = complete_spec(spec, client.config, client.hello)
    uploads = [item for item in await plan_items(files, base=None) if isinstance(item, Upload)]
    check_files(client, uploads)
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
    creation = Creation(client, create)
    note = note_of(client, token)
    kernel: TrioKernel | None = None
    ended = True
    try:
        # Before the session is created: the exit code is told in an event, and nowhere else.
        async with open_events(client) as events:
            reply = await creation.run()
            kernel = TrioKernel(client, reply)
            if note is not None:
                note.identify(kernel.kernel_id)
            task_status.started(kernel)
            following = _Following(client, kernel, reply, progress, output)
            if is_manager:
                following.log = JobLog(name)
            result = await following.run(events, uploads, order)
        if following.ended:
            kernel.release()
        return result
    finally:
        if kernel is not None and kernel.created and not kernel.released:
            ended = await kernel._end()  # noqa: ASYNC102 (it is bounded, and shielded if need be)
        if note is not None:
            note.close(forget=ended and not creation.unsure)


class _Following:
    """A batch session, from its create to its result."""

    def __init__(
        self,
        client: Client,
        kernel: TrioKernel,
        reply: CreateReply,
        progress: trio.MemorySendChannel[KernelState] | None,
        output: trio.MemorySendChannel[str] | None,
    ) -> None:
        self.log = JobLog()
        self.ended = False
        self._client = client
        self._kernel = kernel
        self._reply = reply
        self._reporter = StateReporter(progress)
        self._output = output
        self._printed: list[str] = []
        self._event: SessionEvent | None = None
        self._finished = trio.Event()

    async def run(self, events: EventStream, files: Sequence[Upload], order: str) -> BatchResult:
        """Follow it.

        Args:
            events: of all sessions, from before it was created.
            files: to upload when it runs.
            order: the name of the file for which its command waits; ``""`` if it does not wait.
        """
        state = KernelState(self._reply.status.upper())
        await self._reporter.report(state)
        with one_error():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._receive_events, events)
                if state.is_coming:
                    state = await self._follow(until=lambda seen: not seen.is_coming)
                self._check_started(state)
                self._kernel._started = True
                if order:
                    await upload_files(self._client, self._kernel.address, files, order)
                nursery.start_soon(self._read_log)
                state = await self._wait_for_result()
                nursery.cancel_scope.cancel()
        with trio.move_on_after(_ENDING_SECONDS):
            # Once more: managers keep the log of a session that has ended, as its agent saw it.
            if not state.ended:
                state = await self._follow(until=lambda seen: seen.ended)
            self.ended = True
            await self._show_log()
        return self._result(state)

    async def _wait_for_result(self) -> KernelState:
        """Wait until the result is there, which an event tells sooner; returns the last state."""
        state = KernelState()

        async def follow() -> None:
            nonlocal state
            state = await self._follow(until=_has_result)
            self._finished.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(follow)
            await self._finished.wait()
            nursery.cancel_scope.cancel()
        await self._show_log()  # while the container may still be there
        return state if state.status else KernelState("TERMINATING")

    async def _follow(self, *, until: Callable[[KernelState], bool]) -> KernelState:
        return await follow_states(
            self._client,
            self._reply,
            self._reporter,
            until=until,
            longest=_LONGEST_PAUSE_SECONDS,
        )

    def _check_started(self, state: KernelState) -> None:
        if state.result in (SUCCESS, FAILURE) or state.status not in ("CANCELLED", "ERROR", ""):
            return
        if self._event is not None:  # it has come and gone between two looks
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
                    self._finished.set()
                    return
        except BackendError:
            pass  # the states are looked at all the same

    async def _read_log(self) -> None:
        while True:
            await self._show_log()
            await trio.sleep(_LOG_SECONDS)

    async def _show_log(self) -> None:
        """Send what was added to the log."""
        try:
            text = self.log.feed(await self._kernel.logs())
        except ApiError:
            return  # not there yet, or not any more
        if not text:
            return
        self._printed.append(text)
        if self._output is not None:
            try:
                await self._output.send(text)
            except trio.BrokenResourceError:
                self._output = None

    def _result(self, state: KernelState) -> BatchResult:
        event = self._event
        result = state.result if state.result in (SUCCESS, FAILURE) else ""
        if not result and event is not None:
            result = SUCCESS if event.name == "session_success" else FAILURE
        if not result:
            raise ExecutionError(
                f"the batch session {self._reply.token!r} was ended before its command: "
                f"{state.reason or 'the server does not say why'}"
            )
        code = self.log.exit_code
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
            log="".join(self._printed),
        )


def _has_result(state: KernelState) -> bool:
    return state.ended or state.result in (SUCCESS, FAILURE) or state.status == "ERROR"
