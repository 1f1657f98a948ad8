"""A kernel on this machine: what runs in it, in which order, and what it remembers."""

from __future__ import annotations

import math
import uuid
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import trio

from ...wire.execution import ExecuteReply, ExecuteRequest
from ...wire.kernels import CreateRequest, KernelInfo, Statistics
from ..processes.process_host import KernelHost
from ..refusals import Refused
from ..storage.index import Folder
from .driver import INTERRUPTED, Driver
from .run import Run
from .runtimes import Runtime
from .terminal import Screen, hold_screen

__all__ = ["Session"]

POLL_SECONDS = 2.0
"""How long a poll waits for something to tell (contract section 4.3)."""
ABANDONED_SECONDS = 10.0
"""A run that nobody has polled for so long gives way to the next one."""
RESUME_SECONDS = 60.0
"""How long a stream's client may be away before its run is ended."""
LOG_CHARS = 1024 * 1024
_REMEMBERED_RUNS = 64


class Session:
    """One kernel. Its processes and runs live in the task that `Sessions` started for it."""

    def __init__(
        self,
        create: CreateRequest,
        access_key: str,
        runtime: Runtime,
        host: KernelHost,
        nursery: trio.Nursery,
        session_id: str,
    ) -> None:
        self.session_id = session_id
        self.token = create.token
        self.access_key = access_key
        self.runtime = runtime
        self.created_at = datetime.now(UTC)
        self.queries = 0
        self.last_used = trio.current_time()
        self.ended = trio.Event()
        """Set to end the kernel."""
        self.end_reason = "terminated"
        """Why it ends, for who listens to events."""
        self.gone = trio.Event()
        """Set when nothing of it is left."""
        self.connections = 0
        """How many connections to its services are open."""
        self.statistics: Statistics | None = None
        self.mounts: tuple[Folder, ...] = ()
        """Virtual folders in its work folder, each under its name."""
        self.host = host
        self.driver = Driver(runtime, host, create.spec.environ, nursery)
        self._nursery = nursery
        self._turn = trio.Lock()
        self._current: Run | None = None
        self._runs: dict[str, Run] = {}
        self._outcomes: OrderedDict[str, int] = OrderedDict()
        self._interrupted_early: deque[str] = deque(maxlen=_REMEMBERED_RUNS)
        self._log: deque[str] = deque()
        self._log_chars = 0
        self._screen: Screen | None = None
        self._screen_lock = trio.Lock()

    @property
    def busy(self) -> bool:
        """Whether a run goes on or waits for its turn, or a terminal or a service is in use."""
        attached = self._screen is not None and self._screen.attached
        return bool(self._runs) or attached or self.connections > 0

    def touch(self) -> None:
        """A client was here: idle time starts anew."""
        self.queries += 1
        self.last_used = trio.current_time()

    async def execute(self, request: ExecuteRequest) -> ExecuteReply:
        """Start a run or go on with one; waits for news for `POLL_SECONDS` at most."""
        run = await self._run_for(request)
        if isinstance(run, ExecuteReply):
            return run
        reply = await run.poll(POLL_SECONDS)
        if reply.status == "finished":
            self._runs.pop(run.run_id, None)
        return reply

    def start(self, request: ExecuteRequest, *, live: bool = False) -> Run:
        """Start a run; it waits for its turn."""
        run_id = request.run_id or uuid.uuid4().hex
        run = self._runs[run_id] = Run(run_id, request, self._remember, live=live)
        self._outcomes.pop(run_id, None)
        self._nursery.start_soon(self._drive, run)
        return run

    def stream(self, request: ExecuteRequest, position: int) -> Run | None:
        """The run with this id for a client that has its output up to a position.

        Started now if it is new: not if the client comes back (it goes on, with mode ``continue``
        or from some position), nor if such a run has been here. None if there is none to go on
        with.
        """
        run_id = request.run_id or ""
        known = self._runs.get(run_id)
        if known is not None:
            return known
        has_been = run_id in self._outcomes or (self._current and self._current.run_id == run_id)
        if position > 0 or request.mode not in ("query", "batch") or has_been:
            return None
        return self.start(request, live=True)

    def forget(self, run: Run) -> None:
        """A run's last word has reached its client."""
        self._runs.pop(run.run_id, None)

    async def abandon_later(self, run: Run) -> None:
        """Give a client whose connection broke the time to come back; else end its run."""
        await trio.sleep(RESUME_SECONDS)
        if trio.current_time() - run.last_seen >= RESUME_SECONDS:
            run.abandon()
            self.forget(run)

    async def open_screen(self) -> Screen:
        """The kernel's terminal, with a fresh shell if none is running."""
        async with self._screen_lock:
            if self._screen is None:
                self._screen = await self._nursery.start(
                    hold_screen, self.host, self.driver.environ, self._screen_ended
                )
            return self._screen

    def start_soon(self, call: Callable[..., Awaitable[None]], *args: object) -> None:
        """Do something in the kernel's own time: it ends with the kernel at the latest."""
        if not self.ended.is_set():
            self._nursery.start_soon(call, *args)

    def _screen_ended(self) -> None:
        self._screen = None

    def interrupt(self, run_id: str | None) -> None:
        """Stop a run, or the current one; a run that has yet to arrive will stop at once."""
        run = self._current if run_id is None else self._runs.get(run_id)
        if run is not None:
            run.stop()
            if run is not self._current and run.outcome is None:
                run.finish(INTERRUPTED)  # it waits for its turn, and will not take it
        elif run_id is not None and run_id not in self._outcomes:
            self._interrupted_early.append(run_id)

    async def complete(self, code: str, options: Mapping[str, Any]) -> list[str]:
        """Candidates for going on after `code`; none while a run holds the interpreter."""
        if self._turn.locked():
            return []
        async with self._turn:
            return await self.driver.complete(code, options)

    async def restart(self) -> None:
        """End all runs and processes; files stay, and an open terminal gets a fresh shell."""
        for run in list(self._runs.values()):
            run.stop()
        await self.driver.restart()
        if self._screen is not None:
            self._screen.restart()

    def info(self) -> KernelInfo:
        """What ``GET /session/{name}`` tells."""
        age = datetime.now(UTC) - self.created_at
        return KernelInfo(
            runtime=self.runtime.name, age_ms=int(age.total_seconds() * 1000), queries=self.queries
        )

    def logs(self) -> str:
        """The end of all that was printed so far."""
        return "".join(self._log)

    async def _run_for(self, request: ExecuteRequest) -> Run | ExecuteReply:
        run_id = request.run_id or uuid.uuid4().hex
        known = self._runs.get(run_id)
        if known is not None:
            # Client 1.1.1 repeats its first mode with every call (contract section 4.5).
            if request.mode != "continue" and known.waiting:
                await known.answer(None if request.eof else request.code)
            return known
        if request.mode in ("continue", "input"):
            if run_id in self._outcomes:
                # The reply that told it was lost on its way; the end is told again.
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
                if run.outcome is None:  # restarted or destroyed under it (contract section 4.4)
                    run.finish(INTERRUPTED)
                self._outcomes[run.run_id] = run.outcome or 0
                while len(self._outcomes) > _REMEMBERED_RUNS:
                    self._outcomes.popitem(last=False)
        finally:
            self._turn.release()

    async def _take_turn(self) -> None:
        """Wait for the current run to end; one whose client has gone is made to."""
        while True:
            patience = ABANDONED_SECONDS
            if self._current is not None and self._current.last_seen < math.inf:
                patience += self._current.last_seen - trio.current_time()
            with trio.move_on_after(max(patience, 0.05)):
                await self._turn.acquire()
                return
            run = self._current
            if run and trio.current_time() - run.last_seen >= ABANDONED_SECONDS:
                run.abandon()
                self.forget(run)

    def _remember(self, text: str) -> None:
        self._log.append(text)
        self._log_chars += len(text)
        while self._log_chars > LOG_CHARS and len(self._log) > 1:
            self._log_chars -= len(self._log.popleft())
