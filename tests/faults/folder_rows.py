"""Rows of calls about virtual folders."""

from __future__ import annotations

import io
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from backendai_trio import NotFound, TrioVFolder, create_vfolder, find_vfolder, list_vfolders
from backendai_trio.vfolders import list_folder_types, list_hosts

from .cells import Cell, World
from .contents import CONTENT, files_of, folder_name, folders, local_file, names, one_file_of
from .rows import answer_row, gateway_world, row

answer_row("vfolders.list_hosts", list_hosts)
answer_row("vfolders.list_folder_types", list_folder_types)


@row("create_vfolder")
async def creating_a_folder(cell: Cell) -> None:
    async with cell.armed():
        await create_vfolder(cell.client, folder_name(cell))
    if cell.succeeded:
        assert await names(cell) == [folder_name(cell)]


@row("find_vfolder")
async def finding_a_folder(cell: Cell) -> None:
    await folders(cell)
    async with cell.armed():
        found = await find_vfolder(cell.client, folder_name(cell))
    if cell.succeeded:
        assert found.name == folder_name(cell)


@row("list_vfolders")
async def listing_folders(cell: Cell) -> None:
    await folders(cell)
    async with cell.armed():
        found = await list_vfolders(cell.client)
    if cell.succeeded:
        assert folder_name(cell) in [info.name for info in found]


@row("TrioVFolder.info")
async def describing_a_folder(cell: Cell) -> None:
    folder, _ = await folders(cell)
    async with cell.armed():
        found = await folder.info()
    if cell.succeeded:
        assert found.name == folder_name(cell) and found.is_owner


@row("TrioVFolder.rename")
async def renaming_a_folder(cell: Cell) -> None:
    folder, _ = await folders(cell)
    after = f"{folder_name(cell)}-other"
    async with cell.armed():
        await folder.rename(after)
    there = await names(cell)
    if cell.succeeded:
        assert there == [after] and folder.name == after
    else:
        assert len(there) == 1


@row("TrioVFolder.delete")
async def deleting_a_folder(cell: Cell) -> None:
    folder, _ = await folders(cell)
    async with cell.armed():
        await folder.delete()
    if cell.succeeded:
        assert await names(cell) == []


@asynccontextmanager
async def trash_world(folder: Path) -> AsyncIterator[World]:
    """A gateway whose deleted folders go to a trash."""
    async with gateway_world()(folder) as world:
        world.more["gateway"].faults.trash = True
        yield world


@row("TrioVFolder.restore", world=trash_world)
async def restoring_a_folder(cell: Cell) -> None:
    folder, direct = await folders(cell)
    await direct.delete()
    async with cell.armed():
        await folder.restore()
    if cell.succeeded:
        assert (await direct.info()).name == folder_name(cell)


@row("TrioVFolder.purge", world=trash_world)
async def purging_a_folder(cell: Cell) -> None:
    folder, direct = await folders(cell)
    await direct.delete()
    async with cell.armed():
        await folder.purge()
    if cell.succeeded:
        try:
            await direct.restore()
        except NotFound:
            pass
        else:
            raise AssertionError("it is still in the trash")


@row("TrioVFolder.clone", unlimited="a copy takes as long as it takes")
async def cloning_a_folder(cell: Cell) -> None:
    folder, _ = await folders(cell, "f.bin")
    copy = f"{folder_name(cell)}-copy"
    async with cell.armed():
        await folder.clone(copy)
    if cell.succeeded:
        assert await files_of(TrioVFolder(cell.direct, copy)) == {"f.bin": len(CONTENT)}
    assert (await names(cell)).count(copy) <= 1


@row("TrioVFolder.update_options")
async def changing_options(cell: Cell) -> None:
    folder, direct = await folders(cell)
    async with cell.armed():
        await folder.update_options(permission="ro")
    if cell.succeeded:
        assert (await direct.info()).permission == "ro"


@row("TrioVFolder.list_files")
async def listing_a_folder(cell: Cell) -> None:
    folder, direct = await folders(cell, "f.bin")
    async with cell.armed():
        found = await folder.list_files()
    if cell.succeeded:
        assert found == await direct.list_files()


@row("TrioVFolder.mkdir")
async def making_a_folder_in_a_folder(cell: Cell) -> None:
    folder, direct = await folders(cell)
    async with cell.armed():
        await folder.mkdir("a/b")
    if cell.succeeded:
        assert [file.name for file in await direct.list_files("a")] == ["b"]


@row("TrioVFolder.move")
async def moving(cell: Cell) -> None:
    folder, direct = await folders(cell, "f.bin")
    async with cell.armed():
        await folder.move("f.bin", "g.bin")
    name = await one_file_of(direct)
    if cell.succeeded:
        assert name == "g.bin"


@row("TrioVFolder.rename_file")
async def renaming_a_file(cell: Cell) -> None:
    folder, direct = await folders(cell, "f.bin")
    async with cell.armed():
        await folder.rename_file("f.bin", "g.bin")
    name = await one_file_of(direct)
    if cell.succeeded:
        assert name == "g.bin"


@row("TrioVFolder.remove")
async def removing_from_a_folder(cell: Cell) -> None:
    folder, direct = await folders(cell, "f.bin", "g.bin")
    async with cell.armed():
        await folder.remove(["f.bin"])
    there = await files_of(direct)
    assert "g.bin" in there
    if cell.succeeded:
        assert list(there) == ["g.bin"]


@row("TrioVFolder.upload")
async def uploading_to_a_folder(cell: Cell) -> None:
    folder, direct = await folders(cell)
    path = local_file(cell)
    async with cell.armed():
        await folder.upload([path], base=cell.folder)
    if cell.succeeded:
        into = cell.folder / "back"
        into.mkdir()
        await direct.download(["f.bin"], into)
        assert (into / "f.bin").read_bytes() == CONTENT


@row("TrioVFolder.download")
async def downloading_from_a_folder(cell: Cell) -> None:
    folder, _ = await folders(cell, "f.bin")
    into = cell.folder / "into"
    into.mkdir()
    async with cell.armed():
        await folder.download(["f.bin"], into)
    assert (into / "f.bin").exists() or not cell.succeeded
    if (into / "f.bin").exists():
        assert (into / "f.bin").read_bytes() == CONTENT


@row("TrioVFolder.download_archive", unlimited="a server packs an archive before it answers")
async def downloading_an_archive(cell: Cell) -> None:
    folder, _ = await folders(cell, "f.bin", "g.bin")
    target = cell.folder / "all.zip"
    async with cell.armed():
        await folder.download_archive(["f.bin", "g.bin"], target)
    assert target.exists() or not cell.succeeded
    if target.exists():
        with zipfile.ZipFile(io.BytesIO(target.read_bytes())) as archive:
            assert archive.testzip() is None
            assert sorted(archive.namelist()) == ["f.bin", "g.bin"]
