"""The index of virtual folders: owners, shares, invitations and unfinished uploads, in SQLite."""

from __future__ import annotations

import hashlib
import secrets
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ...wire.vfolder_sharing import Invitation
from ...wire.vfolders import CreateVFolder
from .sqlite import open_database

__all__ = ["Folder", "FolderIndex", "PendingUpload"]

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
CREATE TABLE IF NOT EXISTS vfolder_uploads (
    key TEXT PRIMARY KEY,
    folder_id TEXT NOT NULL REFERENCES vfolders ON DELETE CASCADE,
    path TEXT NOT NULL, size INTEGER NOT NULL, position INTEGER NOT NULL,
    placed INTEGER NOT NULL, used_at TEXT NOT NULL
) STRICT;
"""
_FOLDER = "folder_id, name, owner, created_at, usage_mode, permission, cloneable, max_bytes"
_ORDER = "ORDER BY created_at, name"
_UPLOAD = "key, folder_id, path, size, position, placed"


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


@dataclass(frozen=True, slots=True)
class PendingUpload:
    """An unfinished upload. Its bytes are in a file named `key`, outside of the folder's files."""

    key: str
    """Hash of the client's token."""
    folder_id: str
    path: str
    size: int
    position: int
    """Bytes that were received and need not be sent again."""
    placed: bool
    """Whether the file has got its name in the folder."""


class FolderIndex:
    """The database. All calls are short.

    Raises:
        GatewayError: it cannot be made or written.
    """

    def __init__(self, path: Path | None) -> None:
        self._db = open_database(path, _SCHEMA)

    def close(self) -> None:
        """Close it; may be repeated."""
        self._db.close()

    def add(self, request: CreateVFolder, owner: str, max_folders: int) -> Folder | None:
        """Add a folder; returns None if the owner has `max_folders` already.

        Raises:
            FileExistsError: the owner has a folder of this name.
        """
        folder_id = uuid.uuid4().hex
        with self._transaction():
            if self._named(owner, request.name):
                raise FileExistsError(request.name)
            owned = self._all("SELECT COUNT(*) FROM vfolders WHERE owner=?", owner)
            if owned[0][0] >= max_folders:
                return None
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
        return self.find(owner, folder_id)

    def of_user(self, user: str) -> list[Folder]:
        """All folders that a user may read; the user's own ones come first."""
        own = self._all(f"SELECT {_FOLDER} FROM vfolders WHERE owner=? {_ORDER}", user)  # noqa: S608
        shared = self._all(
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
        return {row[0] for row in self._all("SELECT folder_id FROM vfolders")}

    def rename(self, folder: Folder, name: str) -> None:
        """Give a folder another name.

        Raises:
            FileExistsError: its owner has a folder of that name.
        """
        with self._transaction():
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
        with self._transaction():
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
        with self._transaction():
            known = self._all(
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
        rows = self._all(
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

    # -- uploads ----------------------------------------------------------------------------------

    def begin_upload(self, folder_id: str, path: str, size: int) -> str:
        """Add an upload; returns its token, of which only a hash is stored."""
        token = secrets.token_urlsafe(32)
        self._db.execute(
            f"INSERT INTO vfolder_uploads ({_UPLOAD}, used_at) VALUES (?, ?, ?, ?, 0, 0, ?)",  # noqa: S608
            (_key(token), folder_id, path, size, _now()),
        )
        return token

    def upload(self, token: str) -> PendingUpload | None:
        """The upload of a token; None if there is none."""
        rows = self._all(f"SELECT {_UPLOAD} FROM vfolder_uploads WHERE key=?", _key(token))  # noqa: S608
        if not rows:
            return None
        key, folder_id, path, size, position, placed = rows[0]
        return PendingUpload(key, folder_id, path, size, position, bool(placed))

    def advance(self, upload: PendingUpload, position: int, *, placed: bool = False) -> None:
        """Store the progress of an upload."""
        self._db.execute(
            "UPDATE vfolder_uploads SET position=?, placed=?, used_at=? WHERE key=?",
            (position, placed, _now(), upload.key),
        )

    def pending_bytes(self, folder_id: str, *, but: str, since: datetime) -> int:
        """The size of unfinished uploads into a folder, in bytes.

        Args:
            folder_id: the folder.
            but: uploads to this path are left out: a new upload replaces them.
            since: uploads that were not continued since then are left out.
        """
        rows = self._all(
            "SELECT COALESCE(SUM(size), 0) FROM vfolder_uploads "
            "WHERE folder_id=? AND placed=0 AND path!=? AND used_at>=?",
            folder_id,
            but,
            since.isoformat(),
        )
        return int(rows[0][0])

    def expire_uploads(self, before: datetime) -> list[tuple[str, str]]:
        """Remove uploads that were not continued; returns their folders and keys."""
        with self._transaction():
            rows = self._all(
                "SELECT folder_id, key FROM vfolder_uploads WHERE used_at<?", before.isoformat()
            )
            self._db.execute("DELETE FROM vfolder_uploads WHERE used_at<?", (before.isoformat(),))
        return [(row[0], row[1]) for row in rows]

    def _named(self, owner: str, name: str) -> bool:
        return bool(self._all("SELECT 1 FROM vfolders WHERE owner=? AND name=?", owner, name))

    def _all(self, text: str, *values: object) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = self._db.execute(text, values).fetchall()
        return rows

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:  # after any error the database must not stay locked
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")


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


def _key(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _now() -> str:
    return datetime.now(UTC).isoformat()
