"""The kernels of a gateway: their names, their beginning and their end."""

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
from ...wire.dotfiles import Dotfile, decode_dotfiles
from ...wire.events import SessionEvent
from ...wire.kernels import CreateRequest, Statistics, is_uuid
from ..faults import Faults
from ..limits import GatewayLimits
from ..processes.isolation import Isolation, Share
from ..processes.process_host import KernelHost, open_host
from ..refusals import Refused
from ..releases import OURS, Release
from ..storage.database import EndedSession, Store
from ..storage.downloads import DownloadTickets
from ..storage.tus import TusUploads
from ..storage.vfolders import VFolders
from .dotfiles import DOTFILES, write_dotfiles
from .events import EventHub
from .requests import MountedFolder, check_supported, mounted_folders
from .runtimes import Runtime, UnknownRuntimeError, resolve
from .session import Session

__all__ = ["SessionRegistry"]


@dataclass
class SessionRegistry:
    """All kernels of a gateway.

    Attributes:
        nursery: each kernel is a task in it.
        folder: each kernel has a folder in it.
        release: the manager's release that the gateway behaves as.
        limits: time limits and sizes.
    """

    nursery: trio.Nursery
    folder: Path
    store: Store
    folders: VFolders
    isolation: Isolation
    idle_seconds: float
    max_sessions: int
    manager_limits: bool = False
    release: Release = OURS
    limits: GatewayLimits = field(default_factory=GatewayLimits)
    faults: Faults = field(default_factory=Faults)
    events: EventHub = field(default_factory=EventHub)
    tickets: DownloadTickets = field(default_factory=DownloadTickets)
    _by_token: dict[tuple[str, str], Session] = field(default_factory=dict)
    _starting: set[tuple[str, str]] = field(default_factory=set)
    _create_locks: dict[tuple[str, str], trio.Lock] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.tus = TusUploads(self.folders)
        self.folders.in_use = self._kernels_with

    def running(self, access_key: str | None = None) -> list[Session]:
        """The kernels of a key pair (None: of all), newest first."""
        found = [s for s in self._by_token.values() if access_key in (None, s.access_key)]
        return sorted(found, key=lambda session: session.created_at, reverse=True)

    def find(self, access_key: str, name: str, *, ending: bool = False) -> Session:
        """A key pair's kernel by its token or id.

        Args:
            access_key: of the key pair.
            name: the token or id.
            ending: find a kernel that is about to end, too. A client that repeats a destroy, since
                it has not got the first answer, must not be answered before the kernel is gone.

        Raises:
            Refused: 404, there is no such kernel.
        """
        session = None
        if not (self.release.hello.takes_uuids_for_ids and is_uuid(name)):
            session = self._by_token.get((access_key, name))
        if session is None:
            session = next((s for s in self.running(access_key) if s.session_id == name), None)
        if session is None or (session.ended.is_set() and not ending):
            raise Refused(
                404, "session-not-found", "No such kernel", f"no kernel is named {name!r}"
            )
        session.touch()
        return session

    def dotfiles(self, access_key: str) -> list[Dotfile]:
        """The files that each new kernel of a key pair gets."""
        text = self.store.setting(access_key, DOTFILES)
        return decode_dotfiles(text.encode()) if text else []

    async def create(self, create: CreateRequest, access_key: str) -> tuple[Session, bool]:
        """Find the kernel with the request's token, or start it.

        Returns:
            The kernel, and whether it was started.

        Raises:
            Refused: there is no such runtime or folder, the token is taken by a different kernel,
                there are too many kernels, or the kernel could not be started.
        """
        try:
            runtime = await trio.to_thread.run_sync(resolve, create.spec.runtime)
        except UnknownRuntimeError as exc:
            raise Refused(404, "image-not-found", "No such runtime", str(exc)) from None
        check_supported(create.spec)
        mounts = mounted_folders(create.spec, partial(self.folders.find, access_key))
        if self.faults.create_delay_seconds:
            await trio.sleep(self.faults.create_delay_seconds)
        key = (access_key, create.token)
        async with self._create_lock(key):
            session = self._by_token.get(key)
            if session is not None and session.ended.is_set():
                await session.gone.wait()
                session = None
            if session is None:
                return await self._start(create, access_key, runtime, mounts), True
        _check_same_kernel(session, create, runtime, mounts)
        session.touch()
        return session, False

    @asynccontextmanager
    async def _create_lock(self, key: tuple[str, str]) -> AsyncIterator[None]:
        """One create at a time for a token: two at once make one kernel."""
        lock = self._create_locks.setdefault(key, trio.Lock())
        try:
            async with lock:
                yield
        finally:
            # When it is not locked, no task waits for it: that task would hold it now.
            if not lock.locked() and self._create_locks.get(key) is lock:
                del self._create_locks[key]

    async def _start(
        self,
        create: CreateRequest,
        access_key: str,
        runtime: Runtime,
        mounts: Sequence[MountedFolder],
    ) -> Session:
        key = (access_key, create.token)
        # The union, because a kernel that has just started is in both for a moment.
        if len(self._by_token.keys() | self._starting) >= self.max_sessions:
            raise Refused(
                412,
                "quota-exceeded",
                "Too many kernels",
                f"this gateway runs at most {self.max_sessions}; destroy one first",
            )
        self._starting.add(key)
        try:
            session: Session = await self.nursery.start(
                self._run, create, access_key, runtime, mounts
            )
        except (GatewayError, OSError) as exc:
            raise Refused(
                500, "kernel-creation-failed", "The kernel could not be started", str(exc)
            ) from exc
        finally:
            self._starting.discard(key)
        return session

    def rename(self, session: Session, token: str) -> None:
        """Give a kernel another token.

        Raises:
            Refused: another kernel of the key pair has it, or is being created with it.
        """
        key = (session.access_key, token)
        creating = self._create_locks.get(key)
        if key in self._by_token or (creating is not None and creating.locked()):
            raise _token_is_taken(f"a kernel {token!r} exists; use another name")
        self._by_token[key] = self._by_token.pop((session.access_key, session.token))
        session.token = token

    async def destroy(self, session: Session) -> Statistics:
        """End a kernel, and wait until its processes and files are gone."""
        if not session.ended.is_set():
            session.end_reason = "user-requested"
        session.ended.set()
        await session.gone.wait()
        return session.statistics or Statistics()

    async def close(self) -> None:
        """End all kernels and event streams."""
        ending = list(self._by_token.values())
        for session in ending:
            session.end_reason = "gateway-closed"
            session.ended.set()
        for session in ending:
            await session.gone.wait()
        await self.events.close()

    async def _run(
        self,
        create: CreateRequest,
        access_key: str,
        runtime: Runtime,
        mounts: Sequence[MountedFolder],
        *,
        task_status: trio.TaskStatus[Session],
    ) -> None:
        """Run one kernel until it ends."""
        root = Path(await trio.to_thread.run_sync(partial(mkdtemp, dir=self.folder)))
        session: Session | None = None
        host: KernelHost | None = None
        session_id = str(uuid.uuid4())

        def publish(*names: str, reason: str = "", exit_code: int | None = None) -> None:
            token = create.token if session is None else session.token
            for name in names:
                data = {"ownerAccessKey": access_key}
                event = SessionEvent(name, session_id, token, reason, exit_code, data)
                self.events.publish(access_key, event)

        publish("session_enqueued", "session_scheduled", "kernel_preparing", "kernel_creating")
        try:
            shares = [Share(self.folders.files_of(item.folder), item.writable) for item in mounts]
            opened = open_host(root, self.isolation, shares, self.limits)
            async with opened as host, trio.open_nursery() as nursery:
                session = Session(
                    create, access_key, runtime, host, nursery, session_id, self.limits
                )
                session.mounts = tuple(item.folder for item in mounts)
                session.faults = self.faults
                dotfiles = self.dotfiles(access_key)
                write_dotfiles(host.work, dotfiles, [item.path for item in mounts])
                for item in mounts:
                    # Links: at the kernel's end they are removed, and not what they lead to.
                    place = host.work / item.path
                    place.parent.mkdir(parents=True, exist_ok=True)
                    place.symlink_to(self.folders.files_of(item.folder))
                self._by_token[access_key, create.token] = session
                publish("kernel_started", "session_started")
                task_status.started(session)
                try:
                    await self._wait_for_end(session)
                finally:
                    session.ended.set()
                    reason = session.end_reason
                    publish("session_terminating", "kernel_terminating", reason=reason)
                nursery.cancel_scope.cancel()
        finally:
            if session is None or host is None:
                publish(
                    "kernel_cancelled", "session_cancelled", reason="failed-to-start", exit_code=1
                )
            else:
                self._remove(session, host)
                reason = session.end_reason
                publish("kernel_terminated", "session_terminated", reason=reason, exit_code=0)
                session.gone.set()

    def _remove(self, session: Session, host: KernelHost) -> None:
        """Move a kernel that has ended from the running ones to the store."""
        session.statistics = _statistics(host.usage)
        del self._by_token[session.access_key, session.token]
        session.ended.set()
        self.store.add_ended(_ended_session(session))

    def _kernels_with(self, folder_id: str) -> list[str]:
        """The tokens of the kernels that have a folder mounted."""
        return [
            session.token
            for session in self._by_token.values()
            if any(folder.folder_id == folder_id for folder in session.mounts)
        ]

    async def _wait_for_end(self, session: Session) -> None:
        """Wait until a kernel is to end: by request, or because it was idle for too long."""
        while not session.ended.is_set():
            with trio.move_on_at(session.last_used + self.idle_seconds):
                await session.ended.wait()
            if session.busy:
                session.last_used = trio.current_time()
            elif trio.current_time() >= session.last_used + self.idle_seconds:
                session.end_reason = "idle-timeout"
                return


def _check_same_kernel(
    session: Session, create: CreateRequest, runtime: Runtime, mounts: Sequence[MountedFolder]
) -> None:
    """Refuse a create whose token belongs to a kernel that is not as requested."""
    if session.runtime is not runtime or not create.reuse:
        raise _token_is_taken(
            f"kernel {create.token!r} exists and runs {session.runtime.name}; "
            "use another token, or destroy it first"
        )
    mounted = {folder.folder_id for folder in session.mounts}
    missing = [item.folder.name for item in mounts if item.folder.folder_id not in mounted]
    if missing:
        raise Refused(
            400,
            "session-already-exists",
            "The kernel runs without the folder",
            f"kernel {create.token!r} was created without {', '.join(missing)}; "
            "use another token, or destroy it first",
        )


def _token_is_taken(detail: str) -> Refused:
    return Refused(400, "session-already-exists", "The token is taken", detail)


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


def _ended_session(session: Session) -> EndedSession:
    return EndedSession(
        session.session_id,
        session.token,
        session.access_key,
        session.runtime.name,
        session.created_at.isoformat(),
        datetime.now(UTC).isoformat(),
        session.statistics.cpu_used if session.statistics else 0,
    )
