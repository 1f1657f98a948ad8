"""Virtual folders, from create to purge, and in sessions."""

from __future__ import annotations

import gzip
import hashlib
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from zipfile import ZipFile

import pytest
import trio

from backendai_trio import (
    BackendError,
    Client,
    InvalidRequest,
    LocalProtocolError,
    NotFound,
    TrioVFolder,
    create_vfolder,
    find_vfolder,
    list_vfolders,
    open_client,
    open_kernel,
)
from backendai_trio.vfolders import (
    accept_invitation,
    decline_invitation,
    list_folder_types,
    list_hosts,
    list_invitations,
)

from .runs import new_folder_name, open_folder, run
from .targets import Target

# Managers of 23.09 and later keep deleted folders.


@pytest.fixture
async def folder(client: Client) -> AsyncIterator[TrioVFolder]:
    """A folder of an ordinary user, deleted at the end."""
    async with open_folder(client) as made:
        yield made


async def _names(client: Client) -> list[str]:
    return [info.name for info in await list_vfolders(client) if info.is_usable]


async def test_life_of_a_folder(client: Client) -> None:
    name = new_folder_name()
    folder = await create_vfolder(client, name)
    assert name in await _names(client)
    info = await (await find_vfolder(client, name)).info()
    assert info.name == name and info.folder_id
    await folder.delete()
    assert name not in await _names(client)


async def test_deleted_folder_leaves_its_name(client: Client) -> None:
    """Delete means delete: one of the same name can be made, and it is empty."""
    name = new_folder_name()
    for _ in range(2):
        folder = await create_vfolder(client, name)
        await folder.delete(purge=True)
        with pytest.raises(NotFound):
            await find_vfolder(client, name)


async def test_folder_of_each_kind_of_user(target: Target, tmp_path: Path) -> None:
    """Made, filled, listed and deleted by administrators as by a user; nobody's is another's."""
    (tmp_path / "a.txt").write_text("A")
    for account in target.accounts:
        async with open_client(target.config(account)) as client, open_folder(client) as folder:
            await folder.upload([tmp_path / "a.txt"], base=tmp_path)
            assert folder.name in await _names(client)
            if target.can("folder-files"):
                assert [file.name for file in await folder.list_files()] == ["a.txt"]
            assert (await find_vfolder(client, folder.name)).name == folder.name


