"""The end of a virtual folder: on a gateway with a trash, as managers have from 24.03 on."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from backendai_trio import (
    Client,
    GatewayOptions,
    InvalidRequest,
    KernelSpec,
    NotFound,
    TrioVFolder,
    attach_kernel,
    create_vfolder,
    list_vfolders,
    open_client,
    open_gateway,
)
from backendai_trio.gateway import Gateway
from backendai_trio.vfolders import VFolderInfo
from backendai_trio.wire.http import Request
from backendai_trio.wire.versions import TRASH


@pytest.fixture(params=["", "24.03", "26.9"])
async def gateway(gateway_parent: Path, request: pytest.FixtureRequest) -> AsyncIterator[Gateway]:
    """One with a trash, as it is and as managers."""
    async with open_gateway(GatewayOptions(release=request.param)) as opened:
        opened.faults.trash = True
        yield opened


async def statuses(client: Client) -> list[tuple[str, str]]:
    return [(row.name, row.status) for row in await list_vfolders(client)]


async def test_delete_and_restore(client: Client, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("A")
    folder = await create_vfolder(client, "data")
    await folder.upload([tmp_path / "a.txt"], base=tmp_path)
    await folder.delete()
    assert await statuses(client) == [("data", "delete-pending")]
    with pytest.raises(NotFound):
        await folder.list_files()
    with pytest.raises(NotFound, match=r"there is no virtual folder 'data'"):
        await folder.delete()
    await folder.restore()
    assert [file.name for file in await folder.list_files()] == ["a.txt"]
    with pytest.raises(NotFound, match=r"the trash has no virtual folder 'data'"):
        await folder.restore()


async def test_name_in_the_trash(client: Client) -> None:
    folder = await create_vfolder(client, "data")
    await folder.delete()
    with pytest.raises(InvalidRequest, match=r"'data' in the trash.*vfolder purge"):
        await create_vfolder(client, "data")
    other = await create_vfolder(client, "other", cloneable=True)
    for taking in (other.rename, other.clone):
        with pytest.raises(InvalidRequest, match=r"'data' in the trash.*vfolder purge"):
            await taking("data")
    await other.delete(purge=True)
    await folder.purge()
    assert await statuses(client) == []
    await create_vfolder(client, "data")
    with pytest.raises(InvalidRequest, match=r"The name is taken|taken") as caught:
        await create_vfolder(client, "data")
    assert "trash" not in str(caught.value)


async def test_id_of_a_name_in_the_trash(client: Client) -> None:
    """Official clients ask for it before they restore or purge a folder."""
    folder = await create_vfolder(client, "data")
    shown = await folder.info()
    await folder.delete()
    request = Request.of_json("GET", "/folders/_/id", {"name": "data"})
    found = await client.call(request)
    assert json.loads(found.body) == {"id": shown.folder_id, "name": "data"}
    assert (await folder.info()).status == "delete-pending"
    await folder.purge()
    with pytest.raises(NotFound):
        await client.call(request)


async def test_delete_and_purge_at_once(client: Client) -> None:
    for _ in range(3):
        folder = await create_vfolder(client, "data")
        await folder.delete(purge=True)
    assert await statuses(client) == []


async def test_purge_where_there_is_no_trash(gateway_parent: Path) -> None:
    async with open_gateway() as gateway, open_client(gateway.config) as client:
        folder = await create_vfolder(client, "data")
        await folder.delete(purge=True)
        assert await statuses(client) == []


async def test_delete_waits_for_sessions_that_end(client: Client) -> None:
    folder, kernel = await _mounted(client)
    async with trio.open_nursery() as nursery:

        async def destroy() -> None:
            await trio.sleep(0.5)
            await kernel.destroy()

        nursery.start_soon(destroy)
        await folder.delete()
    assert await statuses(client) == [("data", "delete-pending")]


async def test_delete_of_a_folder_that_stays_mounted(client: Client) -> None:
    async with open_client(replace(client.config, grace_seconds=0.5)) as impatient:
        folder, kernel = await _mounted(impatient)
        with pytest.raises(InvalidRequest, match=r"'data' is mounted.*backend.ai ps"):
            await folder.delete()
        await kernel.destroy()
    assert await statuses(client) == [("data", "ready")]


async def _mounted(client: Client):  # type: ignore[no-untyped-def]
    """A folder, and a kernel that has it mounted, on what the client takes for a manager."""
    folder: TrioVFolder = await create_vfolder(client, "data")
    kernel = await attach_kernel(
        client, KernelSpec(runtime="python", mounts=("data",)), token="mounting"
    )
    client.hello = replace(client.hello, features=frozenset({TRASH}))
    return folder, kernel


@pytest.mark.parametrize(
    ("status", "usable", "in_trash", "keeps_name"),
    [
        ("ready", True, False, False),
        ("mounted", True, False, False),
        ("delete-pending", False, True, True),
        ("delete-ongoing", False, False, True),
        ("delete-error", False, True, True),
        ("delete-complete", False, False, False),
    ],
)
def test_statuses(status: str, usable: bool, in_trash: bool, keeps_name: bool) -> None:
    row = VFolderInfo(folder_id="1", name="data", status=status)
    assert (row.is_usable, row.is_in_trash, row.keeps_name) == (usable, in_trash, keeps_name)
