"""Options of folders, clones, storage hosts, archives and names of files; and who refuses them."""

from __future__ import annotations

import random
import re
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
import trio
import trio.testing

from backendai_trio import (
    ApiError,
    Client,
    DownloadError,
    GatewayOptions,
    InvalidRequest,
    LocalProtocolError,
    NotFound,
    ServerError,
    TrioVFolder,
    create_vfolder,
    list_vfolders,
    open_client,
    open_gateway,
)
from backendai_trio.files import Progress
from backendai_trio.gateway import RELEASES, Gateway
from backendai_trio.transport.background_tasks import wait_for_task
from backendai_trio.vfolders import (
    StorageHosts,
    accept_invitation,
    decline_invitation,
    list_folder_types,
    list_hosts,
    list_invitations,
)
from backendai_trio.vfolders.archive import check_archive
from backendai_trio.wire.background_tasks import task_events_request
from backendai_trio.wire.http import JSON, Request

from ..proxies import through_proxy
from .folders import opened, tree

PROXY = ["", *(name for name in RELEASES if RELEASES[name].era.folder_transfer == "proxy")]
"""The gateway as it is, and releases with storage proxies."""


@asynccontextmanager
async def client_of(release: str) -> AsyncIterator[Client]:
    async with (
        open_gateway(GatewayOptions(release=release)) as gateway,
        open_client(gateway.config) as client,
    ):
        yield client


def folders_below(parent: Path) -> set[Path]:
    """Where the gateway there keeps the files of each folder."""
    return set(parent.glob("backendai-gateway-*/vfolders/*/files"))


# -- options and clones ---------------------------------------------------------------------------


@pytest.mark.parametrize("release", PROXY)
async def test_options_and_clone(release: str, local: Path, gateway_parent: Path) -> None:
    async with client_of(release) as client:
        folder = await create_vfolder(client, "data", usage_mode="data")
        await folder.upload([local], base=local)
        with pytest.raises(LocalProtocolError, match="may not be cloned"):
            await folder.clone("data-2")
        await folder.update_options(cloneable=True)
        assert (await folder.info()).cloneable and (await folder.info()).permission == "rw"
        await folder.update_options(permission="ro")
        assert (await folder.info()).cloneable and (await folder.info()).permission == "ro"
        assert await folder.clone("data-2", permission="wd") == "data-2"
        copy = TrioVFolder(client, "data-2")
        info = await copy.info()
        assert (info.usage_mode, info.permission, info.cloneable) == ("data", "wd", False)
        await copy.download(["."], local / "got")
        await folder.download(["."], local / "source")
        assert tree(local / "got") == tree(local / "source")
        assert len(tree(local / "got")) == 5
        # The copy is another folder.
        await copy.remove(["a.txt"])
        assert "a.txt" in [file.name for file in await folder.list_files()]
        with pytest.raises(InvalidRequest):
            await folder.clone("data-2")
        assert await folder.clone("data-3", usage_mode="general", cloneable=True) == "data-3"
        assert (await TrioVFolder(client, "data-3").info()).cloneable
        with pytest.raises(ApiError):
            await folder.clone("data-4", host="nonesuch")
        with pytest.raises(LocalProtocolError, match="cannot name"):
            await folder.clone("a/b")
        assert len(await list_vfolders(client)) == 3


async def test_no_option(client: Client) -> None:
    folder = await create_vfolder(client, "data")
    with pytest.raises(LocalProtocolError, match="name one"):
        await folder.update_options()
    for call in (folder.update_options, folder.clone):
        with pytest.raises(NotFound):
            arguments = {"cloneable": True} | ({"name": "x"} if call == folder.clone else {})
            await getattr(TrioVFolder(client, "nonesuch"), call.__name__)(**arguments)


async def test_clone_that_does_not_fit(gateway_parent: Path, local: Path) -> None:
    """Nothing is left of it, not even its name."""
    async with opened(max_vfolder_bytes=4_000_000) as (_, client):
        folder = await create_vfolder(client, "data", cloneable=True)
        await folder.upload([local], base=local)
        (files,) = folders_below(gateway_parent)
        (files / "written by a kernel").write_bytes(b"x" * 2_000_000)
        with pytest.raises(ApiError, match="quota"):
            await folder.clone("data-2")
        assert [row.name for row in await list_vfolders(client)] == ["data"]
        assert folders_below(gateway_parent) == {files}


