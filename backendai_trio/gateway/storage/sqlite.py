"""What the databases of a gateway have in common: how they are opened, and transactions."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import GatewayError

if TYPE_CHECKING:
    import sqlite3

__all__ = ["all_rows", "open_database", "transaction"]


def open_database(path: Path | None, schema: str) -> sqlite3.Connection:
    """Open a database that only its owner can read, and make its tables; None is in memory.

    Raises:
        GatewayError: it cannot be made or written, or the file is not a database.
    """
    import sqlite3

    try:
        if path is not None:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.parent.chmod(0o700)
            # Made before SQLite opens it, so that others can never read it.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            path.chmod(0o600)
        # Autocommit. Calls come from one thread at a time, but not always from the same one.
        opened = sqlite3.connect(path or ":memory:", isolation_level=None, check_same_thread=False)
        # Several gateways may use a folder: one of `serve`, and those within commands.
        opened.execute("PRAGMA busy_timeout=2000")
        opened.execute("PRAGMA journal_mode=WAL")
        # Consistent after any crash; after a power failure the last changes may be missing.
        opened.execute("PRAGMA synchronous=NORMAL")
        opened.execute("PRAGMA foreign_keys=ON")
        opened.executescript(schema)
    except (OSError, sqlite3.Error) as exc:
        raise GatewayError(
            f"cannot keep the gateway's data in {path}: {exc}; "
            "solve that, or use another folder (GatewayOptions.data, --data)"
        ) from exc
    return opened


def all_rows(database: sqlite3.Connection, text: str, *values: object) -> list[tuple[Any, ...]]:
    """All rows of a query."""
    with closing(database.execute(text, values)) as rows:
        return rows.fetchall()


@contextmanager
def transaction(database: sqlite3.Connection) -> Iterator[None]:
    """Do all that is in the block, or nothing of it; no other gateway changes the database.

    Raises:
        sqlite3.Error: the transaction cannot begin, or not be committed.
    """
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
        database.execute("COMMIT")
    except BaseException:  # after any error the database must not stay locked
        # After some errors, such as a full disk, SQLite has rolled back by itself.
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise
