"""The index of virtual folders: owners, shares and invitations, in SQLite."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...wire.vfolder_sharing import Invitation
from ...wire.vfolders import CreateVFolder
from .sqlite import all_rows, execute_all, open_database, transaction
from .upload_index import UPLOADS_SCHEMA, UploadIndex

if TYPE_CHECKING:
    import sqlite3

__all__ = ["Folder", "FolderIndex", "TooManyFoldersError"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS vfolders (
    folder_id TEXT PRIMARY KEY, name TEXT NOT NULL, owner TEXT NOT NULL, created_at TEXT NOT NULL,
    usage_mode TEXT NOT NULL, permission TEXT NOT NULL, cloneable INTEGER NOT NULL,
    max_bytes INTEGER NOT NULL, UNIQUE (owner, name)
) STRICT;
CREATE TABLE IF NOT EXISTS vfolder_shares (
    folder_id TEXT NOT NULL REFERENCES vfolders ON DELETE CASCADE,
    user TEXT NOT NULL, permission TEXT NOT NULL, PRIMARY KEY (folder_id, user)
) STRICT;
CREATE TABLE IF NOT EXISTS vfolder_invitations (
    invitation_id TEXT PRIMARY KEY,
    folder_id TEXT NOT NULL REFERENCES vfolders ON DELETE CASCADE,
    inviter TEXT NOT NULL, invitee TEXT NOT NULL, permission TEXT NOT NULL,
    created_at TEXT NOT NULL, UNIQUE (folder_id, invitee)
) STRICT;
"""
_FOLDER = "folder_id, name, owner, created_at, usage_mode, permission, cloneable, max_bytes"
_NOBODY = ""
"""The owner of copies that are not complete, and of folders that are being deleted: no access key
is empty. As long as there are files of a folder, the index knows it: those of an index that is lost
are not taken for rubbish."""
_ORDER = "ORDER BY created_at, name"


@dataclass(frozen=True, slots=True)
class Folder:
    """A virtual folder from the view of one of its users."""

    folder_id: str
    """32 hexadecimal digits."""
    name: str
    owner: str
    """Access key of the user who made it."""
    created_at: str
    usage_mode: str
    permission: str
    """Permission of this user: ``ro``, ``rw`` or ``wd``."""
    cloneable: bool
    max_bytes: int
    """Quota of this folder in bytes; 0 for the gateway's."""
    is_owner: bool

    @property
    def writable(self) -> bool:
        """Whether this user may change its files."""
        return self.is_owner or self.permission != "ro"


class TooManyFoldersError(Exception):
    """A user has as many folders as a user may have."""


