"""Databases of every earlier version, of later ones, and damaged ones.

`databases/` has one of each shape that this project has ever made, as SQL: ``gateway-`` or
``index-``, and the version (`PRAGMA user_version`). Whoever changes the tables adds a migration and
the new shape there, and changes none that is there.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from backendai_trio import GatewayError, GatewayOptions, open_gateway
from backendai_trio.gateway.storage.database import SqliteStore
from backendai_trio.gateway.storage.index import FolderIndex
from backendai_trio.gateway.storage.sqlite import Migration, all_rows, execute_all, open_database

DATABASES = Path(__file__).parent / "databases"
ACCESS_KEY = "AKIAOLDOLDOLDOLDOLDO"
SECRET_KEY = "Old-secret-key-of-a-test-abcdefghijklmno"
OLD_FOLDER = "00000000000000000000000000000001"

Open = Callable[[Path], object]
OPEN: dict[str, Open] = {
    "gateway": lambda path: SqliteStore(path.parent),
    "index": FolderIndex,
}


def saved(kind: str) -> list[Path]:
    """The saved databases of a kind, by version; the newest is the last one."""
    return sorted(DATABASES.glob(f"{kind}-*.sql"), key=version_of)


def version_of(path: Path) -> int:
    return int(path.stem.split("-")[1])


def restored(script: Path, folder: Path) -> Path:
    """A database as it was saved."""
    path = folder / ("gateway.sqlite3" if script.name.startswith("gateway") else "index.sqlite3")
    with closing(sqlite3.connect(path)) as database:
        database.executescript(script.read_text())
    return path


def shape(path: Path) -> tuple[int, dict[str, list[tuple[object, ...]]]]:
    """The version, and what each table has: columns with their types, indexes and references."""
    with closing(sqlite3.connect(path)) as database:
        tables = [
            row[0]
            for row in all_rows(database, "SELECT name FROM sqlite_schema WHERE type='table'")
        ]
        found = {}
        for table in tables:
            found[table] = sorted(
                (pragma, *map(str, row[1:]))
                for pragma in ("table_info", "index_list", "foreign_key_list")
                for row in all_rows(database, f"SELECT * FROM pragma_{pragma}(?)", table)
            )
        return all_rows(database, "PRAGMA user_version")[0][0], found


@pytest.mark.parametrize("script", saved("gateway"), ids=lambda path: path.stem)
def test_stores_of_each_version(tmp_path: Path, script: Path) -> None:
    restored(script, tmp_path)
    for _ in range(2):
        with closing(SqliteStore(tmp_path)) as store:
            pair = store.keypair()
            assert (pair.access_key, pair.secret_key) == (ACCESS_KEY, SECRET_KEY)
            (ended,) = store.ended(ACCESS_KEY)
            assert (ended.token, ended.cpu_ms, ended.status) == ("old", 42, "TERMINATED")
            assert (ended.kind, ended.result) == ("INTERACTIVE", "UNDEFINED")
            store.set_setting(ACCESS_KEY, "dotfiles", "[]")
            assert store.setting(ACCESS_KEY, "dotfiles") == "[]"


@pytest.mark.parametrize("script", saved("index"), ids=lambda path: path.stem)
def test_indexes_of_each_version(tmp_path: Path, script: Path) -> None:
    path = restored(script, tmp_path)
    for _ in range(2):
        with closing(FolderIndex(path)) as index:
            (folder,) = index.of_user(ACCESS_KEY)
            assert (folder.folder_id, folder.name, folder.cloneable) == (OLD_FOLDER, "data", True)
            (shared,) = index.of_user("AKIAOTHEROTHEROTHERO")
            assert (shared.permission, shared.is_owner) == ("ro", False)
            (invitation,) = index.invitations(inviter=ACCESS_KEY)
            assert invitation.folder_name == "data"
            upload = index.uploads.find("an old token")
            assert upload is not None and (upload.size, upload.position) == (5, 3)


@pytest.mark.parametrize("kind", OPEN)
def test_shape_of_each_version(tmp_path: Path, kind: str) -> None:
    """A new database, and one of any version that was opened, are like the newest saved one."""
    new = tmp_path / "new"
    new.mkdir()
    OPEN[kind](new / "index.sqlite3")
    (made,) = new.glob("*.sqlite3")
    version, tables = shape(made)
    newest = tmp_path / "newest"
    newest.mkdir()
    assert (version, tables) == shape(restored(saved(kind)[-1], newest))
    assert version == version_of(saved(kind)[-1]) > 0
    assert {version_of(path) for path in saved(kind)} == set(range(version + 1))
    for script in saved(kind):
        folder = tmp_path / script.stem
        folder.mkdir()
        path = restored(script, folder)
        OPEN[kind](path)
        opened, found = shape(path)
        # Columns that were added stand behind the others.
        assert (opened, found.keys()) == (version, tables.keys())
        for table, columns in tables.items():
            assert [row for row in found[table] if row[0] != "table_info"] == [
                row for row in columns if row[0] != "table_info"
            ]
            assert {row[1:4] for row in found[table]} == {row[1:4] for row in columns}


@pytest.mark.parametrize("kind", OPEN)
def test_newer_release(tmp_path: Path, kind: str) -> None:
    """Nothing is changed in a database that this release does not know."""
    path = restored(saved(kind)[-1], tmp_path)
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version=77")
    before = path.read_bytes()
    with pytest.raises(GatewayError, match=r"newer release .*version 77.*--data"):
        OPEN[kind](path)
    assert path.read_bytes() == before


def test_migration_that_fails(tmp_path: Path) -> None:
    """All of it is undone; the next attempt begins where the first one did."""

    def fails(database: sqlite3.Connection) -> None:
        execute_all(database, "CREATE TABLE two (x); INSERT INTO one VALUES (2);")
        raise ZeroDivisionError

    first = make("one")
    path = tmp_path / "data.sqlite3"
    open_database(path, [first]).close()
    with pytest.raises(ZeroDivisionError):
        open_database(path, [first, fails])
    assert (shape(path)[0], list(shape(path)[1])) == (1, ["one"])
    with closing(open_database(path, [first, make("two")])) as database:
        assert all_rows(database, "SELECT COUNT(*) FROM one") == [(0,)]
    assert (shape(path)[0], list(shape(path)[1])) == (2, ["one", "two"])


def make(table: str) -> Migration:
    return lambda database: execute_all(database, f"CREATE TABLE {table} (x);")


def test_gateways_that_migrate_at_once(tmp_path: Path) -> None:
    """Each migration is done once."""
    path = tmp_path / "data.sqlite3"
    with closing(open_database(path, [make("one")])):
        pass
    done: list[int] = []

    def count(database: sqlite3.Connection) -> None:
        done.append(1)
        execute_all(database, "ALTER TABLE one ADD COLUMN y;")

    barrier = threading.Barrier(8)

    def start() -> None:
        barrier.wait()
        open_database(path, [make("one"), count]).close()

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert done == [1] and shape(path)[0] == 2


# -- damage ---------------------------------------------------------------------------------------


def large(path: Path, kind: str) -> None:
    """A database of many pages."""
    opened = OPEN[kind](path)
    assert isinstance(opened, SqliteStore | FolderIndex)
    if isinstance(opened, SqliteStore):
        opened.set_setting(ACCESS_KEY, "long", "x" * 300_000)
    opened.close()


def overwrite(path: Path, start: int, stop: int) -> None:
    with path.open("r+b") as file:
        file.seek(start)
        file.write(b"\xa5" * (stop - start))


@pytest.mark.parametrize("kind", OPEN)
@pytest.mark.parametrize("where", ["header", "schema", "page", "cut", "empty-page"])
def test_damaged(tmp_path: Path, kind: str, where: str) -> None:
    """It is noticed when the database is opened, and not at the first request that meets it."""
    path = tmp_path / ("gateway.sqlite3" if kind == "gateway" else "index.sqlite3")
    large(path, kind)
    size = path.stat().st_size
    match where:
        case "header":
            overwrite(path, 0, 100)
        case "schema":
            overwrite(path, 100, 4096)
        case "page":
            overwrite(path, size - 2 * 4096, size - 4096)
        case "cut":
            with path.open("r+b") as file:
                file.truncate(size - 4096)
        case "empty-page":
            overwrite(path, 4096 * 2, 4096 * 2 + 16)
    before = path.read_bytes()
    with pytest.raises(GatewayError) as caught:
        OPEN[kind](path)
    assert path.read_bytes() == before
    for told in (str(path), "is damaged", "backup", ".recover", "-wal", "--data"):
        assert told in str(caught.value)


async def test_gateway_of_a_damaged_folder(tmp_path: Path) -> None:
    """It does not start without its virtual folders, either."""
    folder = tmp_path / "vfolders"
    folder.mkdir()
    large(folder / "index.sqlite3", "index")
    overwrite(folder / "index.sqlite3", 0, 4096)
    with pytest.raises(GatewayError, match="damaged"):
        async with open_gateway(GatewayOptions(data=tmp_path)):
            raise AssertionError("a gateway serves with a damaged index")
