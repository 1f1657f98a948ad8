"""The gateway's store: key pairs, their settings, and kernels that have ended.

It is in memory, or in an SQLite database that only its owner can read (`GatewayOptions.data`).
"""

from __future__ import annotations

import base64
import logging
import secrets
from collections import OrderedDict
from dataclasses import astuple, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from .sqlite import all_rows, execute_all, open_database, transaction

if TYPE_CHECKING:
    import sqlite3

__all__ = [
    "EndedSession",
    "KeyPair",
    "MemoryStore",
    "SqliteStore",
    "Store",
]

_log = logging.getLogger("backendai_trio.gateway")

_ADDED = {
    "status": "TEXT NOT NULL DEFAULT 'TERMINATED'",
    "status_info": "TEXT NOT NULL DEFAULT ''",
    "status_data": "TEXT NOT NULL DEFAULT '{}'",
    "kind": "TEXT NOT NULL DEFAULT 'INTERACTIVE'",
    "result": "TEXT NOT NULL DEFAULT 'UNDEFINED'",
    "log": "TEXT NOT NULL DEFAULT ''",
}
"""Columns of ended sessions that the oldest databases of version 0 lack."""
_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS keypairs (
    access_key TEXT PRIMARY KEY, secret_key TEXT NOT NULL, created_at TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS ended_sessions (
    session_id TEXT PRIMARY KEY, token TEXT NOT NULL, access_key TEXT NOT NULL,
    runtime TEXT NOT NULL, created_at TEXT NOT NULL, terminated_at TEXT NOT NULL,
    cpu_ms INTEGER NOT NULL, {", ".join(f"{name} {kind}" for name, kind in _ADDED.items())}
) STRICT;
CREATE TABLE IF NOT EXISTS settings (
    access_key TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL,
    PRIMARY KEY (access_key, name)
) STRICT;
"""
_HISTORY = 1000
"""How many ended kernels are remembered."""
_LOGS = 50
"""Of how many of these the log is kept."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """The access key and secret key of the gateway's clients."""

    access_key: str
    secret_key: str = field(repr=False)

    @classmethod
    def generate(cls, access_key: str | None = None) -> KeyPair:
        """A new pair in the form of managers (docs/protocol.md, section 2.1)."""
        random_key = "AKIA" + base64.b32encode(secrets.token_bytes(10)).decode()
        return cls(access_key or random_key, secrets.token_urlsafe(30))


@dataclass(frozen=True, slots=True)
class EndedSession:
    """A kernel that has ended."""

    session_id: str
    token: str
    access_key: str
    runtime: str
    created_at: str
    terminated_at: str
    cpu_ms: int
    status: str = "TERMINATED"
    """``TERMINATED``, or ``CANCELLED`` if it never ran."""
    status_info: str = ""
    """Why it has ended, in a word."""
    status_data: str = "{}"
    """Why, as JSON."""
    kind: str = "INTERACTIVE"
    """``INTERACTIVE`` or ``BATCH``."""
    result: str = "UNDEFINED"
    """Of a batch session: ``SUCCESS`` or ``FAILURE``."""
    slots: str = "{}"
    """The resources that it asked for, as JSON."""

    @property
    def has_run(self) -> bool:
        """Whether it was started before it ended."""
        return self.status == "TERMINATED"


_ENDED = ", ".join(column.name for column in fields(EndedSession))


class Store(Protocol):
    """A gateway's store. All calls are short, and come from one thread."""

    def secret_key_of(self, access_key: str) -> str | None:
        """The secret key of a key pair; None if there is no such pair."""

    def add_ended(self, session: EndedSession, log: str = "") -> None:
        """Add a kernel that has ended. A full disk is logged, not raised: the kernel has ended.

        Args:
            session: the kernel.
            log: what a batch session has printed. It is kept of the newest kernels only.
        """

    def ended(self, access_key: str) -> list[EndedSession]:
        """A key pair's ended kernels, newest first."""

    def ended_log(self, access_key: str, name: str) -> str | None:
        """What a batch session has printed; None if no batch session has ended under that name.

        Args:
            access_key: of its key pair.
            name: its token or id. If several had the token, the last one counts.
        """

    def setting(self, access_key: str, name: str) -> str | None:
        """A setting of a key pair, such as its dotfiles; None if it was never set."""

    def set_setting(self, access_key: str, name: str, value: str) -> None:
        """Change a setting.

        Raises:
            sqlite3.OperationalError: the disk is full.
        """

    def close(self) -> None:
        """Close it; may be repeated."""


class MemoryStore:
    """A store in memory, with one key pair."""

    def __init__(self, pair: KeyPair) -> None:
        self.pair = pair
        self._ended: list[EndedSession] = []
        self._logs: OrderedDict[str, str] = OrderedDict()
        self._settings: dict[tuple[str, str], str] = {}

    def secret_key_of(self, access_key: str) -> str | None:
        """See `Store`."""
        return self.pair.secret_key if access_key == self.pair.access_key else None

    def add_ended(self, session: EndedSession, log: str = "") -> None:
        """See `Store`."""
        self._ended.insert(0, session)
        del self._ended[_HISTORY:]
        self._logs[session.session_id] = log
        while len(self._logs) > _LOGS:
            self._logs.popitem(last=False)

    def ended(self, access_key: str) -> list[EndedSession]:
        """See `Store`."""
        return [item for item in self._ended if item.access_key == access_key]

    def ended_log(self, access_key: str, name: str) -> str | None:
        """See `Store`."""
        for item in self.ended(access_key):
            if item.kind == "BATCH" and name in (item.token, item.session_id):
                return self._logs.get(item.session_id, "") if item.has_run else None
        return None

    def setting(self, access_key: str, name: str) -> str | None:
        """See `Store`."""
        return self._settings.get((access_key, name))

    def set_setting(self, access_key: str, name: str, value: str) -> None:
        """See `Store`."""
        self._settings[access_key, name] = value

    def close(self) -> None:
        """See `Store`."""


class SqliteStore:
    """A store in SQLite; see `open_database`.

    Raises:
        GatewayError: as `open_database`.
    """

    def __init__(self, folder: Path) -> None:
        import sqlite3

        self._db = open_database(folder / "gateway.sqlite3", [_make_tables, _add_slots])
        self._failures = sqlite3.OperationalError

    def close(self) -> None:
        """See `Store`."""
        self._db.close()

    def keypair(self, access_key: str | None = None, secret_key: str | None = None) -> KeyPair:
        """The gateway's key pair. It is made if there is none, and the arguments change it."""
        # Two gateways that start at the same time must not both make a pair.
        with transaction(self._db):
            return self._keypair(access_key, secret_key)

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

    def add_ended(self, session: EndedSession, log: str = "") -> None:
        """See `Store`."""
        try:
            with transaction(self._db):  # the disk is waited for once
                self._insert_ended(session, log)
        except self._failures as exc:
            _log.warning("cannot store that kernel %r has ended: %s", session.token, exc)

    def _insert_ended(self, session: EndedSession, log: str) -> None:
        values = (*astuple(session), log)
        places = ", ".join("?" * len(values))
        self._db.execute(
            f"INSERT OR REPLACE INTO ended_sessions ({_ENDED}, log) VALUES ({places})",  # noqa: S608
            values,
        )
        newest = "(SELECT MAX(rowid) FROM ended_sessions)"
        self._db.execute(f"DELETE FROM ended_sessions WHERE rowid <= {newest} - {_HISTORY}")  # noqa: S608
        self._db.execute(
            f"UPDATE ended_sessions SET log='' WHERE log != '' AND rowid <= {newest} - {_LOGS}"  # noqa: S608
        )

    def ended(self, access_key: str) -> list[EndedSession]:
        """See `Store`."""
        # Without the logs, which may be 50 MiB.
        text = f"SELECT {_ENDED} FROM ended_sessions WHERE access_key=? ORDER BY rowid DESC"  # noqa: S608
        return [EndedSession(*row) for row in all_rows(self._db, text, access_key)]

    def ended_log(self, access_key: str, name: str) -> str | None:
        """See `Store`."""
        row = self._one(
            "SELECT status, log FROM ended_sessions WHERE access_key=? AND kind='BATCH' "
            "AND ? IN (token, session_id) ORDER BY rowid DESC LIMIT 1",
            access_key,
            name,
        )
        return row[1] if row and row[0] == "TERMINATED" else None

    def setting(self, access_key: str, name: str) -> str | None:
        """See `Store`."""
        text = "SELECT value FROM settings WHERE access_key=? AND name=?"
        row = self._one(text, access_key, name)
        return row[0] if row else None

    def set_setting(self, access_key: str, name: str, value: str) -> None:
        """See `Store`."""
        self._db.execute(
            "INSERT OR REPLACE INTO settings VALUES (?, ?, ?)", (access_key, name, value)
        )

    def _one(self, text: str, *values: object) -> tuple[str, ...] | None:
        rows = all_rows(self._db, text, *values)
        return rows[0] if rows else None


def _make_tables(database: sqlite3.Connection) -> None:
    """Make the tables, or bring those up to date that were made before versions were counted."""
    execute_all(database, _SCHEMA)
    known = {row[1] for row in all_rows(database, "PRAGMA table_info(ended_sessions)")}
    for name, kind in _ADDED.items():
        if name not in known:
            database.execute(f"ALTER TABLE ended_sessions ADD COLUMN {name} {kind}")


def _add_slots(database: sqlite3.Connection) -> None:
    """Keep what resources kernels have asked for."""
    database.execute("ALTER TABLE ended_sessions ADD COLUMN slots TEXT NOT NULL DEFAULT '{}'")