class FolderIndex:
    """The database. All calls are short.

    Attributes:
        uploads: the unfinished uploads into the folders.

    Raises:
        GatewayError: as `open_database`.
    """

    def __init__(self, path: Path | None) -> None:
        self._db = open_database(path, [_make_tables])
        self.uploads = UploadIndex(self._db)

    def close(self) -> None:
        """Close it; may be repeated."""
        self._db.close()

    def check_new(self, owner: str, name: str, max_folders: int) -> None:
        """Check that an owner may have one more folder.

        Args:
            owner: access key of the owner.
            name: of the folder.
            max_folders: how many folders the owner may have.

        Raises:
            FileExistsError: the owner has a folder of this name.
            TooManyFoldersError: the owner has `max_folders` already.
        """
        if self._named(owner, name):
            raise FileExistsError(name)
        owned = all_rows(self._db, "SELECT COUNT(*) FROM vfolders WHERE owner=?", owner)
        if owned[0][0] >= max_folders:
            raise TooManyFoldersError(max_folders)

    def add(
        self, request: CreateVFolder, owner: str, max_folders: int, *, copy: str = ""
    ) -> Folder:
        """Add a folder.

        Args:
            request: the folder.
            owner: access key of its owner.
            max_folders: how many folders the owner may have.
            copy: the id of a copy that is complete (see `begin_copy`); default: a new id.

        Raises:
            FileExistsError, TooManyFoldersError: see `check_new`.
        """
        folder_id = copy or uuid.uuid4().hex
        with transaction(self._db):
            self.check_new(owner, request.name, max_folders)
            self.remove(folder_id)
            self._insert(folder_id, request, owner)
        (added,) = (folder for folder in self.of_user(owner) if folder.folder_id == folder_id)
        return added

    def begin_copy(self, request: CreateVFolder) -> str:
        """Add a folder that belongs to nobody until it is complete; returns its id."""
        folder_id = uuid.uuid4().hex
        self._insert(folder_id, replace(request, name=folder_id), _NOBODY)
        return folder_id

    def disown(self, folder_id: str) -> None:
        """Delete a folder, except that its files are still to be removed.

        Its shares, invitations and uploads are gone.
        """
        with transaction(self._db):
            for table in ("vfolder_shares", "vfolder_invitations", "vfolder_uploads"):
                self._db.execute(f"DELETE FROM {table} WHERE folder_id=?", (folder_id,))  # noqa: S608
            self._db.execute(
                "UPDATE vfolders SET owner=?, name=folder_id WHERE folder_id=?",
                (_NOBODY, folder_id),
            )

    def ownerless(self, before: datetime) -> list[str]:
        """The ids of copies that were begun before and are not complete, and of folders that were
        made before and are being deleted.
        """
        rows = all_rows(
            self._db,
            "SELECT folder_id FROM vfolders WHERE owner=? AND (created_at<? OR created_at>?)",
            _NOBODY,
            before.isoformat(),
            # The clock has been set back since then.
            (datetime.now(UTC) + timedelta(minutes=1)).isoformat(),
        )
        return [row[0] for row in rows]

    def remove_ownerless(self, folder_id: str) -> None:
        """Remove a copy or a deleted folder, unless the copy has become complete."""
        self._db.execute("DELETE FROM vfolders WHERE owner=? AND folder_id=?", (_NOBODY, folder_id))

    def _insert(self, folder_id: str, request: CreateVFolder, owner: str) -> None:
        self._db.execute(
            f"INSERT INTO vfolders ({_FOLDER}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
            (
                folder_id,
                request.name,
                owner,
                _now(),
                request.usage_mode,
                request.permission,
                request.cloneable,
                request.max_bytes,
            ),
        )

    def of_user(self, user: str) -> list[Folder]:
        """All folders that a user may read; the user's own ones come first."""
        own = all_rows(self._db, f"SELECT {_FOLDER} FROM vfolders WHERE owner=? {_ORDER}", user)  # noqa: S608
        shared = all_rows(
            self._db,
            f"SELECT {_FOLDER.replace('permission', 's.permission')} FROM vfolders "  # noqa: S608
            f"JOIN vfolder_shares s USING (folder_id) WHERE s.user=? {_ORDER}",
            user,
        )
        return [_folder(row, is_owner=True) for row in own] + [
            _folder(row, is_owner=False) for row in shared
        ]

    def find(self, user: str, name: str) -> Folder | None:
        """A folder by its name or id; if two have the name, the user's own one."""
        plain = name.replace("-", "").lower()
        return next((f for f in self.of_user(user) if name == f.name or plain == f.folder_id), None)

    def remove(self, folder_id: str) -> None:
        """Remove a folder, with its shares, invitations and uploads."""
        self._db.execute("DELETE FROM vfolders WHERE folder_id=?", (folder_id,))

    def ids(self) -> set[str]:
        """The ids of all folders."""
        return {row[0] for row in all_rows(self._db, "SELECT folder_id FROM vfolders")}

    def rename(self, folder: Folder, name: str) -> None:
        """Give a folder another name.

        Raises:
            FileExistsError: its owner has a folder of that name.
        """
        with transaction(self._db):
            if self._named(folder.owner, name):
                raise FileExistsError(name)
            self._db.execute(
                "UPDATE vfolders SET name=? WHERE folder_id=?", (name, folder.folder_id)
            )

    def change(self, folder: Folder, permission: str, *, cloneable: bool) -> None:
        """Change a folder's options."""
        self._db.execute(
            "UPDATE vfolders SET permission=?, cloneable=? WHERE folder_id=?",
            (permission, cloneable, folder.folder_id),
        )

    # -- other users ------------------------------------------------------------------------------

    def share(self, folder_id: str, user: str, permission: str) -> None:
        """Share a folder with a user, and remove the user's invitation."""
        with transaction(self._db):
            self._db.execute(
                "INSERT OR REPLACE INTO vfolder_shares VALUES (?, ?, ?)",
                (folder_id, user, permission),
            )
            self._db.execute(
                "DELETE FROM vfolder_invitations WHERE folder_id=? AND invitee=?", (folder_id, user)
            )

    def unshare(self, folder_id: str, user: str) -> bool:
        """Stop sharing a folder with a user; returns whether it was shared."""
        done = self._db.execute(
            "DELETE FROM vfolder_shares WHERE folder_id=? AND user=?", (folder_id, user)
        )
        return done.rowcount > 0

    def invite(self, folder: Folder, invitee: str, permission: str) -> bool:
        """Invite a user; returns False if the user has the folder, or an invitation."""
        with transaction(self._db):
            known = all_rows(
                self._db,
                "SELECT 1 FROM vfolder_shares WHERE folder_id=? AND user=?",
                folder.folder_id,
                invitee,
            )
            if known:
                return False
            done = self._db.execute(
                "INSERT OR IGNORE INTO vfolder_invitations VALUES (?, ?, ?, ?, ?, ?)",
                (uuid.uuid4().hex, folder.folder_id, folder.owner, invitee, permission, _now()),
            )
            return done.rowcount > 0

    def invitations(
        self, *, invitee: str | None = None, inviter: str | None = None
    ) -> list[Invitation]:
        """Open invitations to a user, or from a user."""
        rows = all_rows(
            self._db,
            "SELECT invitation_id, folder_id, name, inviter, invitee, i.permission, i.created_at "
            "FROM vfolder_invitations i JOIN vfolders USING (folder_id) "
            "WHERE invitee=? OR inviter=? ORDER BY i.created_at",
            invitee,
            inviter,
        )
        return [
            Invitation(
                invitation_id=row[0],
                folder_id=row[1],
                folder_name=row[2],
                inviter=row[3],
                invitee=row[4],
                permission=row[5],
                created_at=row[6],
            )
            for row in rows
        ]

    def withdraw(self, invitation_id: str) -> None:
        """Remove an invitation."""
        self._db.execute("DELETE FROM vfolder_invitations WHERE invitation_id=?", (invitation_id,))

    def _named(self, owner: str, name: str) -> bool:
        return bool(
            all_rows(self._db, "SELECT 1 FROM vfolders WHERE owner=? AND name=?", owner, name)
        )


def _folder(row: tuple[Any, ...], *, is_owner: bool) -> Folder:
    folder_id, name, owner, created_at, usage_mode, permission, cloneable, max_bytes = row
    return Folder(
        folder_id,
        name,
        owner,
        created_at,
        usage_mode,
        permission,
        bool(cloneable),
        int(max_bytes),
        is_owner,
    )


def _make_tables(database: sqlite3.Connection) -> None:
    execute_all(database, _SCHEMA + UPLOADS_SCHEMA)


def _now() -> str:
    return datetime.now(UTC).isoformat()
