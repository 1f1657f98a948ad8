"""Dotfiles: kept by gateways of each release that has them, and given to each new kernel."""

from __future__ import annotations

from pathlib import Path

import pytest

from backendai_trio import (
    Client,
    InvalidRequest,
    KernelSpec,
    LocalProtocolError,
    NotFound,
    attach_kernel,
    create_vfolder,
    open_kernel,
)
from backendai_trio.admin import (
    Dotfile,
    delete_dotfile,
    get_dotfile,
    list_dotfiles,
    put_dotfile,
)
from backendai_trio.gateway import RELEASES
from backendai_trio.wire.http import Request

from .releases import EARLY, client_of

LOOK = (
    "import os\n"
    "for name in sorted(os.listdir('.')):\n"
    "    if os.path.isfile(name):\n"
    "        print(name, oct(os.stat(name).st_mode & 0o777), repr(open(name).read()))\n"
    "print(os.path.exists('.config/app/x'), os.path.islink('folder'))"
)


@pytest.mark.parametrize("release", ["", *(name for name in RELEASES if name not in EARLY)])
async def test_dotfiles_are_kept(release: str, gateway_parent: Path) -> None:
    async with client_of(release) as client:
        assert await list_dotfiles(client) == []
        first, second = Dotfile(".bashrc", "set -u\n"), Dotfile(".b c/d", "ü", "600")
        assert await put_dotfile(client, first) and await put_dotfile(client, second)
        assert await list_dotfiles(client) == [first, second]
        changed = Dotfile(".bashrc", "set -eu\n", "755")
        assert not await put_dotfile(client, changed)
        assert await get_dotfile(client, ".bashrc") == changed
        assert await get_dotfile(client, ".b c/d") == second
        await delete_dotfile(client, ".bashrc")
        assert await list_dotfiles(client) == [second]
        for call in (get_dotfile, delete_dotfile):
            with pytest.raises(NotFound):
                await call(client, ".bashrc")
            with pytest.raises(LocalProtocolError, match="needs a path"):
                await call(client, "")


@pytest.mark.parametrize("release", EARLY)
async def test_before_there_were_any(release: str, gateway_parent: Path) -> None:
    async with client_of(release) as client:
        with pytest.raises(
            LocalProtocolError, match=r"no dotfiles; managers have that from 19\.09"
        ):
            await list_dotfiles(client)
        with pytest.raises(NotFound):
            await client.call(Request("GET", client.era.prefix + "/user-config/dotfiles"))


@pytest.mark.parametrize(
    "path", [".ssh", ".config", "/etc/passwd", "../x", "a/../../x", ".", "a\0b", "\ud800", "mine"]
)
async def test_paths_that_are_refused(client: Client, path: str) -> None:
    await create_vfolder(client, "mine")
    with pytest.raises(InvalidRequest):
        await client.call(Dotfile(path, "x").request("POST"))
    assert await list_dotfiles(client) == []


async def test_there_is_room_for_64_kib_and_100_files(client: Client) -> None:
    with pytest.raises(InvalidRequest, match="No leftover space"):
        await put_dotfile(client, Dotfile(".large", "x" * 65536))
    for number in range(100):
        await put_dotfile(client, Dotfile(f".d{number}", ""))
    with pytest.raises(InvalidRequest, match="limit reached"):
        await put_dotfile(client, Dotfile(".one-too-many", ""))
    assert len(await list_dotfiles(client)) == 100


async def test_two_with_one_path(client: Client) -> None:
    await put_dotfile(client, Dotfile(".a", "x"))
    with pytest.raises(InvalidRequest, match="already exists"):
        await client.call(Dotfile(".a", "y").request("POST"))
    assert (await get_dotfile(client, ".a")).data == "x"


async def test_new_kernels_get_them(client: Client) -> None:
    await create_vfolder(client, "folder")
    before = await attach_kernel(client, KernelSpec(runtime="python"), token="before")
    for dotfile in (
        Dotfile(".vimrc", "set number\n", "600"),
        Dotfile(".run", "#!/bin/sh\n", "755"),
        Dotfile(".config/app/x", "y"),
        # In the way of a virtual folder, and in that of another dotfile.
        Dotfile("folder/x", "never"),
        Dotfile(".vimrc/x", "never"),
    ):
        await put_dotfile(client, dotfile)
    spec = KernelSpec(runtime="python", mounts=("folder",))
    async with open_kernel(client, spec) as kernel:
        lines = (await kernel.run(LOOK))["console"]
        assert lines == [
            (
                "stdout",
                ".run 0o755 '#!/bin/sh\\n'\n.vimrc 0o600 'set number\\n'\nTrue True\n",
            )
        ]
        mounted = await kernel.run("import os; print(os.listdir('folder'))")
        assert mounted["console"] == [("stdout", "[]\n")]
    assert (await before.run(LOOK))["console"] == [("stdout", "False False\n")]
    await before.destroy()


async def test_a_gateway_with_a_database_keeps_them(tmp_path: Path, gateway_parent: Path) -> None:
    async with client_of(data=tmp_path / "data") as client:
        await put_dotfile(client, Dotfile(".a", "x"))
    async with client_of(data=tmp_path / "data") as client:
        assert await list_dotfiles(client) == [Dotfile(".a", "x")]
