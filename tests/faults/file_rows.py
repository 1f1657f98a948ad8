"""Rows of calls about files, in kernels and in virtual folders."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import trio

from backendai_trio import (
    GatewayOptions,
    NotFound,
    TrioVFolder,
    create_vfolder,
    find_vfolder,
    list_vfolders,
    open_client,
    open_gateway,
)
from backendai_trio.vfolders import (
    accept_invitation,
    decline_invitation,
    list_folder_types,
    list_hosts,
    list_invitations,
)

from .cells import Cell, World
from .rows import gateway_world, row

CONTENT = bytes(range(256)) * 600
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


def local_file(cell: Cell) -> Path:
    path = cell.folder / "f.bin"
    path.write_bytes(CONTENT)
    return path


# --- kernels -------------------------------------------------------------------------------------


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


# --- virtual folders -----------------------------------------------------------------------------


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
    there = await files_of(direct)
    assert list(there.values()) == [len(CONTENT)]
    if cell.succeeded:
        assert list(there) == ["g.bin"]


@row("TrioVFolder.rename_file")
async def renaming_a_file(cell: Cell) -> None:
    folder, direct = await folders(cell, "f.bin")
    async with cell.armed():
        await folder.rename_file("f.bin", "g.bin")
    there = await files_of(direct)
    assert list(there.values()) == [len(CONTENT)]
    if cell.succeeded:
        assert list(there) == ["g.bin"]


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


@row("vfolders.list_hosts")
async def hosts(cell: Cell) -> None:
    expected = await list_hosts(cell.direct)
    async with cell.armed():
        found = await list_hosts(cell.client)
    if cell.succeeded:
        assert found == expected


@row("vfolders.list_folder_types")
async def types(cell: Cell) -> None:
    expected = await list_folder_types(cell.direct)
    async with cell.armed():
        found = await list_folder_types(cell.client)
    if cell.succeeded:
        assert found == expected


# --- two users -----------------------------------------------------------------------------------

FIRST, SECOND = "AKIAFIRSTFIRSTFIRST1", "AKIASECONDSECONDSEC2"


@asynccontextmanager
async def two_users(folder: Path) -> AsyncIterator[World]:
    """A gateway with two key pairs."""
    data = folder / "data"
    async with open_gateway(GatewayOptions(data=data, access_key=SECOND)) as gateway:
        other = gateway.config
    async with open_gateway(
        GatewayOptions(data=data, access_key=FIRST, max_vfolders=1000)
    ) as gateway:
        second = replace(other, endpoint=gateway.config.endpoint)
        async with open_client(second) as client:
            yield World(gateway.config, gateway.tokens, {"other": client})


def other_of(cell: Cell) -> TrioVFolder:
    """The cell's folder, as the other user sees it."""
    client = cell.world.more["other"]
    return TrioVFolder(client, folder_name(cell))  # type: ignore[arg-type]


async def asked(cell: Cell) -> list[str]:
    """The ids of invitations of the other user to the cell's folder."""
    found = await list_invitations(other_of(cell).client)
    return [entry.invitation_id for entry in found if entry.folder_name == folder_name(cell)]


async def may_use(cell: Cell) -> bool:
    try:
        await other_of(cell).info()
    except NotFound:
        return False
    return True


@row("TrioVFolder.invite", world=two_users)
async def inviting(cell: Cell) -> None:
    folder, _ = await folders(cell)
    async with cell.armed():
        invited = await folder.invite([SECOND])
    if cell.succeeded:
        assert len(await asked(cell)) == 1 and invited in ([SECOND], [])
    else:
        assert len(await asked(cell)) <= 1


@row("TrioVFolder.share", world=two_users)
async def sharing(cell: Cell) -> None:
    folder, _ = await folders(cell)
    async with cell.armed():
        await folder.share([SECOND], permission="rw")
    if cell.succeeded:
        assert await may_use(cell)


@row("TrioVFolder.unshare", world=two_users)
async def unsharing(cell: Cell) -> None:
    folder, direct = await folders(cell)
    await direct.share([SECOND])
    async with cell.armed():
        await folder.unshare([SECOND])
    if cell.succeeded:
        assert not await may_use(cell)


async def invited(cell: Cell) -> str:
    """Invite the user of the faulty way to a folder of the other one; returns the id."""
    other = await create_vfolder(cell.world.more["other"], folder_name(cell))  # type: ignore[arg-type]
    await other.invite([FIRST])
    for entry in await list_invitations(cell.direct):
        if entry.folder_name == folder_name(cell):
            return entry.invitation_id
    raise AssertionError("there is no invitation")


@row("TrioVFolder.leave", world=two_users)
async def leaving(cell: Cell) -> None:
    await accept_invitation(cell.direct, await invited(cell))
    async with cell.armed():
        await TrioVFolder(cell.client, folder_name(cell)).leave()
    if cell.succeeded:
        assert await names(cell) == []


@row("vfolders.list_invitations", world=two_users)
async def invitations(cell: Cell) -> None:
    await invited(cell)
    async with cell.armed():
        found = await list_invitations(cell.client)
    if cell.succeeded:
        assert folder_name(cell) in [entry.folder_name for entry in found]


@row("vfolders.accept_invitation", world=two_users)
async def accepting(cell: Cell) -> None:
    invitation = await invited(cell)
    async with cell.armed():
        await accept_invitation(cell.client, invitation)
    if cell.succeeded:
        assert await names(cell) == [folder_name(cell)]


@row("vfolders.decline_invitation", world=two_users)
async def declining(cell: Cell) -> None:
    invitation = await invited(cell)
    async with cell.armed():
        await decline_invitation(cell.client, invitation)
    if cell.succeeded:
        found = await list_invitations(cell.direct)
        assert folder_name(cell) not in [entry.folder_name for entry in found]
