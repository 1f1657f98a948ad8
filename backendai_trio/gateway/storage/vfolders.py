"""Virtual folders: files that outlive kernels, and with a data folder the gateway as well.

The index says which there are, and their files are on the disk. Several gateways may share a data
folder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

import trio

from ...errors import GatewayError, LocalProtocolError
from ...wire.vfolder_requests import CloneVFolder
from ...wire.vfolders import CreateVFolder, VFolderInfo, check_folder_name
from ..cleanup import clean_up_in_thread
from ..refusals import Refused
from . import vfolder_files
from .finished_tasks import FinishedTasks
from .folder_disk import FolderDisk
from .folder_refusals import HOST, check_supported, name_is_taken
from .index import Folder, FolderIndex, TooManyFoldersError
from .vfolder_copy import copy_folder, sync_file_system

__all__ = ["VFolders"]

UPLOAD_PAUSES = timedelta(minutes=5)
"""An upload that was not continued for this long does not count for the quota."""

T = TypeVar("T")


class VFolders:
    """All virtual folders of a gateway.

    Nothing is made on disk before the first request about folders: most gateways never have any.

    Attributes:
        max_bytes: quota of each folder in bytes, 0 for none.
        disk: where the files are.
        tasks: the background tasks, such as copies, of users.
        trash: ids of deleted folders that are not gone; see `Faults.trash`.
        in_use: the tokens of the kernels that have a folder (by its id) mounted; set by
            `SessionRegistry`.
    """

    def __init__(self, root: Path, *, lasting: bool, max_folders: int, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.in_use: Callable[[str], list[str]] = lambda _folder_id: []
        self.trash: set[str] = set()
        self.disk = FolderDisk(root)
        self._path = root / "index.sqlite3" if lasting else None
        self._max_folders = max_folders
        self._index: FolderIndex | None = None
        self.tasks = FinishedTasks()

    @property
    def index(self) -> FolderIndex:
        """The database, which is opened when it is used for the first time."""
        if self._index is None:
            self._index = FolderIndex(self._path)
        return self._index

    @property
    def is_used(self) -> bool:
        """Whether there has been a request about folders, of this gateway or an earlier one."""
        return self._index is not None or (self._path is not None and self._path.exists())

    def open_existing(self) -> None:
        """Open the database if there is one: a gateway with a damaged one does not start.

        Raises:
            GatewayError: see `FolderIndex`.
        """
        if self.is_used:
            _ = self.index

    def close(self) -> None:
        """Close the database; may be repeated."""
        if self._index is not None:
            self._index.close()
            self._index = None

    # -- folders ----------------------------------------------------------------------------------

    def create(self, request: CreateVFolder, user: str) -> Folder:
        """Make a folder.

        Raises:
            Refused: the name is taken, the user has too many folders, or the request names another
                storage host or a group.
        """
        check_supported(request)
        with self._adding(request.name):
            folder = self.index.add(request, user, self._max_folders)
        self.files_of(folder)
        return folder

    @contextmanager
    def _adding(self, name: str) -> Iterator[None]:
        """Refuse a folder that the index does not take.

        Raises:
            Refused: 400, its name is taken; 412, the user has too many.
        """
        try:
            yield
        except FileExistsError:
            raise name_is_taken(name) from None
        except TooManyFoldersError:
            detail = f"a key pair may have {self._max_folders}; delete one first"
            raise Refused(412, "quota-exceeded", "Too many virtual folders", detail) from None

    def of_user(self, user: str) -> list[Folder]:
        """All folders that a user may see."""
        return self.index.of_user(user)

    def find(
        self,
        user: str,
        name: str,
        *,
        write: bool = False,
        own: bool = False,
        in_trash: bool | None = False,
    ) -> Folder:
        """A folder by its name or id.

        Args:
            user: who asks.
            name: its name or id.
            write: the user is going to write into it.
            own: only its owner may do this.
            in_trash: whether it is in the trash; None for either.

        Raises:
            Refused: there is none (404), or the user may not do this with it (403).
        """
        folder = self.index.find(user, name)
        if folder is None or in_trash not in (None, folder.folder_id in self.trash):
            detail = f"no folder is named {name!r}"
            raise Refused(404, "vfolder-not-found", "No such virtual folder", detail)
        if write and not folder.writable:
            detail = f"{name!r} is shared with you read-only"
            raise Refused(403, "generic-forbidden", "The folder is read-only", detail)
        if own and not folder.is_owner:
            detail = f"{name!r} belongs to {folder.owner}; only its owner may do this"
            raise Refused(403, "generic-forbidden", "Another user's folder", detail)
        return folder

    async def describe(self, folder: Folder, *, measured: bool) -> VFolderInfo:
        """A folder's details.

        Args:
            folder: the folder.
            measured: count its files and their bytes, which takes a while.
        """
        files = used = None
        if measured:
            files, used = await self.within(folder, vfolder_files.measure)
        return VFolderInfo(
            folder_id=folder.folder_id,
            name=folder.name,
            host=HOST,
            created_at=folder.created_at,
            permission=folder.permission,
            is_owner=folder.is_owner,
            usage_mode=folder.usage_mode,
            cloneable=folder.cloneable,
            owner=folder.owner,
            num_files=files,
            used_bytes=used,
            max_bytes=self.quota_of(folder),
            status="delete-pending" if folder.folder_id in self.trash else "ready",
        )

    async def delete(self, folder: Folder, *, to_trash: bool = False) -> None:
        """Delete a folder and its files.

        Args:
            folder: the folder.
            to_trash: it only goes to the trash (see `Faults`), from where it can be restored.

        Raises:
            Refused: a kernel has it mounted.
        """
        if kernels := self.in_use(folder.folder_id):
            detail = f"kernel {', '.join(kernels)} has {folder.name!r} mounted; destroy it first"
            raise Refused(400, "vfolder-operation-failed", "The folder is in use", detail)
        if to_trash:
            self.trash.add(folder.folder_id)
            await trio.lowlevel.checkpoint()
            return
        with self._removing(folder):
            self.trash.discard(folder.folder_id)
            # First it cannot be found any more; then `sweep` removes what this leaves.
            self.index.disown(folder.folder_id)
        remove = partial(self.disk.remove, folder.folder_id)
        if await trio.to_thread.run_sync(remove, abandon_on_cancel=True):
            self.index.remove(folder.folder_id)

    @contextmanager
    def _removing(self, folder: Folder) -> Iterator[None]:
        """Keep other gateways of the data folder from mounting a folder.

        Raises:
            Refused: one of them has mounted it.
        """
        with ExitStack() as locked:
            try:
                locked.enter_context(self.disk.removing(folder.folder_id))
            except BlockingIOError:
                detail = (
                    f"a kernel of another gateway on this machine has {folder.name!r} mounted; end "
                    "that first"
                )
                title = "The folder is in use"
                raise Refused(400, "vfolder-operation-failed", title, detail) from None
            yield

    @contextmanager
    def mounting(self, folders: Iterable[Folder]) -> Iterator[None]:
        """Keep all gateways of the data folder from deleting folders that a kernel mounts.

        Args:
            folders: the folders.

        Raises:
            GatewayError: one of them has just been deleted.
            OSError: one of them cannot be locked.
        """
        with ExitStack() as locked:
            for folder in folders:
                gone = GatewayError(f"the virtual folder {folder.name!r} has just been deleted")
                try:
                    locked.enter_context(self.disk.mounting(folder.folder_id))
                except BlockingIOError:
                    raise gone from None
                if self.index.find(folder.owner, folder.folder_id) is None:
                    raise gone
            yield

    def rename(self, folder: Folder, name: str) -> None:
        """Give a folder another name."""
        try:
            self.index.rename(folder, check_folder_name(name))
        except LocalProtocolError as exc:
            raise Refused(400, "invalid-api-params", "Not a valid folder name", str(exc)) from None
        except FileExistsError:
            raise name_is_taken(name) from None

    async def clone(self, folder: Folder, request: CloneVFolder, user: str) -> Folder:
        """Copy a folder to a new one of the user's own, which appears when it is complete.

        Raises:
            Refused: it may not be cloned, does not fit, was deleted meanwhile, or as for `create`.

        Cancellation: takes effect in a moment, and nothing is left of the copy.
        """
        if not folder.cloneable:
            detail = f"the owner of {folder.name!r} has not made it cloneable"
            raise Refused(403, "generic-forbidden", "The folder may not be cloned", detail)
        spec = CreateVFolder(
            name=request.name,
            host=request.host or None,
            usage_mode=request.usage_mode,
            permission=request.permission,
            cloneable=request.cloneable,
        )
        check_supported(spec)
        with self._adding(spec.name):  # before it is copied, which may take long
            self.index.check_new(user, spec.name, self._max_folders)
        # It belongs to nobody until it is complete: a kernel that has it mounted could make links
        # in it that lead the copy out of it.
        folder_id = self.index.begin_copy(spec)
        try:
            with self.disk.copying(folder_id) as target:
                source = self.files_of(folder)
                await copy_folder(source, target, room_bytes=self.max_bytes or None)
                if self._path is not None:  # else nothing outlives the gateway
                    sync = partial(sync_file_system, target)
                    await trio.to_thread.run_sync(sync, abandon_on_cancel=True)
                self.find(folder.owner, folder.folder_id, in_trash=None)  # it may have been deleted
                with self._adding(spec.name):
                    return self.index.add(spec, user, self._max_folders, copy=folder_id)
        except BaseException:
            # Of a copy that is not complete, nothing is left.
            remove = partial(self.disk.remove, folder_id)
            await clean_up_in_thread(remove)  # noqa: ASYNC102 (bounded there)
            if not self.disk.exists(folder_id):
                self.index.remove(folder_id)
            raise

    # -- files ------------------------------------------------------------------------------------

    def files_of(self, folder: Folder) -> Path:
        """The path of a folder's files."""
        return self.disk.files_of(folder.folder_id)

    async def within(self, folder: Folder, work: Callable[[Path], T]) -> T:
        """Call a function with the path of a folder's files, in a thread."""
        return await trio.to_thread.run_sync(work, self.files_of(folder))

    def quota_of(self, folder: Folder) -> int:
        """Bytes that a folder may hold, 0 for no limit."""
        limits = [limit for limit in (folder.max_bytes, self.max_bytes) if limit]
        return min(limits, default=0)

    async def room_in(self, folder: Folder, path: str = "") -> int | None:
        """Bytes that may still be stored in a folder; None for no limit.

        Unfinished uploads count as used, except one to `path`, which a new upload would replace.
        """
        quota = self.quota_of(folder)
        if not quota:
            return None
        _, used = await self.within(folder, vfolder_files.measure)
        since = datetime.now(UTC) - UPLOAD_PAUSES
        pending = self.index.uploads.pending_bytes(folder.folder_id, but=path, since=since)
        return max(quota - used - pending, 0)
