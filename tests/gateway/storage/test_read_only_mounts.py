"""Requests for files in a kernel change no virtual folder that it has mounted read-only."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from backendai_trio import (
    BackendError,
    GatewayOptions,
    KernelSpec,
    TrioKernel,
    create_vfolder,
    open_client,
    open_gateway,
    open_kernel,
)
from backendai_trio.gateway.refusals import Refused
from backendai_trio.gateway.shares import Share
from backendai_trio.gateway.storage.workspace import Workspace
from backendai_trio.vfolders import accept_invitation, list_invitations

OWNER, OTHER = "AKIAFIRSTFIRSTFIRST1", "AKIASECONDSECONDSEC2"
MOUNTS = {
    "own": ("data:data:ro", "work"),
    "elsewhere": ("data:sub/deep:ro", "work"),
    "shared": ("data", "work"),
}

Change = Callable[[TrioKernel, str, Path], Awaitable[object]]


async def upload(kernel: TrioKernel, folder: str, local: Path) -> None:
    await kernel.upload([local / "new"], base=local, to=folder)


async def upload_below(kernel: TrioKernel, folder: str, local: Path) -> None:
    await kernel.upload([local / "new"], base=local, to=f"{folder}/sub/more")


async def remove(kernel: TrioKernel, folder: str, local: Path) -> None:
    await kernel.remove([f"{folder}/precious"])


async def remove_some(kernel: TrioKernel, folder: str, local: Path) -> None:
    await kernel.remove(["work/mine", f"{folder}/sub"], recursive=True)


async def mkdir(kernel: TrioKernel, folder: str, local: Path) -> None:
    await kernel.mkdir(f"{folder}/made")


@asynccontextmanager
async def kernel_with(
    kind: str, data: Path, *, manager_limits: bool
) -> AsyncIterator[tuple[TrioKernel, Path]]:
    """A kernel that has the folder ``data`` read-only and ``work`` writable; the former's files."""
    options = GatewayOptions(data=data, access_key=OWNER, manager_limits=manager_limits)
    spec = KernelSpec(runtime="python", mounts=MOUNTS[kind])
    async with open_gateway(options) as gateway, open_client(gateway.config) as client:
        folder = await create_vfolder(client, "data")
        (files,) = (data / "vfolders").glob("*/files")
        (files / "precious").write_text("old")
        (files / "sub").mkdir()
        (files / "sub" / "precious").write_text("old")
        if kind != "shared":
            await create_vfolder(client, "work")
            async with open_kernel(client, spec) as kernel:
                yield kernel, files
            return
        owner = gateway.config
        async with open_gateway(replace(options, access_key=OTHER)) as theirs:
            async with open_client(replace(owner, endpoint=theirs.config.endpoint)) as client:
                await type(folder)(client, "data").invite([OTHER], permission="ro")
            async with open_client(theirs.config) as other:
                (invitation,) = await list_invitations(other)
                await accept_invitation(other, invitation.invitation_id)
                await create_vfolder(other, "work")
                async with open_kernel(other, spec) as kernel:
                    yield kernel, files


@pytest.mark.parametrize("manager_limits", [False, True])
@pytest.mark.parametrize("kind", list(MOUNTS))
async def test_read_only_folders_stay_as_they_are(
    tmp_path: Path, kind: str, manager_limits: bool
) -> None:
    local = tmp_path / "local"
    local.mkdir()
    (local / "new").write_text("new")
    name = "sub/deep" if kind == "elsewhere" else "data"
    changes: list[Change] = [upload, upload_below]
    if not manager_limits:  # else these are commands in the kernel
        changes += [remove, remove_some, mkdir]
    async with kernel_with(kind, tmp_path / "gw", manager_limits=manager_limits) as (kernel, files):
        # Through a link that a program has made, too.
        await kernel.run(f"import os; os.symlink({name!r}, 'link'); open('work/mine', 'w')")
        for folder in (name, "link"):
            for change in changes:
                with pytest.raises(BackendError, match="read-only"):
                    await change(kernel, folder, local)
        # Still everything can be read, and other folders can be changed.
        await kernel.download([f"{name}/precious"], tmp_path / "got")
        await upload(kernel, "work", local)
        listing = await kernel.list_files("work")
        assert [file.name for file in listing.files] == ["mine", "new"]
        assert sorted(path.name for path in files.rglob("*")) == ["precious", "precious", "sub"]
        assert {path.read_text() for path in files.rglob("precious")} == {"old"}
    assert (tmp_path / "got" / "precious").read_text() == "old"


def test_archive_into_a_read_only_folder_is_refused_before_it_arrives(tmp_path: Path) -> None:
    for name in ("work", "staging", "data"):
        (tmp_path / name).mkdir()
    (tmp_path / "work" / "data").symlink_to(tmp_path / "data")
    mounts = [Share(tmp_path / "data", writable=False)]
    workspace = Workspace(tmp_path / "work", tmp_path / "staging", mounts)
    for folder in ("data", "data/sub/more"):
        with pytest.raises(Refused) as caught:
            workspace.receive(folder)
        assert "read-only" in caught.value.problem.detail
    workspace.receive(".")
