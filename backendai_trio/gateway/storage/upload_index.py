"""The index of unfinished uploads into virtual folders."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from .sqlite import all_rows, transaction

if TYPE_CHECKING:
    import sqlite3

__all__ = ["UPLOADS_SCHEMA", "PendingUpload", "UploadIndex"]

UPLOADS_SCHEMA = """
CREATE TABLE IF NOT EXISTS vfolder_uploads (
    key TEXT PRIMARY KEY,
    folder_id TEXT NOT NULL REFERENCES vfolders ON DELETE CASCADE,
    path TEXT NOT NULL, size INTEGER NOT NULL, position INTEGER NOT NULL,
    placed INTEGER NOT NULL, used_at TEXT NOT NULL
) STRICT;
"""
_UPLOAD = "key, folder_id, path, size, position, placed"


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


class UploadIndex:
    """A table of `FolderIndex`. All calls are short."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._db = database

    def begin(self, folder_id: str, path: str, size: int) -> str:
        """Add an upload; returns its token, of which only a hash is stored."""
        token = secrets.token_urlsafe(32)
        self._db.execute(
            f"INSERT INTO vfolder_uploads ({_UPLOAD}, used_at) VALUES (?, ?, ?, ?, 0, 0, ?)",  # noqa: S608
            (_key(token), folder_id, path, size, _now()),
        )
        return token

    def find(self, token: str) -> PendingUpload | None:
        """The upload of a token; None if there is none."""
        rows = all_rows(self._db, f"SELECT {_UPLOAD} FROM vfolder_uploads WHERE key=?", _key(token))  # noqa: S608
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
        rows = all_rows(
            self._db,
            "SELECT COALESCE(SUM(size), 0) FROM vfolder_uploads "
            "WHERE folder_id=? AND placed=0 AND path!=? AND used_at>=?",
            folder_id,
            but,
            since.isoformat(),
        )
        return int(rows[0][0])

    def expire(self, before: datetime) -> list[tuple[str, str]]:
        """Remove uploads that were not continued; returns their folders and keys.

        Those that were continued in the future, before the clock was set back, begin to age now.
        """
        with transaction(self._db):
            self._db.execute("UPDATE vfolder_uploads SET used_at=?1 WHERE used_at>?1", (_now(),))
            rows = all_rows(
                self._db,
                "SELECT folder_id, key FROM vfolder_uploads WHERE used_at<?",
                before.isoformat(),
            )
            self._db.execute("DELETE FROM vfolder_uploads WHERE used_at<?", (before.isoformat(),))
        return [(row[0], row[1]) for row in rows]


def _key(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _now() -> str:
    return datetime.now(UTC).isoformat()
