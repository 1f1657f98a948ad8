"""One kernel: its runs, its terminal, and its log."""

from __future__ import annotations

import math
import uuid
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import trio

from ...wire.execution import ExecuteReply, ExecuteRequest
from ...wire.kernel_states import FAILURE, SUCCESS
from ...wire.kernels import KernelInfo, Statistics
from ..faults import Faults
from ..limits import GatewayLimits
from ..processes.process_host import KernelHost
from ..processes.usage import usage_below
from ..refusals import Refused
from .driver import INTERRUPTED, Driver
from .kernel_terminal import KernelTerminal
from .requests import RequestedKernel
from .run import Run
from .ssh_server import SshServer

__all__ = ["JobResult", "Session"]

_REMEMBERED_RUNS = 64
_MIN_WAIT_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class JobResult:
    """How the command of a batch session has ended."""

    exit_code: int
    reason: str

    @property
    def name(self) -> str:
        """``SUCCESS`` or ``FAILURE``."""
        return SUCCESS if self.exit_code == 0 else FAILURE


class Session:
    """One kernel. Its processes and runs live in the task that `SessionRegistry` started for it."""

    def __init__(
        self,
        requested: RequestedKernel,
        host: KernelHost,
        nursery: trio.Nursery,
        limits: GatewayLimits,
    ) -> None:
        create = requested.create
        self.session_id = requested.session_id
        self.token = create.token
        self.access_key = requested.access_key
        self.runtime = requested.runtime
        self.created_at = requested.created_at
        self.mount_points = requested.mount_points
        self.amounts = requested.amounts
        self.mounts = requested.mounts
        """The virtual folders in its work folder."""
        self.job = create.job
        """What it does, if it is a batch session."""
        self.job_result: JobResult | None = None
        self.queries = 0
        self.last_used = trio.current_time()
        self.ended = trio.Event()
        """Set to end the kernel."""
        self.end_reason = "terminated"
        """Why it ends, for event streams."""
        self.gone = trio.Event()
        """Set when its processes and files are gone."""
        self.is_stuck = False
        """Whether it answers no run any more, until a restart."""
        self.connections = 0
        """How many connections to its services are open."""
        self.statistics: Statistics | None = None
        self.faults = Faults()
        """What it does wrong on purpose."""
        self.host = host
        self.limits = limits
        self.spec = create.spec
        self.driver = Driver(self.runtime, host, self.spec.environ, nursery)
        self.terminal = KernelTerminal(
            host, self.driver.environ, nursery, limits, self._check_not_ended
        )
        self.ssh = SshServer(host, self.driver.environ, nursery, limits, self._check_not_ended)
        self._nursery = nursery
        self._turn = trio.Lock()
        self._current: Run | None = None
        self._runs: dict[str, Run] = {}
        self._without_runs = trio.lowlevel.ParkingLot()
        self._outcomes: OrderedDict[str, int] = OrderedDict()
        self._interrupted_early: deque[str] = deque(maxlen=_REMEMBERED_RUNS)
        self._log: deque[str] = deque()
        self._log_chars = 0

    @property
    def busy(self) -> bool:
        """Whether it has a run (running or queued), an attached terminal or an open connection."""
        return bool(self._runs) or self.terminal.attached or self.connections > 0

    @property
    def is_ending(self) -> bool:
        """Whether it takes no more work: it was told to end, or its process host has died."""
        return self.ended.is_set() or self.host.ended.is_set()

    def touch(self) -> None:
        """Note a request of a client: the idle time starts anew."""
        self.queries += 1
        self.last_used = trio.current_time()

    async def execute(self, request: ExecuteRequest) -> ExecuteReply:
        """Start or continue a run, and poll it once, for `GatewayLimits.poll_seconds` at most.

        Raises:
            Refused: 400, the request continues a run that this kernel does not know.
        """
        if self.is_stuck:
            await trio.sleep(self.limits.poll_seconds)
            return ExecuteReply("continued", request.run_id or uuid.uuid4().hex)
        run = await self._run_for(request)
        if isinstance(run, ExecuteReply):
            return run
        reply = await run.poll(self.limits.poll_seconds)
        if reply.status == "finished":
            self.forget(run)
        return reply

    def start(self, request: ExecuteRequest, *, live: bool = False) -> Run:
        """Start a run; it waits for the runs before it.

        Raises:
            Refused: 404, the kernel has ended; 429, it has too many runs.
        """
        self._check_not_ended()
        self._check_room_for_run()
        run_id = request.run_id or uuid.uuid4().hex
        run = self._runs[run_id] = Run(
            run_id, request, self._add_to_log, live=live, output_bytes=self.limits.output_bytes
        )
        run.stage_gap_seconds = self.faults.stage_gap_seconds
        self._outcomes.pop(run_id, None)
        self._nursery.start_soon(self._drive, run)
        return run

    def stream(self, request: ExecuteRequest, position: int) -> Run | None:
        """The run of a streaming client, which is started when it is new.

        A run is not new when the client comes back (with mode ``continue`` or a position), or when
        a run with this id was here before.

        Args:
            request: the client's request.
            position: the client has the run's output up to this position.

        Returns:
            The run; None if the client comes back to a run that is gone.
        """
        run_id = request.run_id or ""
        known = self._runs.get(run_id)
        if known is not None:
            return known
        was_here = run_id in self._outcomes or (self._current and self._current.run_id == run_id)
        if position > 0 or request.mode not in ("query", "batch") or was_here:
            return None
        return self.start(request, live=True)

    def forget(self, run: Run) -> None:
        """Forget a run whose client has got all of it, or will not come back."""
        self._runs.pop(run.run_id, None)
        if not self._runs:
            self._without_runs.unpark_all()

    async def wait_without_runs(self) -> None:
        """Wait until the clients of all runs have got all of them, or will not come back."""
        await trio.lowlevel.checkpoint()
        while self._runs:
            await self._without_runs.park()

    async def abandon_later(self, run: Run) -> None:
        """Interrupt a run unless its client comes back within `GatewayLimits.resume_seconds`."""
        await trio.sleep(self.limits.resume_seconds)
        if trio.current_time() - run.last_seen >= self.limits.resume_seconds:
            run.abandon()
            self.forget(run)

    def start_soon(self, call: Callable[..., Awaitable[None]], *args: object) -> None:
        """Start a task that is cancelled when the kernel ends."""
        if not self.ended.is_set():
            self._nursery.start_soon(call, *args)

    def _check_not_ended(self) -> None:
        """A kernel may end after a request has found it; then its nursery is closed."""
        if self.is_ending:
            detail = f"kernel {self.token!r} has just ended"
            raise Refused(404, "session-not-found", "No such kernel", detail)

    def _check_room_for_run(self) -> None:
        """Refuse one run too many. Those that have ended, and whose clients are gone, do not count.

        Raises:
            Refused: 429, it is.
        """
        limits, now = self.limits, trio.current_time()
        if len(self._runs) < limits.max_runs:
            return
        patience = max(limits.abandoned_seconds, limits.resume_seconds)
        for run in list(self._runs.values()):
            if run.outcome is not None and now - run.last_seen >= patience:
                self.forget(run)
        if len(self._runs) >= limits.max_runs:
            detail = f"kernel {self.token!r} has {limits.max_runs} already; wait for one to end"
            raise Refused(429, "too-many-requests", "Too many runs", detail)

    def interrupt(self, run_id: str | None) -> None:
        """Interrupt a run.

        Args:
            run_id: which; None for the current one. One that is not known yet is interrupted as
                soon as it is started: the interrupt has overtaken it.
        """
        run = self._current if run_id is None else self._runs.get(run_id)
        if run is not None:
            run.stop()
            if run is not self._current and run.outcome is None:
                run.finish(INTERRUPTED)  # still queued: `_drive` will skip it
        elif run_id is not None and run_id not in self._outcomes:
            self._interrupted_early.append(run_id)

    async def complete(self, code: str, options: Mapping[str, Any]) -> list[str]:
        """Completions of `code`; none while a run uses the interpreter."""
        if self._turn.locked():
            return []
        async with self._turn:
            self._check_not_ended()
            return await self.driver.complete(code, options)

    async def restart(self) -> None:
        """End all runs and processes. Files stay, and an open terminal gets a new shell."""
        for run in list(self._runs.values()):
            run.stop()
        self.is_stuck = False
        self.ssh.stop()
        await self.driver.restart()
        self.terminal.restart()

    def info(self) -> KernelInfo:
        """The reply to ``GET /session/{name}``, without what the kernel uses."""
        age = datetime.now(UTC) - self.created_at
        return KernelInfo(
            runtime=self.runtime.name,
            age_ms=max(0, int(age.total_seconds() * 1000)),
            queries=self.queries,
        )

    async def info_with_usage(self) -> KernelInfo:
        """The reply to ``GET /session/{name}``."""
        used = await trio.to_thread.run_sync(usage_below, self.host.own_pid)
        return replace(self.info(), cpu_ms=used.cpu_ms, memory_used_kib=used.memory_kib)

    def logs(self) -> str:
        """The end of all output so far."""
        return "".join(self._log)

    async def _run_for(self, request: ExecuteRequest) -> Run | ExecuteReply:
        """The run that a request starts or continues, or the reply for one that has ended."""
        run_id = request.run_id or uuid.uuid4().hex
        known = self._runs.get(run_id)
        if known is not None:
            # Client 1.1.1 repeats its first mode with every call, also when it does not know yet
            # that the program asks (docs/protocol.md, section 4.5).
            repeated = request.mode in ("query", "batch") and known.asked_by_poll
            if repeated or (request.mode == "input" and known.waits_for_input):
                await known.answer(None if request.eof else request.code)
            return known
        if request.mode in ("continue", "input"):
            if run_id in self._outcomes:
                # The client did not get the last reply, and asks again.
                return ExecuteReply("finished", run_id, (), self._outcomes[run_id])
            if run_id in self._interrupted_early:
                return ExecuteReply("finished", run_id, (), INTERRUPTED)
            raise Refused(
                400,
                "invalid-api-params",
                "No such run",
                f"run {request.run_id!r} is not known to this kernel; start one with mode 'query' "
                "or 'batch'",
            )
        return self.start(replace(request, run_id=run_id))

    async def _drive(self, run: Run) -> None:
        await self._take_turn()
        try:
            if run.outcome is not None:
                return
            self._current = run
            if run.run_id in self._interrupted_early:
                run.interrupted = True
            try:
                await self.driver.drive(run)
            finally:
                self._current = None
                self.last_used = trio.current_time()
                # None when the kernel was restarted or destroyed (docs/protocol.md, section 4.4).
                if run.outcome is None:
                    run.finish(INTERRUPTED)
                self._outcomes[run.run_id] = run.outcome or 0
                while len(self._outcomes) > _REMEMBERED_RUNS:
                    self._outcomes.popitem(last=False)
        finally:
            self._turn.release()

    async def _take_turn(self) -> None:
        """Wait for the current run to end; one that its client has abandoned is interrupted."""
        limit = self.limits.abandoned_seconds
        while True:
            timeout = limit
            if self._current is not None and self._current.last_seen < math.inf:
                timeout += self._current.last_seen - trio.current_time()
            with trio.move_on_after(max(timeout, _MIN_WAIT_SECONDS)):
                await self._turn.acquire()
                return
            run = self._current
            if run and trio.current_time() - run.last_seen >= limit:
                run.abandon()
                self.forget(run)

    def _add_to_log(self, text: str) -> None:
        self._log.append(text)
        self._log_chars += len(text)
        while self._log_chars > self.limits.log_chars and len(self._log) > 1:
            self._log_chars -= len(self._log.popleft())
