"""Several gateways on one data folder: that of `serve`, and those that commands bring along."""

from __future__ import annotations

from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import pytest
import trio

from backendai_trio import (
    Client,
    GatewayOptions,
    InvalidRequest,
    KernelSpec,
    TrioVFolder,
    attach_kernel,
    create_vfolder,
    list_vfolders,
    open_client,
    open_gateway,
)
from backendai_trio.files import plan_uploads
from backendai_trio.gateway.storage.folder_sweep import sweep
from backendai_trio.gateway.storage.vfolders import VFolders


async def two_gateways(stack: AsyncExitStack, data: Path) -> tuple[Client, Client]:
    """Clients of two gateways with the same data."""
    clients = []
    for _ in range(2):
        gateway = await stack.enter_async_context(open_gateway(GatewayOptions(data=data)))
        clients.append(await stack.enter_async_context(open_client(gateway.config)))
    first, second = clients
    assert first.config.secret_key == second.config.secret_key
    return first, second


async def test_a_folder_that_a_kernel_of_the_other_one_mounts(tmp_path: Path) -> None:
    """It is refused to delete it, as it is by the gateway that has the kernel."""
    async with AsyncExitStack() as stack:
        first, second = await two_gateways(stack, tmp_path / "data")
        await create_vfolder(first, "data")
        spec = KernelSpec(runtime="lua", mounts=("data",))
        kernel = await attach_kernel(first, spec, token="holder")
        for client in (first, second):
            with pytest.raises(InvalidRequest, match="is mounted"):
                await TrioVFolder(client, "data").delete()
        assert [row.name for row in await list_vfolders(second)] == ["data"]
        await kernel.destroy()
        await TrioVFolder(second, "data").delete()
        assert await list_vfolders(first) == []
        assert not list((tmp_path / "data" / "vfolders").glob("*/files"))


async def test_writes_of_both_at_once(tmp_path: Path) -> None:
    """All are done, and each sees those of the other one."""
    async with AsyncExitStack() as stack:
        clients = await two_gateways(stack, tmp_path / "data")
        await create_vfolder(clients[0], "shared")
        source = tmp_path / "file"
        source.write_bytes(b"x" * 100_000)

        async def write(number: int) -> None:
            client = clients[number % 2]
            await create_vfolder(client, f"folder{number}")
            plan = plan_uploads([source], base=tmp_path)
            await TrioVFolder(client, f"folder{number}").upload(plan)
            await TrioVFolder(client, "shared").mkdir(f"inner{number}")
            if number % 4 == 0:
                await TrioVFolder(client, f"folder{number}").delete()

        with trio.fail_after(25):
            async with trio.open_nursery() as nursery:
                for number in range(16):
                    nursery.start_soon(write, number)
        for client in clients:
            names = {row.name for row in await list_vfolders(client)}
            assert names == {"shared"} | {f"folder{n}" for n in range(16) if n % 4}
            inner = await TrioVFolder(client, "shared").list_files()
            assert {row.name for row in inner} == {f"inner{n}" for n in range(16)}


async def test_both_end_in_any_order(tmp_path: Path) -> None:
    """What one of them closes, the other one goes on with; a third one sweeps meanwhile."""
    data = tmp_path / "data"
    opened = partial(open_gateway, GatewayOptions(data=data))
    async with opened() as last, open_client(last.config) as client:
        async with opened() as first, open_client(first.config) as other:
            await create_vfolder(other, "one")
        await create_vfolder(client, "two")
        third = VFolders(data / "vfolders", lasting=True, max_folders=9, max_bytes=0)
        await sweep(third)
        third.close()
        assert {row.name for row in await list_vfolders(client)} == {"one", "two"}
