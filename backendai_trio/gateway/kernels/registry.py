"""The kernels of a gateway: their names, their beginning and their end."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from pathlib import Path

import trio

from ...wire.dotfiles import Dotfile, decode_dotfiles
from ...wire.kernel_states import KernelState
from ...wire.kernels import CreateRequest, Statistics
from ..faults import Faults
from ..kernel_limits import KernelLimits
from ..limits import GatewayLimits
from ..processes.isolation import Isolation
from ..refusals import Refused
from ..releases import OURS, Release
from ..resource_slots import Amounts, subtract, total_amounts
from ..shortages import shortage_of
from ..storage.database import Store
from ..storage.downloads import DownloadTickets
from ..storage.tus import TusUploads
from ..storage.vfolders import VFolders
from .dotfiles import DOTFILES
from .events import EventHub
from .keyed_locks import KeyedLocks
from .opening import SessionOpener
from .queue import QueuedSession, StartQueue
from .records import cancelled_record, ended_record, statistics_of
from .requests import RequestedKernel, check_supported, mounted_folders, requested_amounts
from .room import Room
from .running import SessionRunner, announce
from .runtimes import UnknownRuntimeError, resolve
from .session import Session
from .session_index import AnySession, SessionIndex, check_same_kernel, token_is_taken

__all__ = ["SessionRegistry"]

_log = logging.getLogger("backendai_trio.gateway")


@dataclass
class SessionRegistry:
    """All kernels of a gateway.

    Attributes:
        nursery: each kernel is a task in it.
        folder: each kernel has a folder in it.
        release: the manager's release that the gateway behaves as.
        limits: time limits and sizes.
        kernel_limits: what the programs of each kernel may use.
        max_sessions: how many kernels may run at once.
        max_waiting: how many more may wait for their turn.
        resources: what kernels may ask for together.
    """

    nursery: trio.Nursery
    folder: Path
    store: Store
    folders: VFolders
    isolation: Isolation
    idle_seconds: float
    max_sessions: int
    max_waiting: int
    manager_limits: bool = False
    release: Release = OURS
    limits: GatewayLimits = field(default_factory=GatewayLimits)
    faults: Faults = field(default_factory=Faults)
    kernel_limits: KernelLimits = field(default_factory=KernelLimits)
    resources: Amounts = field(default_factory=partial(total_amounts, {}))
    events: EventHub = field(default_factory=EventHub)
    tickets: DownloadTickets = field(default_factory=DownloadTickets)
    _queue: StartQueue = field(default_factory=StartQueue)
    _creating: KeyedLocks = field(default_factory=KeyedLocks)
    """One create at a time for a token: two at once make one kernel."""

    def __post_init__(self) -> None:
        self.tus = TusUploads(self.folders)
        self._index = SessionIndex(
            uuids_are_ids=self.release.hello.takes_uuids_for_ids, prefixes=self.release.prefixes
        )
        opener = SessionOpener(
            self.folder,
            self.folders,
            self.isolation,
            self.limits,
            self.faults,
            self.kernel_limits,
        )
        self._runner = SessionRunner(opener, self.events, self.release, self.idle_seconds)
        self.folders.in_use = self._index.with_folder

    @property
    def occupied(self) -> dict[str, Decimal]:
        """The resources of all kernels that run, or are being started or ended."""
        return self._index.occupied()

    def running(self, access_key: str | None = None) -> list[Session]:
        """The kernels of a key pair (None: of all) that run, newest first."""
        return self._index.running(access_key)

    def queued(self, access_key: str | None = None) -> list[QueuedSession]:
        """The kernels of a key pair (None: of all) that do not run yet, newest first."""
        return self._index.queued(access_key)

    def beginning_with(self, access_key: str, name: str) -> list[AnySession]:
        """See `SessionIndex.beginning_with`."""
        return self._index.beginning_with(access_key, name)

    def find(self, access_key: str, name: str) -> Session:
        """A key pair's kernel that runs, by its token or id.

        Raises:
            Refused: 404, there is no such kernel; 400, it does not run yet.
        """
        session = self.find_any(access_key, name)
        if isinstance(session, QueuedSession):
            detail = f"kernel {session.token!r} is {session.status}"
            raise Refused(400, "kernel-not-ready", "The kernel does not run yet", detail)
        return session

    def find_any(self, access_key: str, name: str, *, ending: bool = False) -> AnySession:
        """A key pair's kernel by its token or id, also one that does not run yet.

        Args:
            access_key: of the key pair.
            name: the token or id.
            ending: find a kernel that is about to end, too. A client that repeats a destroy, since
                it has not got the first answer, must not be answered before the kernel is gone.

        Raises:
            Refused: 404, there is no such kernel.
        """
        found = self._index.find(access_key, name, ending=ending)
        if isinstance(found, Session):
            found.touch()
        return found

    def dotfiles(self, access_key: str) -> list[Dotfile]:
        """The files that each new kernel of a key pair gets."""
        text = self.store.setting(access_key, DOTFILES)
        return decode_dotfiles(text.encode()) if text else []

    def state_of(self, item: QueuedSession) -> KernelState:
        """The state of a kernel that does not run yet, as this release tells it."""
        hello = self.release.hello
        ours = self.release is OURS
        return item.state(
            self._room,
            self._queue,
            tells_position=ours or hello.tells_position,
            tells_reason=ours or hello.tells_predicates,
        )

    async def create(
        self, create: CreateRequest, access_key: str, *, queues: bool = True
    ) -> tuple[AnySession, bool]:
        """Find the kernel with the request's token, or start it.

        Args:
            create: the request.
            access_key: of the key pair.
            queues: whether a kernel waits when there is no room for it; else it is refused.

        Returns:
            The kernel, and whether it was created. It may not run yet if the request asks to be
            answered at once, or if it was destroyed while it waited.

        Raises:
            Refused: there is no such runtime or folder, the token is taken by a different kernel,
                there are too many kernels, or never enough resources, or the kernel could not be
                started.
        """
        amounts = requested_amounts(create.spec.resources, self.resources)
        try:
            runtime = await trio.to_thread.run_sync(resolve, create.spec.runtime)
        except UnknownRuntimeError as exc:
            raise Refused(404, "image-not-found", "No such runtime", str(exc)) from None
        check_supported(create)
        mounts = mounted_folders(create.spec, partial(self.folders.find, access_key))
        if self.faults.create_delay_seconds:
            await trio.sleep(self.faults.create_delay_seconds)
        key = (access_key, create.token)
        async with self._creating.held(key):
            found = self._index.of_key(key)
            if isinstance(found, Session) and found.is_ending:
                await found.gone.wait()
                found = None
            is_new = found is None
            if found is None:
                requested = RequestedKernel(create, access_key, runtime, tuple(mounts), amounts)
                found = self._enqueue(requested, queues=queues)
            else:
                check_same_kernel(found, create, runtime, mounts)
        if isinstance(found, Session):
            found.touch()
        # Our own gateway answers with a kernel that runs, if it need not wait.
        elif not create.enqueue_only or (self.release is OURS and found.status != "PENDING"):
            found = await found.wait_settled()
        return found, is_new

    def _enqueue(self, requested: RequestedKernel, *, queues: bool) -> QueuedSession:
        room = self._room
        may_wait = queues and len(self._queue) < self.max_waiting
        item = QueuedSession(requested)
        self._queue.add(item)
        # Those that were there have all been tried.
        if not may_wait and self._queue.next(room) is not item:
            self._queue.remove(item)
            raise room.refusal(item.amounts, self.max_waiting if queues else 0)
        self._index.add(item)
        announce(self.events, item, "session_enqueued")
        self._start_next()
        return item

    @property
    def _room(self) -> Room:
        """What is free for kernels that wait."""
        sessions = self.max_sessions - (len(self._index) - len(self._queue))
        free = subtract(self.resources, self.occupied)
        return Room(max(sessions, 0), self.max_sessions, free, self.resources)

    def _start_next(self) -> None:
        """Start kernels that wait, as far as there is room."""
        while (item := self._queue.next(self._room)) is not None:
            self._queue.remove(item)
            item.status = "PREPARING"
            self.nursery.start_soon(self._run, item)
        if len(self._queue):
            self._queue.has_no_room()

    def rename(self, session: Session, token: str) -> None:
        """Give a kernel another token.

        Raises:
            Refused: another kernel of the key pair has it, or is being created with it.
        """
        key = (session.access_key, token)
        if self._index.of_key(key) is not None or self._creating.is_held(key):
            raise token_is_taken(f"a kernel {token!r} exists; use another name")
        self._index.rename(session, token)

    async def destroy(self, kernel: AnySession) -> Statistics | None:
        """End a kernel, and wait until its processes and files are gone.

        Returns:
            What it used; None if it never ran.
        """
        if isinstance(kernel, QueuedSession):
            if kernel.status == "PENDING":
                self._cancel(kernel)
                self._start_next()  # it may have been the one that others waited behind
            await kernel.settled.wait()
            if kernel.session is None:
                return None
            kernel = kernel.session
        if not kernel.ended.is_set():
            kernel.end_reason = "user-requested"
        kernel.ended.set()
        await kernel.gone.wait()
        return kernel.statistics or Statistics()

    def _cancel(self, item: QueuedSession) -> None:
        """Take a kernel that waits out of the queue."""
        self._queue.remove(item)
        self._forget(item)

    def _forget(self, item: QueuedSession) -> None:
        """Move a kernel that will not run to the store."""
        self._index.remove(item)
        item.settle()
        state = self.state_of(item)
        self.store.add_ended(cancelled_record(item, state))
        reason = state.info
        announce(
            self.events, item, "kernel_cancelled", "session_cancelled", reason=reason, exit_code=1
        )

    async def close(self) -> None:
        """End all kernels and event streams."""
        for item in list(self._queue):
            self._cancel(item)
        ending = self._index.running()
        for session in ending:
            session.end_reason = "gateway-closed"
            session.ended.set()
        for session in ending:
            await session.gone.wait()
        await self.events.close()

    async def _run(self, item: QueuedSession) -> None:
        """Run one kernel until it ends. Whatever fails in it concerns this kernel only."""
        try:
            dotfiles = self.dotfiles(item.access_key)
            await self._runner.run(item, dotfiles, partial(self._index.start, item))
        except Exception as exc:
            if item.session is None:
                reason = shortage_of(exc) or str(exc)
                item.failure = Refused(
                    500, "kernel-creation-failed", "The kernel could not be started", reason
                )
            else:
                _log.exception("kernel %r has failed", item.token)
                item.session.end_reason = "failed"
        finally:
            try:
                if item.session is None:
                    self._forget(item)
                else:
                    self._remove(item.session)
            except Exception:  # such as a full disk: the next one has its turn all the same
                _log.exception("what kernel %r has left is not recorded", item.token)
            item.settle()  # it may have ended before it had begun
            self._start_next()

    def _remove(self, session: Session) -> None:
        """Move a kernel that has ended from the running ones to the store."""
        try:
            self._index.remove(session)
            session.ended.set()
            session.statistics = statistics_of(session.host.usage)
            log = session.logs() if session.job else ""
            self.store.add_ended(ended_record(session), log)
            reason = session.end_reason
            announce(
                self.events,
                session,
                "kernel_terminated",
                "session_terminated",
                reason=reason,
                exit_code=0,
            )
        finally:
            session.gone.set()
