"""What the databases of a gateway have in common: opening, versions of their tables, transactions.

A database has the number of its version (``PRAGMA user_version``): how many of its migrations were
done. Those of 0 were made before versions were counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...config.user_dirs import make_private_file
from ...errors import GatewayError

if TYPE_CHECKING:
    import sqlite3

__all__ = ["Migration", "all_rows", "execute_all", "open_database", "transaction"]

Migration = Callable[["sqlite3.Connection"], None]
"""Brings a database to the next version, within a transaction. It is never changed once it was
released: what comes later is a migration of its own."""


def open_database(path: Path | None, migrations: Sequence[Migration]) -> sqlite3.Connection:
    """Open a database that only its owner can read, check it, and bring it to the newest version.

    Every change is on the disk when its transaction is committed: it outlives a power failure.

    Args:
        path: the file, which is made with its folder if there is none; None is in memory.
        migrations: all of them, oldest first; the first one makes the tables.

    Raises:
        GatewayError: it cannot be made or written, is damaged or not a database, was made by a
            newer release, or its file system lets others read it.
    """
    import sqlite3

    try:
        if path is not None:
            # Before SQLite opens it, so that others can never read it.
            make_private_file(path)
            with suppress(PermissionError):  # where there are no permissions, or root made it
                path.parent.chmod(0o700)
        # Autocommit. Calls come from one thread at a time, but not always from the same one.
        opened = sqlite3.connect(path or ":memory:", isolation_level=None, check_same_thread=False)
        try:
            _prepare(opened, path, migrations)
        except BaseException:  # raised again
            opened.close()
            raise
    except sqlite3.OperationalError as exc:
        raise _unusable(path, exc) from exc
    except sqlite3.DatabaseError as exc:
        raise _damaged(path, str(exc)) from exc
    except OSError as exc:
        raise _unusable(path, exc) from exc
    return opened


def _prepare(
    database: sqlite3.Connection, path: Path | None, migrations: Sequence[Migration]
) -> None:
    # Several gateways may use a folder: one of `serve`, and those within commands.
    database.execute("PRAGMA busy_timeout=2000")
    _check_version(database, path, len(migrations))
    database.execute("PRAGMA journal_mode=WAL")
    # The log is on the disk before a change is acknowledged. With NORMAL, a power failure takes
    # the last changes with it.
    database.execute("PRAGMA synchronous=FULL")
    database.execute("PRAGMA foreign_keys=ON")
    problem = all_rows(database, "PRAGMA integrity_check(1)")[0][0]
    if problem != "ok":
        raise _damaged(path, problem)
    if _version(database) == len(migrations):
        return
    with transaction(database):
        # Another gateway may have done it meanwhile, and one of another release, too.
        _check_version(database, path, len(migrations))
        for migrate in migrations[_version(database) :]:
            migrate(database)
        database.execute(f"PRAGMA user_version={len(migrations)}")


def _version(database: sqlite3.Connection) -> int:
    return int(all_rows(database, "PRAGMA user_version")[0][0])


def _check_version(database: sqlite3.Connection, path: Path | None, known: int) -> None:
    version = _version(database)
    if version > known:
        raise GatewayError(
            f"{path} was made by a newer release of backendai-trio (version {version} of the "
            f"tables; this release knows {known}), and nothing in it was changed; install that "
            "release again, or use another folder (GatewayOptions.data, --data)"
        )


def _unusable(path: Path | None, exc: Exception) -> GatewayError:
    reason = getattr(exc, "strerror", None) or exc
    return GatewayError(
        f"cannot keep the gateway's data in {path}: {reason}; "
        "make that file writable, or use another folder (GatewayOptions.data, --data)"
    )


def _damaged(path: Path | None, problem: str) -> GatewayError:
    return GatewayError(
        f"the gateway's data in {path} is damaged ({problem}), and nothing in it was changed; put "
        "a backup in its place, save what can be read with the '.recover' command of the sqlite3 "
        "program, or move the file away, with those that end in -wal and -shm, to begin anew; or "
        "use another folder (GatewayOptions.data, --data)"
    )


def execute_all(database: sqlite3.Connection, statements: str) -> None:
    """Execute statements that end with semicolons, within the transaction that has begun.

    `executescript` would commit it.
    """
    for statement in statements.split(";"):
        if statement.strip():
            database.execute(statement)


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
