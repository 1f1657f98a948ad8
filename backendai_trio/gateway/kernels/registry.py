"""The kernels of a gateway: who has which, when they begin, and when they end."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import mkdtemp

import trio

from ...errors import GatewayError
from ...wire.events import SessionEvent
from ...wire.kernels import CreateRequest, Statistics
from ..faults import Faults
from ..processes.isolation import Isolation, Share
from ..processes.process_host import KernelHost, open_host
from ..refusals import Refused
from ..storage.database import EndedSession, Store
from ..storage.downloads import Tickets
from ..storage.index import Folder
from ..storage.tus import TusUploads
from ..storage.vfolders import VFolders
from .events import EventHub
from .runtimes import Runtime, UnknownRuntime, resolve
from .session import Session

__all__ = ["Sessions"]


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
            # Unlocked, nobody waits for it: it would be theirs now.
            if not lock.locked() and self._creating.get(key) is lock:
                del self._creating[key]

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
