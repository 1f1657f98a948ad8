"""Rows of calls about files in kernels."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator

import trio

from .cells import Cell
from .contents import CONTENT, local_file
from .rows import row

DIGEST = hashlib.sha256(CONTENT).hexdigest()
WORK = "a server may work for long on files before it answers"


async def digest(cell: Cell, name: str) -> str:
    """The SHA-256 digest of a file in the kernel; empty if there is none."""
    code = (
        "import hashlib, pathlib\n"
        f"p = pathlib.Path({name!r})\n"
        "print(hashlib.sha256(p.read_bytes()).hexdigest() if p.is_file() else '')"
    )
    return (await cell.printed(code)).strip()


async def write(cell: Cell, name: str = "f.bin") -> None:
    """Write `CONTENT` to a file in the kernel."""
    await cell.printed(f"open({name!r}, 'wb').write(bytes(range(256)) * 600) and None")


@row("TrioKernel.upload", kernel=True, unlimited=WORK)
async def uploading(cell: Cell) -> None:
    path = local_file(cell)
    (cell.folder / "g.bin").write_bytes(b"g")
    async with cell.armed():
        await cell.kernel.upload([path, cell.folder / "g.bin"], base=cell.folder)
    if cell.succeeded:
        assert await digest(cell, "f.bin") == DIGEST
        assert await digest(cell, "g.bin") == hashlib.sha256(b"g").hexdigest()


@row("TrioKernel.upload_stream", kernel=True, unlimited=WORK)
async def uploading_a_stream(cell: Cell) -> None:
    async def produced() -> AsyncIterator[bytes]:
        for start in range(0, len(CONTENT), 10_000):
            await trio.lowlevel.checkpoint()
            yield CONTENT[start : start + 10_000]

    async with cell.armed():
        await cell.kernel.upload_stream("f.bin", produced())
    if cell.succeeded:
        assert await digest(cell, "f.bin") == DIGEST


@row("TrioKernel.download", kernel=True)
async def downloading(cell: Cell) -> None:
    await write(cell)
    into = cell.folder / "into"
    into.mkdir()
    async with cell.armed():
        await cell.kernel.download(["f.bin"], into)
    if cell.succeeded:
        assert (into / "f.bin").read_bytes() == CONTENT
    assert [path.name for path in into.rglob("*") if path.is_file()] in ([], ["f.bin"])
    if (into / "f.bin").exists():
        assert (into / "f.bin").read_bytes() == CONTENT


@row("TrioKernel.download_as", kernel=True)
async def downloading_as(cell: Cell) -> None:
    await write(cell)
    target = cell.folder / "mine"
    async with cell.armed():
        await cell.kernel.download_as("f.bin", target)
    assert target.exists() or not cell.succeeded
    if target.exists():
        assert target.read_bytes() == CONTENT
    assert {path.name for path in cell.folder.iterdir()} <= {"mine"}


@row("TrioKernel.open_download", "DownloadStream.__anext__", kernel=True)
async def download_stream(cell: Cell) -> None:
    await write(cell)
    data = b""
    async with cell.armed(), cell.kernel.open_download("f.bin") as stream:
        async for chunk in stream:
            data += chunk
    if cell.succeeded:
        assert data == CONTENT


@row("TrioKernel.list_files", kernel=True)
async def listing(cell: Cell) -> None:
    await write(cell)
    async with cell.armed():
        found = await cell.kernel.list_files()
    if cell.succeeded:
        assert [(file.name, file.size) for file in found.files if file.name == "f.bin"] == [
            ("f.bin", len(CONTENT))
        ]


@row("TrioKernel.list_digests", kernel=True, unlimited=WORK)
async def digests(cell: Cell) -> None:
    await write(cell)
    async with cell.armed():
        found = await cell.kernel.list_digests()
    if cell.succeeded:
        assert [(file.name, file.sha256) for file in found if "f.bin" in file.name] == [
            ("f.bin", DIGEST)
        ]


@row("TrioKernel.mkdir", kernel=True)
async def making_a_folder(cell: Cell) -> None:
    async with cell.armed():
        await cell.kernel.mkdir("a/b")
    if cell.succeeded:
        assert await cell.printed("import os\nprint(os.path.isdir('a/b'))") == "True\n"


@row("TrioKernel.remove", kernel=True)
async def removing(cell: Cell) -> None:
    await write(cell)
    async with cell.armed():
        await cell.kernel.remove(["f.bin"])
    if cell.succeeded:
        assert await digest(cell, "f.bin") == ""
