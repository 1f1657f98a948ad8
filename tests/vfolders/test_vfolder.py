"""Virtual folders: their life, their names and the trash, in every era, on the real gateway."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from backendai_trio import (
    Client,
    InvalidRequest,
    LocalProtocolError,
    NotFound,
    QuotaExceeded,
    TrioVFolder,
    create_vfolder,
    list_vfolders,
    query,
)
from backendai_trio.files import plan_uploads
from backendai_trio.gateway.storage.index import FolderIndex
from backendai_trio.wire.http import Request
from backendai_trio.wire.versions import SEED, SESSION_5, SESSION_6, TRANSITION, Era

from .folders import files_in, opened, tree


@pytest.mark.parametrize("era", [SEED, TRANSITION, SESSION_5, SESSION_6], ids=lambda e: e.name)
@pytest.mark.usefixtures("gateway_parent")
async def test_create_list_info_delete(era: Era) -> None:
    async with opened(era) as (_, client):
        assert client.era.folder_transfer == era.folder_transfer
        assert await list_vfolders(client) == []
        folder = await create_vfolder(client, "data")
        (row,) = await list_vfolders(client)
        info = await folder.info()
        assert (row.name, row.folder_id) == ("data", info.folder_id)
        assert info.num_files == 0 and info.is_owner
        with pytest.raises(InvalidRequest, match="name is taken"):
            await create_vfolder(client, "data")
        await folder.delete()
        assert await list_vfolders(client) == []
        with pytest.raises(NotFound, match="data"):
            await folder.info()


@pytest.mark.parametrize("name", ["", "..", "a/b", "a\r\nb", 'a"b', "a\0b", "x" * 300, ".", "_"])
@pytest.mark.usefixtures("gateway_parent")
async def test_names_of_folders(client: Client, name: str) -> None:
    with pytest.raises(LocalProtocolError):
        await create_vfolder(client, name)
    # And from a client that does not look.
    body = json.dumps({"name": name}).encode()
    with pytest.raises(InvalidRequest):
        await client.call(Request("POST", "/folders", (), body, "application/json"))
    assert await list_vfolders(client) == []


async def test_too_many_folders() -> None:
    async with opened(max_vfolders=2) as (_, client):
        await create_vfolder(client, "a")
        await create_vfolder(client, "b")
        with pytest.raises(QuotaExceeded, match="2; delete one first"):
            await create_vfolder(client, "c")


async def test_rename(client: Client) -> None:
    folder = await create_vfolder(client, "old")
    await create_vfolder(client, "taken")
    with pytest.raises(InvalidRequest, match="taken"):
        await folder.rename("taken")
    with pytest.raises(InvalidRequest, match="cannot name"):
        await folder.rename("../x")
    await folder.rename("new")
    assert [item.name for item in await list_vfolders(client)] == ["new", "taken"]
    assert folder.name == "new"


async def test_folders_in_queries(client: Client) -> None:
    folder = await create_vfolder(client, "data")
    found = await query(
        client, "{ vfolder_list(limit: 9, offset: 0) { items { name num_files } total_count } }"
    )
    assert found["vfolder_list"] == {"items": [{"name": "data", "num_files": 0}], "total_count": 1}
    assert (await query(client, "{ vfolders { name max_size } }"))["vfolders"][0]["name"] == "data"
    await folder.delete()


async def test_folders_outlive_the_gateway(data: Path, local: Path) -> None:
    async with opened(data=data) as (_, client):
        folder = await create_vfolder(client, "data")
        await folder.upload(plan_uploads([local / "a.txt"], base=local))
    async with opened(data=data) as (_, client):
        (info,) = await list_vfolders(client)
        assert info.name == "data"
        assert [file.name for file in await TrioVFolder(client, "data").list_files()] == ["a.txt"]
    assert (data / "vfolders").stat().st_mode & 0o777 == 0o700
    assert (data / "vfolders" / "index.sqlite3").stat().st_mode & 0o777 == 0o600


async def test_without_a_data_folder_nothing_is_left(
    gateway_parent: Path, local: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    async with opened() as (_, client):
        folder = await create_vfolder(client, "data")
        await folder.upload(plan_uploads([local / "a.txt"], base=local))
    assert tree(gateway_parent) == {} and not (tmp_path / "home").exists()


async def test_what_deleted_folders_left_is_removed(data: Path) -> None:
    """By a gateway that was killed while it deleted one."""
    async with opened(data=data) as (_, client):
        await create_vfolder(client, "left")
        left = files_in(data).parent
        await create_vfolder(client, "data")
    with closing(FolderIndex(data / "vfolders" / "index.sqlite3")) as index:
        index.disown(left.name)
    with closing(sqlite3.connect(data / "vfolders" / "index.sqlite3")) as database:
        database.execute("UPDATE vfolders SET created_at='2026-01-01' WHERE owner=''")
        database.commit()
    async with opened(data=data) as (_, client):
        await list_vfolders(client)
        while left.exists():  # noqa: ASYNC110 (a thread of the gateway removes it)
            await trio.sleep(0.01)
        assert files_in(data).exists()


async def test_names_on_managers_with_a_trash(data: Path) -> None:
    async with opened(SESSION_6, data=data) as (_, client):
        folder = await create_vfolder(client, "data")
        for call in (folder.restore(), folder.purge()):
            with pytest.raises(
                LocalProtocolError, match=r"no trash \(managers have that from 24\.03 on"
            ):
                await call
        client.hello = replace(client.hello, manager="24.09.6")
        for call in (folder.restore(), folder.purge()):
            with pytest.raises(NotFound, match="the trash has no virtual folder 'data'"):
                await call
        await folder.delete()  # by id
        assert await list_vfolders(client) == []
        with pytest.raises(NotFound, match="there is no virtual folder 'data'"):
            await folder.delete()