@pytest.mark.needs("folder-trash")
async def test_folder_in_the_trash(client: Client, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("A")
    name = new_folder_name()
    folder = await create_vfolder(client, name)
    await folder.upload([tmp_path / "a.txt"], base=tmp_path)
    await folder.delete()
    (info,) = [row for row in await list_vfolders(client) if row.name == name]
    assert info.is_in_trash and info.keeps_name
    with pytest.raises(InvalidRequest, match="in the trash"):
        await create_vfolder(client, name)
    await folder.restore()
    assert [file.name for file in await folder.list_files()] == ["a.txt"]
    await folder.delete()
    await folder.purge()
    assert name not in [row.name for row in await list_vfolders(client) if row.keeps_name]


@pytest.mark.needs("folder-trash")
async def test_folder_of_a_project(target: Target) -> None:
    """Named by its name, where managers take only ids; and deleted, though no list has it."""
    name = new_folder_name()
    async with open_client(target.config("admin")) as client:
        with pytest.raises(NotFound, match="no project nowhere"):
            await create_vfolder(client, name, group="nowhere")
        folder = await create_vfolder(client, name, group="default")
        info = await folder.info()
        assert (info.name, info.ownership) == (name, "group") and info.project
        async with open_folder(client) as own:
            listed = [row.name for row in await list_vfolders(client, project="default")]
            assert name in listed and own.name not in listed
        await folder.delete(purge=True)
        with pytest.raises(NotFound):
            await folder.info()


async def test_name_that_is_taken(client: Client, folder: TrioVFolder) -> None:
    with pytest.raises(InvalidRequest):
        await create_vfolder(client, folder.name)


async def test_folder_that_is_not_there(client: Client) -> None:
    with pytest.raises(NotFound):
        await find_vfolder(client, new_folder_name())


@pytest.mark.needs("folder-files")
async def test_files_of_a_folder(folder: TrioVFolder, tmp_path: Path) -> None:
    (tmp_path / "up/deep").mkdir(parents=True)
    (tmp_path / "up/a.txt").write_text("A")
    (tmp_path / "up/deep/b.txt").write_text("BB")
    await folder.upload([tmp_path / "up"], base=tmp_path)
    listed = {file.name: file for file in await folder.list_files("up")}
    assert sorted(listed) == ["a.txt", "deep"]
    assert listed["a.txt"].size == 1 and not listed["a.txt"].is_folder
    assert listed["deep"].is_folder
    await folder.mkdir("up/new")
    await folder.remove(["up/a.txt"])
    assert sorted(file.name for file in await folder.list_files("up")) == ["deep", "new"]
    await folder.remove(["up"], recursive=True)
    assert [file.name for file in await folder.list_files() if file.name == "up"] == []


@pytest.mark.parametrize("size", [0, 1, 1024 * 1024 - 1])
async def test_upload_of_each_size(
    target: Target, client: Client, folder: TrioVFolder, tmp_path: Path, size: int
) -> None:
    await _there_and_back(target, client, folder, tmp_path, size)


@pytest.mark.needs("folder-downloads")
@pytest.mark.parametrize("size", [1024 * 1024 + 1, 20_000_000])
async def test_large_files(
    target: Target, client: Client, folder: TrioVFolder, tmp_path: Path, size: int
) -> None:
    await _there_and_back(target, client, folder, tmp_path, size)


@pytest.mark.needs("folder-files")
async def test_many_large_files_at_once(
    client: Client, folder: TrioVFolder, tmp_path: Path
) -> None:
    """As many as a storage proxy has threads."""
    piece = random.Random(0).randbytes(4 << 20)
    paths = [tmp_path / f"{number}.bin" for number in range(40)]
    for path in paths:
        path.write_bytes(piece)
    await folder.upload(paths, base=tmp_path)
    found = {file.name: file.size for file in await folder.list_files()}
    assert found == {path.name: len(piece) for path in paths}
    # And it goes on to serve others.
    async with open_folder(client) as other:
        assert await other.list_files() == []


async def _there_and_back(
    target: Target, client: Client, folder: TrioVFolder, tmp_path: Path, size: int
) -> None:
    """Upload a file, and see it: by a download, or where there is none in a session."""
    data = random.Random(size).randbytes(size)
    (tmp_path / "a.bin").write_bytes(data)
    await folder.upload([tmp_path / "a.bin"], base=tmp_path)
    if target.can("folder-downloads"):
        await folder.download(["a.bin"], tmp_path / "got")
        assert (tmp_path / "got/a.bin").read_bytes() == data
        return
    async with open_kernel(client, replace(target.python, mounts=(folder.name,))) as kernel:
        code = (
            "import hashlib\n"
            f"print(hashlib.sha256(open('{folder.name}/a.bin', 'rb').read()).hexdigest())"
        )
        assert (await run(kernel, code)).stdout == hashlib.sha256(data).hexdigest() + "\n"


@pytest.mark.needs("folder-downloads")
async def test_compressed_files(folder: TrioVFolder, tmp_path: Path) -> None:
    """They stay as they are, and are not sent in the place of others that lie beside them."""
    files = {"a.txt": b"not the same", "a.txt.gz": gzip.compress(b"content " * 5000)}
    files |= {"a.tgz": files["a.txt.gz"], "a.bz2": b"no bzip2", "a.gz": b"no gzip"}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    await folder.upload([tmp_path / name for name in files], base=tmp_path)
    await folder.download(list(files), tmp_path / "got")
    assert {name: (tmp_path / "got" / name).read_bytes() for name in files} == files


@pytest.mark.needs("folder-downloads")
async def test_a_hundred_files(folder: TrioVFolder, tmp_path: Path) -> None:
    for number in range(100):
        path = tmp_path / "up" / str(number % 9) / f"{number}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes([number]) * number)
    await folder.upload([tmp_path / "up"], base=tmp_path)
    await folder.download(["up"], tmp_path / "got")
    for number in range(100):
        got = tmp_path / "got/up" / str(number % 9) / f"{number}.bin"
        assert got.read_bytes() == bytes([number]) * number


@pytest.mark.needs("folder-moves")
async def test_file_is_moved(folder: TrioVFolder, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("A")
    await folder.upload([tmp_path / "a.txt"], base=tmp_path)
    await folder.mkdir("d")
    await folder.move("a.txt", "d/b.txt")
    assert [file.name for file in await folder.list_files("d")] == ["b.txt"]


@pytest.mark.needs("folder-rename")
async def test_folder_is_renamed(client: Client, folder: TrioVFolder) -> None:
    old, new = folder.name, new_folder_name()
    await folder.rename(new)
    assert folder.name == new
    names = await _names(client)
    assert new in names and old not in names


@pytest.mark.needs("folder-options")
async def test_options(folder: TrioVFolder) -> None:
    before = await folder.info()
    await folder.update_options(cloneable=True)
    assert (await folder.info()).cloneable
    await folder.update_options(cloneable=False)
    after = await folder.info()
    assert not after.cloneable and after.folder_id == before.folder_id


@pytest.mark.needs("folder-options", "folder-clone", "folder-downloads")
async def test_clone(client: Client, folder: TrioVFolder, tmp_path: Path) -> None:
    """All files are in it when it is said to be done, and it is another folder."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.bin").write_bytes(random.randbytes(5_000_000))
    await folder.upload([tmp_path / "sub"], base=tmp_path)
    with pytest.raises(LocalProtocolError, match="may not be cloned"):
        await folder.clone(new_folder_name())
    await folder.update_options(cloneable=True)
    copy = TrioVFolder(client, await folder.clone(new_folder_name()))
    try:
        assert (await copy.info()).folder_id != (await folder.info()).folder_id
        await copy.download(["sub"], tmp_path / "got")
        copied = tmp_path / "got" / "sub" / "a.bin"
        assert copied.read_bytes() == (tmp_path / "sub" / "a.bin").read_bytes()
        await copy.remove(["sub"], recursive=True)
        assert [file.name for file in await folder.list_files()] == ["sub"]
    finally:
        with trio.move_on_after(60, shield=True):
            await copy.delete(purge=client.hello.has_trash)


@pytest.mark.needs("folder-archives")
async def test_archive(folder: TrioVFolder, tmp_path: Path) -> None:
    content = {f"sub/{number}.bin": random.randbytes(10_000) for number in range(30)}
    (tmp_path / "sub").mkdir()
    for name, data in content.items():
        (tmp_path / name).write_bytes(data)
    await folder.upload([tmp_path / "sub"], base=tmp_path)
    await folder.download_archive(["sub"], tmp_path / "all.zip")
    with ZipFile(tmp_path / "all.zip") as archive:
        found = {name: archive.read(name) for name in archive.namelist() if name[-1] != "/"}
    assert found == content
    with pytest.raises(BackendError):
        await folder.download_archive(["nonesuch"], tmp_path / "none.zip")
    assert not (tmp_path / "none.zip").exists()


@pytest.mark.needs("folder-rename-file", "folder-files")
async def test_file_is_renamed(folder: TrioVFolder, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("A")
    await folder.upload([tmp_path / "a.txt"], base=tmp_path)
    await folder.rename_file("a.txt", "b.txt")
    assert [file.name for file in await folder.list_files()] == ["b.txt"]


@pytest.mark.needs("folder-hosts")
async def test_hosts(client: Client, folder: TrioVFolder) -> None:
    hosts = await list_hosts(client)
    assert hosts.allowed
    host = (await folder.info()).host
    assert not host or host in hosts.allowed
    assert "user" in await list_folder_types(client)


@pytest.mark.needs("folder-project-lists")
async def test_list_of_a_project(client: Client) -> None:
    """By name; an unknown project is said to be one."""
    assert all(row.project for row in await list_vfolders(client, project="default"))
    assert (await list_hosts(client, project="default")).allowed
    with pytest.raises(NotFound, match="no project nonesuch"):
        await list_vfolders(client, project="nonesuch")


@pytest.mark.needs("folder-invitations", "other-users")
async def test_folder_is_shared(client: Client, target: Target, folder: TrioVFolder) -> None:
    other = "user2@lablup.com"
    async with open_client(target.config("user2")) as guest:
        assert await folder.invite([other], permission="ro") == [other]
        invitations = await list_invitations(guest)
        mine = [i for i in invitations if i.folder_name in (folder.name, "")]
        assert len(mine) == 1
        await decline_invitation(guest, mine[0].invitation_id)
        await folder.invite([other], permission="ro")
        for invitation in await list_invitations(guest):
            await accept_invitation(guest, invitation.invitation_id)
        shared = await find_vfolder(guest, folder.name)
        assert (await shared.info()).permission == "ro"
        if target.can("folder-leave"):
            await shared.leave()
            assert folder.name not in await _names(guest)


@pytest.mark.needs("sessions")
async def test_folder_in_a_session(
    client: Client, target: Target, folder: TrioVFolder, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("from outside")
    await folder.upload([tmp_path / "a.txt"], base=tmp_path)
    spec = replace(target.python, mounts=(folder.name,))
    async with open_kernel(client, spec) as kernel:
        code = f"print(open('{folder.name}/a.txt').read())"
        assert (await run(kernel, code)).stdout == "from outside\n"
        await run(kernel, f"open('{folder.name}/b.txt', 'w').write('from inside')")
        if target.can("restart"):
            await kernel.restart()
            if target.can("folder-remount"):
                assert (await run(kernel, code)).stdout == "from outside\n"
    async with open_kernel(client, spec) as kernel:
        code = f"print(open('{folder.name}/b.txt').read())"
        assert (await run(kernel, code)).stdout == "from inside\n"


@pytest.mark.needs("sessions")
async def test_mount_that_is_not_there(client: Client, target: Target) -> None:
    spec = replace(target.python, mounts=(new_folder_name(),))
    with pytest.raises((NotFound, InvalidRequest, LocalProtocolError)):
        async with open_kernel(client, spec):
            pass


async def test_name_that_cannot_be(client: Client) -> None:
    with pytest.raises(BackendError):
        await create_vfolder(client, "no/slash")
