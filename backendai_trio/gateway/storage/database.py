"""What a gateway remembers: key pairs, and the kernels that have ended.

In memory for an embedded gateway; in SQLite, readable by its owner alone, for `backend.ai serve`.
"""

from __future__ import annotations

import base64
import os
import secrets
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ...errors import GatewayError

if TYPE_CHECKING:
    import sqlite3

__all__ = [
    "EndedSession",
    "KeyPair",
    "MemoryStore",
    "SqliteStore",
    "Store",
    "open_database",
]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS keypairs (
    access_key TEXT PRIMARY KEY, secret_key TEXT NOT NULL, created_at TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS ended_sessions (
    session_id TEXT PRIMARY KEY, token TEXT NOT NULL, access_key TEXT NOT NULL,
    runtime TEXT NOT NULL, created_at TEXT NOT NULL, terminated_at TEXT NOT NULL,
    cpu_ms INTEGER NOT NULL
) STRICT;
"""
_HISTORY = 1000


@dataclass(frozen=True, slots=True)
class KeyPair:
    """Who may use the gateway."""

    access_key: str
    secret_key: str = field(repr=False)

    @classmethod
    def generate(cls, access_key: str | None = None) -> KeyPair:
        """A fresh pair in the shape managers give theirs (contract section 2.1)."""
        random_key = "AKIA" + base64.b32encode(secrets.token_bytes(10)).decode()
        return cls(access_key or random_key, secrets.token_urlsafe(30))


@dataclass(frozen=True, slots=True)
class EndedSession:
    """A kernel that is no more."""

    session_id: str
    token: str
    access_key: str
    runtime: str
    created_at: str
    terminated_at: str
    cpu_ms: int


class Store(Protocol):
    """What a gateway needs of its memory. Every call is short, and made from one thread."""

    def secret_key_of(self, access_key: str) -> str | None:
        """The secret of a key pair, None if there is no such pair."""

    def add_ended(self, session: EndedSession) -> None:
        """Remember a kernel that has ended."""

    def ended(self, access_key: str) -> list[EndedSession]:
        """A key pair's ended kernels, newest first, as far as they are kept."""

    def close(self) -> None:
        """Let go of what it holds; may be repeated."""


class MemoryStore:
    """For a gateway that ends with its process."""

    def __init__(self, pair: KeyPair) -> None:
        self.pair = pair
        self._ended: list[EndedSession] = []

    def secret_key_of(self, access_key: str) -> str | None:
        """See `Store`."""
        return self.pair.secret_key if access_key == self.pair.access_key else None

    def add_ended(self, session: EndedSession) -> None:
        """See `Store`."""
        self._ended.insert(0, session)
        del self._ended[_HISTORY:]

    def ended(self, access_key: str) -> list[EndedSession]:
        """See `Store`."""
        return [item for item in self._ended if item.access_key == access_key]

    def close(self) -> None:
        """See `Store`."""


class SqliteStore:
    """For `backend.ai serve`: survives a crash at any moment (WAL), files 0600 in a folder 0700.

    Raises:
        GatewayError: the folder cannot be made or written, or the file is no database.
    """

    def __init__(self, folder: Path) -> None:
        self._db = open_database(folder / "gateway.sqlite3", _SCHEMA)

    def close(self) -> None:
        """See `Store`."""
        self._db.close()

    def keypair(self, access_key: str | None = None, secret_key: str | None = None) -> KeyPair:
        """The gateway's key pair; made when there is none, and changed as far as arguments say."""
        # One gateway at a time: two that start together must not make a pair each.
        self._db.execute("BEGIN IMMEDIATE")
        try:
            return self._keypair(access_key, secret_key)
        finally:
            self._db.execute("COMMIT")

    def _keypair(self, access_key: str | None, secret_key: str | None) -> KeyPair:
        known = self._one("SELECT access_key, secret_key FROM keypairs ORDER BY rowid DESC LIMIT 1")
        if known and access_key in (None, known[0]) and secret_key in (None, known[1]):
            return KeyPair(*known)
        named = self._one(
            "SELECT access_key, secret_key FROM keypairs WHERE access_key=?", access_key
        )
        fresh = KeyPair.generate(access_key or (known[0] if known else None))
        pair = KeyPair(fresh.access_key, secret_key or (named[1] if named else fresh.secret_key))
        self._db.execute(
            "INSERT OR REPLACE INTO keypairs VALUES (?, ?, datetime('now'))",
            (pair.access_key, pair.secret_key),
        )
        return pair

    def secret_key_of(self, access_key: str) -> str | None:
        """See `Store`."""
        row = self._one("SELECT secret_key FROM keypairs WHERE access_key=?", access_key)
        return row[0] if row else None

    def add_ended(self, session: EndedSession) -> None:
        """See `Store`."""
        self._db.execute(
            "INSERT OR REPLACE INTO ended_sessions VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                session.session_id,
                session.token,
                session.access_key,
                session.runtime,
                session.created_at,
                session.terminated_at,
                session.cpu_ms,
            ),
        )
        self._db.execute(
            "DELETE FROM ended_sessions WHERE rowid <= (SELECT MAX(rowid) FROM ended_sessions) - ?",
            (_HISTORY,),
        )

    def ended(self, access_key: str) -> list[EndedSession]:
        """See `Store`."""
        with closing(
            self._db.execute(
                "SELECT * FROM ended_sessions WHERE access_key=? ORDER BY rowid DESC", (access_key,)
            )
        ) as rows:
            return [EndedSession(*row) for row in rows]

    def _one(self, text: str, *values: object) -> tuple[str, ...] | None:
        cursor: sqlite3.Cursor = self._db.execute(text, values)
        row: tuple[str, ...] | None = cursor.fetchone()
        return row


def open_database(path: Path | None, schema: str) -> sqlite3.Connection:
    """Open a database that its owner alone can read, and make its tables; None is in memory.

    Raises:
        GatewayError: it cannot be made or written, or is none.
    """
    import sqlite3

    try:
        if path is not None:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.parent.chmod(0o700)
            # Made before SQLite opens it, so that it is never readable by others, not even shortly.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            path.chmod(0o600)
        # Autocommit; calls come from one thread at a time, though not always the same.
        opened = sqlite3.connect(path or ":memory:", isolation_level=None, check_same_thread=False)
        # Gateways may share a folder: the one of `serve`, and one within a command.
        opened.execute("PRAGMA busy_timeout=2000")
        opened.execute("PRAGMA journal_mode=WAL")
        # Whole after any crash; after a power failure the last changes may be missing.
        opened.execute("PRAGMA synchronous=NORMAL")
        opened.execute("PRAGMA foreign_keys=ON")
        opened.executescript(schema)
    except (OSError, sqlite3.Error) as exc:
        raise GatewayError(
            f"cannot keep the gateway's data in {path}: {exc}; "
            "mend that, or name another folder with --data"
        ) from exc
    return opened
