"""Copies of virtual folders: who finds one that is not complete, and what is left of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import trio

from backendai_trio.gateway.refusals import Refused
from backendai_trio.gateway.storage.folder_sweep import sweep
from backendai_trio.gateway.storage.index import Folder
from backendai_trio.gateway.storage.vfolder_copy import copy_steps
from backendai_trio.gateway.storage.vfolders import VFolders
from backendai_trio.wire.vfolder_requests import CloneVFolder
from backendai_trio.wire.vfolders import CreateVFolder

USER = "AKIAUSER"
CLONE = CloneVFolder(name="copy", host="local")
MIB = 1024 * 1024


def open_folders(root: Path, *, max_bytes: int = 0) -> VFolders:
    return VFolders(root, lasting=True, max_folders=5, max_bytes=max_bytes)


@pytest.fixture
def folders(tmp_path: Path) -> Iterator[VFolders]:
    found = open_folders(tmp_path / "vfolders")
    yield found
    found.close()


@pytest.fixture
def source(folders: VFolders) -> Folder:
    """A folder that takes some time to copy, and no room on the disk."""
    folder = folders.create(CreateVFolder(name="data", cloneable=True), USER)
    files = folders.files_of(folder)
    (files / "sub").mkdir()
    with (files / "large").open("wb") as file:
        file.truncate(2000 * MIB)
    return folder


async def first_of_copy(folders: VFolders, source: Folder) -> Path:
    """Wait until a part of the copy is on the disk."""
    while True:
        for path in folders.disk.root.glob("*/files/large"):
            if path.parent != folders.files_of(source) and path.stat().st_size:
                return path
        await trio.sleep(0.001)


async def test_nobody_finds_a_copy_that_is_not_complete(folders: VFolders, source: Folder) -> None:
    """A kernel that had it mounted could make links in it, through which the copy would go on."""
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(folders.clone, source, CLONE, USER)
            path = await first_of_copy(folders, source)
            folder_id = path.parent.parent.name
            assert folders.of_user(USER) == [source]
            for name in ("copy", folder_id):
                with pytest.raises(Refused):
                    folders.find(USER, name)
            # Another gateway of the same data leaves it alone, however long it takes.
            other = open_folders(folders.disk.root)
            assert other.of_user(USER) == [source]
            await sweep(other, copy_begins=timedelta())
            other.close()
            assert path.exists()
            scope.cancel()
    # Cancelled in the midst of it, nothing is left.
    assert scope.cancelled_caught
    assert [path.name for path in folders.disk.root.iterdir() if path.is_dir()] == [
        source.folder_id
    ]
    assert folders.index.ids() == {source.folder_id}


async def test_source_that_is_deleted_meanwhile(folders: VFolders, source: Folder) -> None:
    async def clone() -> None:
        with pytest.raises(Refused) as caught:
            await folders.clone(source, CLONE, USER)
        assert caught.value.problem.status == 404

    async with trio.open_nursery() as nursery:
        nursery.start_soon(clone)
        await first_of_copy(folders, source)
        os.truncate(folders.files_of(source) / "large", 0)
        await folders.delete(source)
    assert folders.index.ids() == set()


async def test_name_that_is_taken_meanwhile(folders: VFolders, source: Folder) -> None:
    async def clone() -> None:
        with pytest.raises(Refused) as caught:
            await folders.clone(source, CLONE, USER)
        assert caught.value.problem.kind == "vfolder-already-exists"

    async with trio.open_nursery() as nursery:
        nursery.start_soon(clone)
        await first_of_copy(folders, source)
        os.truncate(folders.files_of(source) / "large", 0)
        other = folders.create(CreateVFolder(name="copy"), USER)
    assert {folder.folder_id for folder in folders.of_user(USER)} == {
        source.folder_id,
        other.folder_id,
    }


# -- kernels change the source while it is copied -------------------------------------------------


def finish(steps: Iterator[None]) -> None:
    for _ in steps:
        pass


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    """What was copied as a link becomes a folder."""
    source, target, outside = (tmp_path / name for name in ("source", "target", "outside"))
    for folder in (source, target, outside):
        folder.mkdir()
    (source / "link").symlink_to(outside)
    (source / "next").write_text("x")
    steps = copy_steps(source, target)
    while not (target / "link").is_symlink():
        next(steps)
    (source / "link").unlink()
    (source / "link").mkdir()
    (source / "link" / "file").write_text("x")
    finish(steps)
    assert list(outside.iterdir()) == []
    assert sorted(path.name for path in target.iterdir()) == ["link", "next"]


def test_folder_that_is_gone_in_between(tmp_path: Path) -> None:
    source, target, outside = (tmp_path / name for name in ("source", "target", "outside"))
    for folder in (source, target, outside):
        folder.mkdir()
    for name in ("a", "b"):
        (source / name).mkdir()
        (source / name / "file").write_text("x")
    steps = copy_steps(source, target)
    while not (target / "a").exists():
        next(steps)
    (source / "b").rename(tmp_path / "elsewhere")
    next(steps)
    finish(steps)
    assert sorted(path.name for path in target.rglob("*")) == ["a", "file"]


@pytest.mark.parametrize("room", [None, 5 * MIB])
def test_file_that_grows(tmp_path: Path, room: int | None) -> None:
    """It is copied as long as it was when its copy began."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    target.mkdir()
    (source / "log").write_bytes(bytes(3 * MIB))
    steps = copy_steps(source, target, room)
    next(steps)
    with (source / "log").open("ab") as log:
        for number, _ in enumerate(steps):
            assert number < 10
            log.write(bytes(2 * MIB))
            log.flush()
    assert (target / "log").stat().st_size == 3 * MIB


def test_files_that_are_added(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    target.mkdir()
    for name in ("a", "b"):
        (source / name).write_bytes(b"x")
    steps = copy_steps(source, target, 3 * MIB)
    next(steps)
    (source / "b").write_bytes(bytes(5 * MIB))
    with pytest.raises(Refused) as caught:
        finish(steps)
    assert caught.value.problem.status == 412
    assert sum(path.stat().st_size for path in target.iterdir()) <= 3 * MIB


async def test_quota(tmp_path: Path) -> None:
    folders = open_folders(tmp_path / "vfolders", max_bytes=MIB)
    source = folders.create(CreateVFolder(name="data", cloneable=True), USER)
    (folders.files_of(source) / "large").write_bytes(bytes(2 * MIB))
    with pytest.raises(Refused) as caught:
        await folders.clone(source, CLONE, USER)
    assert caught.value.problem.status == 412
    assert folders.index.ids() == {source.folder_id}
    folders.close()
