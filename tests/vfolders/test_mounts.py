"""Virtual folders that kernels mount."""

from __future__ import annotations

from pathlib import Path

import pytest

from backendai_trio import (
    Client,
    InvalidRequest,
    KernelSpec,
    NotFound,
    attach_kernel,
    create_vfolder,
    open_kernel,
)
from backendai_trio.files import plan_uploads
from backendai_trio.gateway import Gateway
from backendai_trio.wire.versions import SEED, SESSION_6, Era

from .folders import files_in, opened, printed


@pytest.mark.parametrize("era", [SEED, SESSION_6], ids=lambda e: e.name)
async def test_mounts(era: Era, data: Path, local: Path) -> None:
    spec = KernelSpec(runtime="python", mounts=("data",))
    async with opened(era, data=data) as (_, client):
        folder = await create_vfolder(client, "data")
        await folder.upload(plan_uploads([local / "a.txt"], base=local))
        async with open_kernel(client, spec) as kernel:
            assert await printed(kernel, "print(open('data/a.txt').read(), end='')") == "eins\n"
            await printed(kernel, "open('data/result', 'w').write('from the kernel')")
            with pytest.raises(InvalidRequest, match="mounted"):
                await folder.delete()
        assert (files_in(data) / "result").read_text() == "from the kernel"
        assert (files_in(data) / "a.txt").exists()
        async with open_kernel(client, spec) as kernel:
            assert await printed(kernel, "print(open('data/result').read(), end='')") == (
                "from the kernel"
            )
        await folder.delete()


async def test_a_mount_that_does_not_exist_makes_no_kernel(
    gateway: Gateway, client: Client
) -> None:
    with pytest.raises(NotFound, match="nope"):
        async with open_kernel(client, KernelSpec(runtime="python", mounts=("nope",))):
            pass
    assert gateway.tokens() == []


async def test_a_kernel_that_runs_without_the_folder_is_not_joined(client: Client) -> None:
    await create_vfolder(client, "data")
    async with open_kernel(client, KernelSpec(runtime="python")) as kernel:
        with pytest.raises(InvalidRequest, match="without"):
            await attach_kernel(
                client, KernelSpec(runtime="python", mounts=("data",)), token=kernel.token
            )
