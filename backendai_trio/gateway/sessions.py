"""Kernels on this machine: who has which, what runs in them, and when they end."""

from __future__ import annotations

import math
import uuid
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import trio

from ..errors import GatewayError
from ..wire.events import SessionEvent
from ..wire.execution import ExecuteReply, ExecuteRequest
from ..wire.kernels import CreateRequest, KernelInfo, Statistics
from .downloads import Tickets
from .driver import INTERRUPTED, Driver
from .events import EventHub
from .faults import Faults
from .folder_index import Folder
from .isolation import Isolation, Share
from .processes import KernelHost, open_host
from .refusals import Refused
from .runs import Run
from .runtimes import Runtime, UnknownRuntime, resolve
from .screens import Screen, hold_screen
from .store import EndedSession, Store
from .tus import TusUploads
from .vfolders import VFolders

__all__ = ["Session", "Sessions"]

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


@dataclass
class Sessions:
    """All kernels of a gateway. Its nursery owns them."""

    nursery: trio.Nursery
    folder: Path
    store: Store
    folders: VFolders
    isolation: Isolation
    idle_seconds: float
    max_sessions: int
    manager_limits: bool = False
    faults: Faults = field(default_factory=Faults)
    events: EventHub = field(default_factory=EventHub)
    _by_token: dict[tuple[str, str], Session] = field(default_factory=dict)
    _starting: set[tuple[str, str]] = field(default_factory=set)
    _creating: dict[tuple[str, str], trio.Lock] = field(default_factory=dict)
    tickets: Tickets = field(default_factory=Tickets)

    def __post_init__(self) -> None:
        self.tus = TusUploads(self.folders)
        self.folders.in_use = self._kernels_with

    def running(self, access_key: str | None = None) -> list[Session]:
        """The kernels of a key pair, or all, newest first."""
        found = [s for s in self._by_token.values() if access_key in (None, s.access_key)]
        return sorted(found, key=lambda session: session.created_at, reverse=True)

    def find(self, access_key: str, name: str, *, ending: bool = False) -> Session:
        """A key pair's kernel by its token or id.

        Args:
            access_key: whose.
            name: the token or id.
            ending: take one that is about to end, too: a destroy that is asked for again, since
                the first answer was not seen, must not be answered before the kernel is gone.

        Raises:
            Refused: 404, there is none.
        """
        session = self._by_token.get((access_key, name))
        if session is None:
            session = next((s for s in self.running(access_key) if s.session_id == name), None)
        if session is None or (session.ended.is_set() and not ending):
            raise Refused(
                404, "session-not-found", "No such kernel", f"no kernel is named {name!r}"
            )
        session.touch()
        return session

    async def create(self, create: CreateRequest, access_key: str) -> tuple[Session, bool]:
        """Join the kernel with this token or make it; says whether it was made.

        Raises:
            Refused: no such runtime or folder, another runtime under this token, too many kernels.
        """
        try:
            runtime = await trio.to_thread.run_sync(resolve, create.spec.runtime)
        except UnknownRuntime as exc:
            raise Refused(404, "image-not-found", "No such runtime", str(exc)) from None
        found = [self.folders.find(access_key, name) for name in create.spec.mounts]
        mounts = list({folder.folder_id: folder for folder in found}.values())
        if self.faults.create_delay_seconds:
            await trio.sleep(self.faults.create_delay_seconds)
        key = (access_key, create.token)
        async with self._turn_of(key):
            session = self._by_token.get(key)
            if session is not None and session.ended.is_set():
                await session.gone.wait()
                session = None
            if session is None:
                # The union: a kernel that has just started is in both for a moment.
                if len(self._by_token.keys() | self._starting) >= self.max_sessions:
                    raise Refused(
                        412,
                        "quota-exceeded",
                        "Too many kernels",
                        f"this gateway runs at most {self.max_sessions}; destroy one first",
                    )
                self._starting.add(key)
                try:
                    return await self.nursery.start(
                        self._hold, create, access_key, runtime, mounts
                    ), True
                except (GatewayError, OSError) as exc:
                    raise Refused(
                        500, "kernel-creation-failed", "The kernel could not be started", str(exc)
                    ) from exc
                finally:
                    self._starting.discard(key)
        if session.runtime is not runtime or not create.reuse:
            raise Refused(
                400,
                "session-already-exists",
                "The token is taken",
                f"kernel {create.token!r} exists and runs {session.runtime.name}; "
                "use another token, or destroy it first",
            )
        mounted = {folder.folder_id for folder in session.mounts}
        missing = [folder.name for folder in mounts if folder.folder_id not in mounted]
        if missing:
            raise Refused(
                400,
                "session-already-exists",
                "The kernel runs without the folder",
                f"kernel {create.token!r} was created without {', '.join(missing)}; "
                "use another token, or destroy it first",
            )
        session.touch()
        return session, False

    @asynccontextmanager
    async def _turn_of(self, key: tuple[str, str]) -> AsyncIterator[None]:
        """One create at a time for a token: two of them make one kernel."""
        lock = self._creating.setdefault(key, trio.Lock())
        try:
            async with lock:
                yield
        finally:
            if not lock.locked():  # nobody waits for it, else it would be theirs now
                self._creating.pop(key, None)

    def rename(self, session: Session, token: str) -> None:
        """Give a kernel another token.

        Raises:
            Refused: another kernel of the key pair has it, or is about to.
        """
        key = (session.access_key, token)
        creating = self._creating.get(key)
        if key in self._by_token or (creating is not None and creating.locked()):
            raise Refused(
                400,
                "session-already-exists",
                "The token is taken",
                f"a kernel {token!r} exists; use another name",
            )
        self._by_token[key] = self._by_token.pop((session.access_key, session.token))
        session.token = token

    async def destroy(self, session: Session) -> Statistics:
        """End a kernel and wait until nothing of it is left."""
        if not session.ended.is_set():
            session.end_reason = "user-requested"
        session.ended.set()
        await session.gone.wait()
        return session.statistics or Statistics()

    async def close(self) -> None:
        """End all kernels, and tell their clients so."""
        ending = list(self._by_token.values())
        for session in ending:
            session.end_reason = "gateway-closed"
            session.ended.set()
        for session in ending:
            await session.gone.wait()
        await self.events.close()

    async def _hold(
        self,
        create: CreateRequest,
        access_key: str,
        runtime: Runtime,
        mounts: Sequence[Folder],
        *,
        task_status: trio.TaskStatus[Session],
    ) -> None:
        """A kernel's life, from its first process to its last."""
        root = Path(await trio.to_thread.run_sync(partial(mkdtemp, dir=self.folder)))
        session: Session | None = None
        host: KernelHost | None = None
        session_id = str(uuid.uuid4())

        def tell(*names: str, reason: str = "", exit_code: int | None = None) -> None:
            token = create.token if session is None else session.token
            for name in names:
                data = {"ownerAccessKey": access_key}
                event = SessionEvent(name, session_id, token, reason, exit_code, data)
                self.events.publish(access_key, event)

        tell("session_enqueued", "session_scheduled", "kernel_preparing", "kernel_creating")
        try:
            shares = [Share(self.folders.files_of(item), item.writable) for item in mounts]
            opened = open_host(root, self.isolation, shares)
            async with opened as host, trio.open_nursery() as nursery:
                session = Session(create, access_key, runtime, host, nursery, session_id)
                session.mounts = tuple(mounts)
                for folder in mounts:
                    # A link: what the kernel's end removes is that, and not what it leads to.
                    (host.work / folder.name).symlink_to(self.folders.files_of(folder))
                self._by_token[access_key, create.token] = session
                tell("kernel_started", "session_started")
                task_status.started(session)
                try:
                    await self._until_end(session)
                finally:
                    session.ended.set()
                    reason = session.end_reason
                    tell("session_terminating", "kernel_terminating", reason=reason)
                nursery.cancel_scope.cancel()
        finally:
            if session is None:
                tell("kernel_cancelled", "session_cancelled", reason="failed-to-start", exit_code=1)
            if session is not None and host is not None:
                session.statistics = _statistics(host.usage)
                del self._by_token[access_key, session.token]
                self.store.add_ended(_ended(session))
                session.ended.set()
                reason = session.end_reason
                tell("kernel_terminated", "session_terminated", reason=reason, exit_code=0)
                session.gone.set()

    def _kernels_with(self, folder_id: str) -> list[str]:
        """The tokens of the kernels that have a folder mounted."""
        return [
            session.token
            for session in self._by_token.values()
            if any(folder.folder_id == folder_id for folder in session.mounts)
        ]

    async def _until_end(self, session: Session) -> None:
        """Return when the kernel shall end: on demand, or after it has been idle long enough."""
        while not session.ended.is_set():
            with trio.move_on_at(session.last_used + self.idle_seconds):
                await session.ended.wait()
            if session.busy:
                session.last_used = trio.current_time()
            elif trio.current_time() >= session.last_used + self.idle_seconds:
                session.end_reason = "idle-timeout"
                return


def _statistics(usage: Mapping[str, int]) -> Statistics:
    scratch = usage.get("scratch_bytes", 0)
    return Statistics(
        cpu_used=usage.get("cpu_ms", 0),
        mem_max_bytes=usage.get("max_rss_bytes", 0),
        io_read_bytes=usage.get("read_bytes", 0),
        io_write_bytes=usage.get("write_bytes", 0),
        io_max_scratch_size=scratch,
        io_cur_scratch_size=scratch,
    )


def _ended(session: Session) -> EndedSession:
    return EndedSession(
        session.session_id,
        session.token,
        session.access_key,
        session.runtime.name,
        session.created_at.isoformat(),
        datetime.now(UTC).isoformat(),
        session.statistics.cpu_used if session.statistics else 0,
    )
