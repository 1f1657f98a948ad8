"""The files and virtual folders of a cell."""

from __future__ import annotations

from pathlib import Path

import trio

from backendai_trio import TrioVFolder, create_vfolder, list_vfolders

from .cells import Cell

__all__ = ["CONTENT", "files_of", "folder_name", "folders", "local_file", "names", "one_file_of"]

CONTENT = bytes(range(256)) * 600
_RENAME_SECONDS = 10.0


def local_file(cell: Cell) -> Path:
    path = cell.folder / "f.bin"
    path.write_bytes(CONTENT)
    return path


async def names(cell: Cell) -> list[str]:
    """The cell's virtual folders."""
    return [info.name for info in await list_vfolders(cell.direct) if f"{cell.name}-" in info.name]


def folder_name(cell: Cell) -> str:
    return f"f-{cell.name}-x"


async def folders(cell: Cell, *files: str) -> tuple[TrioVFolder, TrioVFolder]:
    """The cell's virtual folder, by the faulty way and by the direct one."""
    direct = await create_vfolder(cell.direct, folder_name(cell), cloneable=True)
    for name in files:
        path = cell.folder / "source" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(CONTENT)
    if files:
        base = cell.folder / "source"
        await direct.upload([base / name for name in files], base=base)
    return TrioVFolder(cell.client, direct.name), direct


async def files_of(folder: TrioVFolder) -> dict[str, int]:
    return {file.name: file.size for file in await folder.list_files()}


async def one_file_of(folder: TrioVFolder) -> str:
    """The name of the one file, with `CONTENT`. While a server renames a file, a list can show both
    names or none, and the client may have left."""
    with trio.fail_after(_RENAME_SECONDS):
        while True:
            there = await files_of(folder)
            if list(there.values()) == [len(CONTENT)]:
                return next(iter(there))
            await trio.sleep(0.01)
