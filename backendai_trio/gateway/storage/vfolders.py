"""Virtual folders: files that outlive kernels, and with a data folder the gateway as well.

On disk each has a folder named by its id. In it, ``files`` is what users see and kernels mount, and
``uploads`` has incomplete uploads. Several gateways may share a data folder.
"""

from __future__ import annotations

import os
import shutil
from collections import OrderedDict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

import trio

from ...errors import LocalProtocolError
from ...wire.background_tasks import TaskEvent
from ...wire.vfolder_requests import CloneVFolder
from ...wire.vfolder_sharing import Invitation, Invite
from ...wire.vfolders import CreateVFolder, VFolderInfo, check_folder_name
from ..refusals import Refused
from . import vfolder_files
from .index import Folder, FolderIndex

__all__ = ["HOST", "VFolders"]

HOST = "local"
"""Name of the only storage host."""
UPLOAD_EXPIRES = timedelta(days=1)
"""An upload that was not continued for this long is deleted."""
_REMEMBERED_TASKS = 256
_CLEANUP_SECONDS = 30.0
"""Limit for removing a copy that is not complete."""
UPLOAD_PAUSES = timedelta(minutes=5)
"""An upload that was not continued for this long does not count for the quota."""

T = TypeVar("T")


class VFolders:
    """All virtual folders of a gateway.

    Nothing is made on disk before the first request about folders: most gateways never have any.

    Attributes:
        max_bytes: quota of each folder in bytes, 0 for none.
        trash: ids of deleted folders that are not gone; see `Faults.trash`.
        in_use: the tokens of the kernels that have a folder (by its id) mounted; set by
            `SessionRegistry`.
    """

    def __init__(self, root: Path, *, lasting: bool, max_folders: int, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.in_use: Callable[[str], list[str]] = lambda _folder_id: []
        self.trash: set[str] = set()
        self._root = root
        self._lasting = lasting
        self._max_folders = max_folders
        self._index: FolderIndex | None = None
        self._tasks: OrderedDict[tuple[str, str], TaskEvent] = OrderedDict()

    @property
    def index(self) -> FolderIndex:
        """The database, which is opened when it is used for the first time."""
        if self._index is None:
            path = self._root / "index.sqlite3" if self._lasting else None
            self._index = FolderIndex(path)
            self._sweep(self._index)
        return self._index

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
        if request.host not in (None, HOST):
            detail = f"{request.host!r} is unknown; the only storage host here is {HOST!r}"
            raise Refused(400, "invalid-api-params", "No such storage host", detail)
        if request.group is not None:
            detail = "folders belong to users here; leave out the group"
            raise Refused(400, "invalid-api-params", "This gateway has no groups", detail)
        try:
            folder = self.index.add(request, user, self._max_folders)
        except FileExistsError:
            raise _taken(request.name) from None
        if folder is None:
            detail = f"a key pair may have {self._max_folders}; delete one first"
            raise Refused(412, "quota-exceeded", "Too many virtual folders", detail)
        self.files_of(folder)
        return folder

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
        self.trash.discard(folder.folder_id)
        # From the index first: then it cannot be found, and `_sweep` removes what is left of it.
        self.index.remove(folder.folder_id)
        home = self._root / folder.folder_id
        await trio.to_thread.run_sync(lambda: shutil.rmtree(home, ignore_errors=True))

    def rename(self, folder: Folder, name: str) -> None:
        """Give a folder another name."""
        try:
            self.index.rename(folder, check_folder_name(name))
        except LocalProtocolError as exc:
            raise Refused(400, "invalid-api-params", "Not a valid folder name", str(exc)) from None
        except FileExistsError:
            raise _taken(name) from None

    async def clone(self, folder: Folder, request: CloneVFolder, user: str) -> Folder:
        """Copy a folder to a new one of the user's own.

        Raises:
            Refused: it may not be cloned, or as for `create`.
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
        made = self.create(spec, user)
        source, target = self.files_of(folder), self.files_of(made)
        room = self.quota_of(made) or None
        try:
            copy = partial(vfolder_files.copy_all, source, target, room_bytes=room)
            await trio.to_thread.run_sync(copy)
        except BaseException:
            # Of a copy that is not complete, nothing is left.
            with trio.move_on_after(_CLEANUP_SECONDS, shield=True):
                await self.delete(made)
            raise
        return made

    def remember_task(self, user: str, event: TaskEvent) -> None:
        """Remember how a background task has ended; the oldest ones are forgotten."""
        self._tasks[user, event.task_id] = event
        while len(self._tasks) > _REMEMBERED_TASKS:
            self._tasks.popitem(last=False)

    def task(self, user: str, task_id: str) -> TaskEvent:
        """How a background task has ended.

        Raises:
            Refused: 404, there is none.
        """
        if (event := self._tasks.get((user, task_id))) is None:
            raise Refused(404, "object-not-found", "No such background task", repr(task_id))
        return event

    # -- files ------------------------------------------------------------------------------------

    def files_of(self, folder: Folder) -> Path:
        """The path of a folder's files."""
        path = self._root / folder.folder_id / "files"
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return path

    def staging_of(self, folder_id: str) -> Path:
        """The path of incomplete uploads, on the same file system."""
        path = self._root / folder_id / "uploads"
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return path

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
        pending = self.index.pending_bytes(folder.folder_id, but=path, since=since)
        return max(quota - used - pending, 0)

    def full(self, folder: Folder) -> Refused:
        """The answer when a folder has not enough room."""
        detail = f"{folder.name!r} may hold {self.quota_of(folder):,} bytes; remove files first"
        return Refused(412, "quota-exceeded", "The folder's quota is exceeded", detail)

    # -- other users ------------------------------------------------------------------------------

    def share(
        self, folder: Folder, request: Invite, *, at_once: bool, known: Callable[[str], bool]
    ) -> list[str]:
        """Share a folder with users, or invite them.

        Users are named by access key, in upper or lower case. Unknown users are ignored, as
        managers do.

        Args:
            folder: the folder.
            request: the users, and their permission.
            at_once: share it without an invitation.
            known: whether there is a user with an access key.

        Returns:
            The users that were invited, or now have the folder.
        """
        users = []
        for text in dict.fromkeys(request.users):
            user = text.strip().upper()
            if user == folder.owner or not known(user):
                continue
            if at_once:
                self.index.share(folder.folder_id, user, request.permission)
            elif not self.index.invite(folder, user, request.permission):
                continue
            users.append(user)
        return users

    def invitation(self, user: str, invitation_id: str, *, sent: bool = False) -> Invitation:
        """An invitation that a user has received (with `sent`: or sent).

        Raises:
            Refused: there is none.
        """
        found = self.index.invitations(invitee=user, inviter=user if sent else None)
        for item in found:
            if item.invitation_id == invitation_id:
                return item
        raise Refused(404, "generic-not-found", "No such invitation", repr(invitation_id))

    def accept(self, user: str, invitation_id: str) -> Invitation:
        """Accept an invitation.

        Raises:
            Refused: there is none, or the user has a folder of that name.
        """
        found = self.invitation(user, invitation_id)
        if any(folder.name == found.folder_name for folder in self.of_user(user)):
            raise _taken(found.folder_name)
        self.index.share(found.folder_id, user, found.permission)
        return found

    # ---------------------------------------------------------------------------------------------

    def expire_uploads(self) -> None:
        """Delete uploads that were not continued."""
        self._expire_uploads(self.index)

    def _expire_uploads(self, index: FolderIndex) -> None:
        for folder_id, key in index.expire_uploads(datetime.now(UTC) - UPLOAD_EXPIRES):
            (self._root / folder_id / "uploads" / key).unlink(missing_ok=True)

    def _sweep(self, index: FolderIndex) -> None:
        """Remove what is left of deleted folders and uploads."""
        self._expire_uploads(index)
        # The disk first, because a folder is added to the index before it is made.
        found = list(_folder_ids(self._root))
        for folder_id in set(found) - index.ids():
            shutil.rmtree(self._root / folder_id, ignore_errors=True)
        oldest = (datetime.now(UTC) - UPLOAD_EXPIRES).timestamp()
        for folder_id in found:
            _remove_forms(self._root / folder_id / "uploads", oldest)


def _folder_ids(root: Path) -> Iterator[str]:
    try:
        with os.scandir(root) as entries:
            yield from (entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
    except FileNotFoundError:
        return


def _remove_forms(staging: Path, oldest: float) -> None:
    """Remove staging folders of forms whose gateway was killed; the index does not have them."""
    try:
        with os.scandir(staging) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False) and entry.stat().st_mtime < oldest:
                    shutil.rmtree(entry.path, ignore_errors=True)
    except OSError:
        return


def _taken(name: str) -> Refused:
    detail = f"you have a folder named {name!r}; use another name"
    return Refused(400, "vfolder-already-exists", "The name is taken", detail)
