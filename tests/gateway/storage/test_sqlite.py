"""Transactions end, whatever fails in them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from backendai_trio.gateway.storage.sqlite import all_rows, execute_all, open_database, transaction

SCHEMA = """
CREATE TABLE IF NOT EXISTS parents (id INTEGER PRIMARY KEY, content BLOB) STRICT;
CREATE TABLE IF NOT EXISTS children (
    parent INTEGER REFERENCES parents DEFERRABLE INITIALLY DEFERRED
) STRICT;
"""


def make_tables(database: sqlite3.Connection) -> None:
    execute_all(database, SCHEMA)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data.sqlite3"


@pytest.fixture
def database(path: Path) -> Iterator[sqlite3.Connection]:
    opened = open_database(path, [make_tables])
    yield opened
    opened.close()


def check_free(database: sqlite3.Connection, path: Path) -> None:
    """Nothing is in the database, and this gateway and another one can change it."""
    assert not database.in_transaction
    other = open_database(path, [make_tables])
    for number, one in enumerate((database, other)):
        with transaction(one):
            assert len(all_rows(one, "SELECT id FROM parents")) == number
            one.execute("INSERT INTO parents (content) VALUES (NULL)")
    other.close()


def test_full_disk(database: sqlite3.Connection, path: Path) -> None:
    """SQLite rolls back by itself; its error is the one that is raised."""
    (pages,) = database.execute("PRAGMA page_count").fetchone()
    database.execute(f"PRAGMA max_page_count={pages + 1}")
    with pytest.raises(sqlite3.OperationalError, match="full"), transaction(database):
        database.execute("INSERT INTO parents (content) VALUES (zeroblob(100000))")
    check_free(database, path)


def test_commit_that_fails(database: sqlite3.Connection, path: Path) -> None:
    with pytest.raises(sqlite3.IntegrityError), transaction(database):
        database.execute("INSERT INTO children VALUES (7)")
    check_free(database, path)


def test_error_in_the_block(database: sqlite3.Connection, path: Path) -> None:
    with pytest.raises(ZeroDivisionError), transaction(database):
        database.execute("INSERT INTO parents (content) VALUES (NULL)")
        raise ZeroDivisionError
    check_free(database, path)