async def test_clone_follows_no_links(gateway_parent: Path, local: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("of the machine")
    async with opened() as (_, client):
        folder = await create_vfolder(client, "data", cloneable=True)
        await folder.upload([local], base=local)
        (files,) = folders_below(gateway_parent)
        (files / "link").symlink_to(secret)
        (files / "all").symlink_to(tmp_path)
        (files / "run.sh").write_text("#!/bin/sh\n")
        (files / "run.sh").chmod(0o750)
        await folder.clone("data-2")
        (copy,) = folders_below(gateway_parent) - {files}
        assert (copy / "link").is_symlink() and (copy / "all").is_symlink()
        assert (copy / "run.sh").stat().st_mode & 0o777 == 0o750


async def test_background_task(client: Client) -> None:
    """What the gateway says of a clone's task is what managers say of one that has ended."""
    await create_vfolder(client, "data", cloneable=True)
    body = b'{"target_name":"data-2","target_host":"local"}'
    path = client.era.folder_path("data", "clone")
    reply = await client.call(Request("POST", path, (), body, JSON))
    task_id = reply.body.decode().partition('"bgtask_id":"')[2].partition('"')[0]
    asked = 0

    async def is_done() -> bool:
        nonlocal asked
        asked += 1
        await trio.lowlevel.checkpoint()
        return asked == 2

    await wait_for_task(client, task_id, is_done=is_done)
    assert asked == 2
    # An unknown task is waited for with polls.
    asked = 0
    await wait_for_task(client, "nonesuch", is_done=is_done)
    assert asked == 2
    with pytest.raises(NotFound):
        await client.call(task_events_request(client.era, "nonesuch"))


async def test_task_that_fails(gateway_parent: Path) -> None:
    async with opened() as (gateway, client):
        await create_vfolder(client, "data", cloneable=True)
        gateway.faults.clone_fails = True
        with pytest.raises(ServerError, match="no space left"):
            await TrioVFolder(client, "data").clone("data-2")


# -- hosts and projects ---------------------------------------------------------------------------


async def test_hosts(client: Client) -> None:
    assert await list_hosts(client) == StorageHosts("local", ("local",))
    assert await list_folder_types(client) == ("user",)


async def test_projects(client: Client) -> None:
    """A gateway has none."""
    for call in (list_vfolders, list_hosts):
        with pytest.raises(ApiError):
            await call(client, project="nonesuch")
    # The answer to a request for a project's folders has the user's own ones, too.
    await create_vfolder(client, "data")
    assert await list_vfolders(client, project=str(uuid4())) == []


# -- files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("release", ["", "26.9"])
async def test_archive(release: str, local: Path, gateway_parent: Path) -> None:
    async with client_of(release) as client:
        folder = await create_vfolder(client, "data")
        await folder.upload([local], base=local)
        await folder.download_archive(["."], local / "all.zip")
        with zipfile.ZipFile(local / "all.zip") as archive:
            assert archive.testzip() is None
            archive.extractall(local / "all")
        await folder.download(["."], local / "got")
        assert tree(local / "all") == tree(local / "got")
        send, receive = trio.open_memory_channel[Progress](1000)
        await folder.download_archive(["sub", "a.txt"], local / "some.zip", progress=send)
        names = set(zipfile.ZipFile(local / "some.zip").namelist())
        assert {"a.txt", "sub/zwei ü.bin"} <= names and not any("none" in name for name in names)
        send.close()
        assert [progress async for progress in receive][-1].complete


async def test_archive_that_is_refused(client: Client, local: Path) -> None:
    folder = await create_vfolder(client, "data")
    await folder.upload([local], base=local)
    target = local / "x.zip"
    for paths in (["nonesuch"], ["a.txt", "../.."]):
        with pytest.raises(ApiError):
            await folder.download_archive(paths, target)
    with pytest.raises(LocalProtocolError, match="name what"):
        await folder.download_archive([], target)
    with pytest.raises(LocalProtocolError):
        await folder.download_archive("a.txt", target)
    assert sorted(tree(local)) == ["a.txt", "none", "sub", "sub/empty", "sub/zwei ü.bin"]
    target.write_text("mine")
    with pytest.raises(DownloadError):
        await folder.download_archive(["a.txt"], target)
    assert target.read_text() == "mine"
    await folder.download_archive(["a.txt"], target, overwrite=True)
    assert zipfile.is_zipfile(target)


async def test_archive_that_is_cut_short(client: Client, local: Path) -> None:
    folder = await create_vfolder(client, "data")
    await folder.upload([local], base=local)
    await folder.download_archive(["sub"], local / "x.zip")
    whole = (local / "x.zip").read_bytes()
    check_archive(local / "x.zip", "my.zip")
    for size in (0, 1000, len(whole) - 1):
        (local / "x.zip").write_bytes(whole[:size])
        with pytest.raises(DownloadError, match=r"my\.zip.*no complete ZIP archive"):
            check_archive(local / "x.zip", "my.zip")


async def test_archive_whose_server_falls_silent(gateway: Gateway, tmp_path: Path) -> None:
    """In the middle: what may take long is to find the files."""
    (tmp_path / "big").write_bytes(random.Random(0).randbytes(40_000_000))
    async with through_proxy(gateway) as (way, client):
        folder = await create_vfolder(client, "data")
        await folder.upload([tmp_path / "big"], base=tmp_path)
        # The gateway names itself as the storage proxy, by the address that it was asked at.
        hasty = replace(client.config, answer_seconds=2.0)
        send, receive = trio.open_memory_channel[Progress](0)
        async with open_client(hasty) as other, trio.open_nursery() as nursery:

            @nursery.start_soon
            async def freeze() -> None:
                await receive.receive()
                way.freeze()
                async for _ in receive:
                    pass

            with pytest.raises(DownloadError, match="stopped answering"):
                await TrioVFolder(other, "data").download_archive(
                    ["big"], tmp_path / "x.zip", progress=send
                )
            send.close()
    assert not (tmp_path / "x.zip").exists()


async def test_rename_file(client: Client, local: Path) -> None:
    folder = await create_vfolder(client, "data")
    await folder.upload([local], base=local)
    await folder.rename_file("sub/zwei ü.bin", "two")
    assert {file.name for file in await folder.list_files("sub")} == {"empty", "two"}
    with pytest.raises(LocalProtocolError, match="'move'"):
        await folder.rename_file("a.txt", "sub/a.txt")
    with pytest.raises(ApiError):
        await folder.rename_file("nonesuch", "x")


# -- releases -------------------------------------------------------------------------------------

Attempt = Callable[[Client, TrioVFolder, Path], Awaitable[object]]
ATTEMPTS: dict[str, tuple[str, Attempt]] = {
    "update-options": ("20.09", lambda _, folder, __: folder.update_options(cloneable=True)),
    "clone": ("20.09", lambda _, folder, __: folder.clone("data-2")),
    "archive": (
        "26.3",
        lambda _, folder, local: folder.download_archive(["."], local / "x.zip"),
    ),
    "rename-file": ("19.09", lambda _, folder, __: folder.rename_file("a.txt", "b.txt")),
    "move": ("22.03", lambda _, folder, __: folder.move("a.txt", "b.txt")),
    "list-files": ("1.4", lambda _, folder, __: folder.list_files()),
    "mkdir": ("1.4", lambda _, folder, __: folder.mkdir("d")),
    "remove": ("1.4", lambda _, folder, __: folder.remove(["a.txt"])),
    "download": ("1.4", lambda _, folder, local: folder.download(["a.txt"], local / "got")),
    "rename": ("19.03", lambda _, folder, __: folder.rename("data-2")),
    "restore": ("24.03", lambda _, folder, __: folder.restore()),
    "purge": ("24.03", lambda _, folder, __: folder.purge()),
    "invitations": ("1.4", lambda client, _, __: list_invitations(client)),
    "accept": ("1.4", lambda client, _, __: accept_invitation(client, "x")),
    "decline": ("1.4", lambda client, _, __: decline_invitation(client, "x")),
    "hosts": ("19.03", lambda client, _, __: list_hosts(client)),
    "types": ("19.09", lambda client, _, __: list_folder_types(client)),
    "project": ("20.09", lambda client, _, __: list_vfolders(client, project="p")),
}
IN_KERNELS = {"rename-file", "move", "list-files", "mkdir", "remove", "download"}
"""What programs in a kernel can do with a folder that is mounted there."""


@pytest.mark.parametrize("what", ATTEMPTS)
@pytest.mark.parametrize("release", ["1.3", "18.12", "19.09", "20.03", "25.12"])
async def test_what_releases_cannot_do(
    release: str, what: str, local: Path, gateway_parent: Path
) -> None:
    """It is refused before anything is sent that changes something, with the release that can."""
    since, attempt = ATTEMPTS[what]
    if tuple(map(int, release.split("."))) >= tuple(map(int, since.split("."))):
        return
    async with client_of(release) as client:
        folder = await create_vfolder(client, "data")
        with (
            trio.testing.assert_checkpoints(),
            pytest.raises(LocalProtocolError, match=rf"\b{re.escape(since)} on") as caught,
        ):
            await attempt(client, folder, local)
        assert ("mount 'data' in a kernel" in str(caught.value)) is (what in IN_KERNELS)
        assert [row.name for row in await list_vfolders(client)] == ["data"]
        assert not (local / "x.zip").exists()
