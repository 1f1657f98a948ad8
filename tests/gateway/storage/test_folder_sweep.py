"""What deleted folders, old uploads and killed gateways have left on the disk."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trio

from backendai_trio import GatewayOptions, open_gateway
from backendai_trio.gateway.limits import GatewayLimits
from backendai_trio.gateway.storage.folder_sweep import _remove, keep_swept, sweep
from backendai_trio.gateway.storage.index import Folder
from backendai_trio.gateway.storage.vfolders import VFolders
from backendai_trio.wire.vfolders import CreateVFolder

USER = "AKIAUSER"
DAYS_AGO = 3 * 86400
DAY_1 = datetime(1970, 1, 2, tzinfo=UTC)
KILLED = """
import sys, time
from pathlib import Path
from backendai_trio.gateway.storage.vfolders import VFolders
from backendai_trio.wire.vfolders import CreateVFolder

folders = VFolders(Path(sys.argv[1]), lasting=True, max_folders=5, max_bytes=0)
folder_id = folders.index.begin_copy(CreateVFolder(name="copy"))
with folders.disk.copying(folder_id) as files:
    (files / "file").write_text("x")
    print(folder_id, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def folders(tmp_path: Path) -> Iterator[VFolders]:
    found = VFolders(tmp_path / "vfolders", lasting=True, max_folders=5, max_bytes=0)
    yield found
    found.close()


@pytest.fixture
def folder(folders: VFolders) -> Folder:
    return folders.create(CreateVFolder(name="data"), USER)


def leave(folders: VFolders) -> Path:
    """What a delete that was killed leaves."""
    left = folders.create(CreateVFolder(name="left"), USER)
    files = folders.files_of(left)
    (files / "file").write_text("x")
    folders.index.disown(left.folder_id)
    with closing(sqlite3.connect(folders.disk.root / "index.sqlite3")) as index:
        index.execute("UPDATE vfolders SET created_at='2026-01-01' WHERE owner=''")
        index.commit()
    return files.parent


async def wait_for(condition: Callable[[], object]) -> None:
    with trio.fail_after(30):
        while True:
            if condition():
                return
            await trio.sleep(0.01)


async def wait_gone(path: Path) -> None:
    await wait_for(lambda: not path.exists())


async def test_nothing_is_made_for_a_gateway_without_folders(tmp_path: Path) -> None:
    folders = VFolders(tmp_path / "vfolders", lasting=True, max_folders=5, max_bytes=0)
    await sweep(folders)
    assert os.listdir(tmp_path) == []


async def test_requests_remove_nothing(folders: VFolders, folder: Folder) -> None:
    """They would stop everything else of the gateway for as long as it takes."""
    left = leave(folders)
    folders.close()
    assert folders.of_user(USER) == [folder]
    assert left.exists()
    await sweep(folders)
    assert not left.exists() and folders.files_of(folder).exists()


async def test_gateway_that_runs_for_long(tmp_path: Path) -> None:
    """It sweeps at its start and later, without any request."""
    folders = VFolders(tmp_path / "vfolders", lasting=True, max_folders=5, max_bytes=0)
    folders.create(CreateVFolder(name="data"), USER)
    folders.close()
    left = leave(folders)
    limits = GatewayLimits(sweep_seconds=0.01)
    async with open_gateway(GatewayOptions(data=tmp_path, limits=limits)):
        await wait_gone(left)
        await wait_gone(leave(folders))


async def test_index_that_cannot_be_opened(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The gateway goes on, and so do the sweeps."""
    folders = VFolders(tmp_path / "vfolders", lasting=True, max_folders=5, max_bytes=0)
    left = leave(folders)
    folders.close()
    index = folders.disk.root / "index.sqlite3"
    away = index.rename(tmp_path / "away")
    index.mkdir()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: keep_swept(folders, every_seconds=0.01))
        await wait_for(lambda: caplog.records)
        index.rmdir()
        away.rename(index)
        await wait_gone(left)
        nursery.cancel_scope.cancel()
    folders.close()


async def test_copy_of_a_gateway_that_was_killed(folders: VFolders, folder: Folder) -> None:
    command = [sys.executable, "-c", KILLED, str(folders.disk.root)]
    process = await trio.lowlevel.open_process(command, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        copy = (await process.stdout.receive_some()).decode().strip()
        await sweep(folders, copy_begins=timedelta())
        assert folders.index.ids() == folders.disk.ids() == {folder.folder_id, copy}
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
    await sweep(folders)  # it might have been about to be locked
    assert folders.index.ids() == folders.disk.ids() == {folder.folder_id, copy}
    await sweep(folders, copy_begins=timedelta())
    assert folders.index.ids() == folders.disk.ids() == {folder.folder_id}


async def test_forms_and_uploads(folders: VFolders, folder: Folder) -> None:
    staging = folders.disk.staging_of(folder.folder_id)
    old, new = staging / "old", staging / "new"
    for form in (old, new):
        form.mkdir()
        (form / "0").write_text("x")
    os.utime(old, (DAYS_AGO, DAYS_AGO))
    token = folders.index.uploads.begin(folder.folder_id, "file", 5)
    await sweep(folders)
    assert new.exists() and not old.exists()
    assert folders.index.uploads.find(token) is not None


def test_one_that_cannot_be_removed_does_not_keep_the_others(
    folders: VFolders, folder: Folder, caplog: pytest.LogCaptureFixture
) -> None:
    left = leave(folders)
    staging = folders.disk.staging_of(folder.folder_id)
    keys = []
    for _ in range(3):
        folders.index.uploads.begin(folder.folder_id, "file", 5)
    for upload, key in folders.index.uploads.expire(datetime.now(UTC) + timedelta(days=9)):
        assert upload == folder.folder_id
        keys.append(key)
    (staging / keys[0]).mkdir()  # no file, so that it cannot be removed as one
    for key in keys[1:]:
        (staging / key).write_text("x")
    _remove(folders.disk, [left.name], [(folder.folder_id, key) for key in keys], [], DAY_1)
    assert {path.name for path in staging.iterdir()} == {keys[0]} and not left.exists()
    assert "cannot be removed" in caplog.text


async def test_index_that_is_lost(folders: VFolders, folder: Folder) -> None:
    """It is moved away when it is damaged; the files of all folders stay for whoever mends it."""
    file = folders.files_of(folder) / "file"
    file.write_text("x")
    folders.close()
    for path in folders.disk.root.glob("index.sqlite3*"):
        path.unlink()
    folders.create(CreateVFolder(name="new"), USER)
    await sweep(folders, copy_begins=timedelta())
    assert file.read_text() == "x"


async def test_clock_that_was_set_back(folders: VFolders, folder: Folder) -> None:
    """What was begun in the future, as the clock says now, is neither lost nor kept for years."""
    future = datetime.now(UTC) + timedelta(days=1000)
    staging = folders.disk.staging_of(folder.folder_id)
    form = staging / "form"
    form.mkdir()
    os.utime(form, (future.timestamp(), future.timestamp()))
    token = folders.index.uploads.begin(folder.folder_id, "file", 5)
    copy = folders.index.begin_copy(CreateVFolder(name="copy"))
    left = leave(folders)
    with closing(sqlite3.connect(folders.disk.root / "index.sqlite3")) as index:
        index.execute("UPDATE vfolder_uploads SET used_at=?", (future.isoformat(),))
        index.execute("UPDATE vfolders SET created_at=?", (future.isoformat(),))
        index.commit()
    await sweep(folders)
    assert folders.index.ids() == {folder.folder_id} and copy not in folders.disk.ids()
    assert not left.exists()
    assert form.exists() and folders.index.uploads.find(token) is not None
    a_day = datetime.now(UTC) + timedelta(days=1, seconds=1)
    assert form.stat().st_mtime < a_day.timestamp()
    _remove(folders.disk, [], [], folders.index.ids(), a_day)
    assert not form.exists()
    assert len(folders.index.uploads.expire(a_day)) == 1
