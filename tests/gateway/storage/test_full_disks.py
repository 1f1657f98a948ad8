"""A disk that becomes full while a gateway runs: refusals that say so, and nothing that was
acknowledged is lost; with room again, all goes on."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from backendai_trio import (
    ApiError,
    Client,
    TrioVFolder,
    UploadError,
    create_vfolder,
    list_vfolders,
    open_client,
)
from backendai_trio.admin import Dotfile, list_dotfiles, put_dotfile
from backendai_trio.config.layers import Layer
from backendai_trio.config.parsing import parse_config
from backendai_trio.files import plan_uploads
from backendai_trio.gateway.storage.database import SqliteStore
from backendai_trio.gateway.storage.index import FolderIndex

from ...cli.commands import ACCESS_KEY, SECRET_KEY
from ...killable import killable
from ...requirements import lacking

START = """
import sys, trio
from pathlib import Path
from backendai_trio import GatewayError, GatewayOptions, open_gateway

async def start():
    try:
        async with open_gateway(GatewayOptions(data=Path(sys.argv[1]))):
            pass
    except GatewayError as exc:
        print(exc)
        sys.exit(3)

trio.run(start)
"""
MOUNTED = 'mount -t tmpfs -o size=4m none "$1" && shift && exec "$@"'


def test_full_disk(tmp_path: Path) -> None:
    if os.getuid() != 0 or not shutil.which("unshare"):
        raise lacking("a disk of its own needs root and unshare")
    trio.run(fill_and_empty, tmp_path)


async def fill_and_empty(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for name, size in (("small", 1_000_000), ("large", 8_000_000)):
        (tmp_path / name).write_bytes(os.urandom(size))
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    environ = {
        "BACKEND_ENDPOINT": f"http://127.0.0.1:{port}",
        "BACKEND_ACCESS_KEY": ACCESS_KEY,
        "BACKEND_SECRET_KEY": SECRET_KEY,
    }
    config = parse_config(Layer(environ))
    assert config is not None
    (tmp_path / "processes").mkdir()
    within = ["unshare", "-m", "sh", "-c", MOUNTED, "sh", str(data)]
    with killable(tmp_path / "processes", within=within) as processes:
        wish = {"data": str(data), "port": port, "environ": environ}
        gateway = processes.start("gateway", **wish)
        async with open_client(config) as client:
            folder = await create_vfolder(client, "data")
            await folder.upload(plan_uploads([tmp_path / "small"], base=tmp_path))
            with pytest.raises(UploadError, match=r"disk is full.* 507 "):
                await folder.upload(plan_uploads([tmp_path / "large"], base=tmp_path))
            done = await fill(client)
            processes.kill(gateway)
            gateway = processes.start("gateway", **wish)
        async with open_client(config) as client:
            await check(client, done)
            await TrioVFolder(client, "data").remove(["small"])
            await put_dotfile(client, Dotfile(".after", "y"))
            await create_vfolder(client, "after")
            await check(client, done)
        processes.kill(gateway)


async def fill(client: Client) -> dict[str, str]:
    """Change small things until the disk takes no more; the dotfiles that were acknowledged."""
    done: dict[str, str] = {}
    for number in range(5000):
        path = f".dot{number % 40}"
        before = done.pop(path, None)
        try:
            await put_dotfile(client, Dotfile(path, f"{number}" + "x" * 1000))
        except ApiError as exc:
            assert exc.status == 507, exc
            if before is not None:
                done[path] = before
            return done
        done[path] = f"{number}"
    raise AssertionError("the disk does not become full")


async def check(client: Client, done: dict[str, str]) -> None:
    found = {dotfile.path: dotfile.data.rstrip("x") for dotfile in await list_dotfiles(client)}
    assert found.items() >= done.items()
    assert "data" in {row.name for row in await list_vfolders(client)}


@pytest.mark.parametrize("kind", ["gateway", "vfolders/index"])
def test_read_only_disk(tmp_path: Path, kind: str) -> None:
    """A gateway that has data there does not start, and says why."""
    if os.getuid() != 0 or not shutil.which("unshare"):
        raise lacking("a disk of its own needs root and unshare")
    SqliteStore(tmp_path).close()
    FolderIndex(tmp_path / "vfolders" / "index.sqlite3").close()
    script = (
        'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && shift && exec "$@"',
        "sh",
        str(tmp_path if kind == "gateway" else tmp_path / "vfolders"),
        sys.executable,
        "-c",
        START,
        str(tmp_path),
    )
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", *script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 3, done.stderr
    assert f"{kind}.sqlite3" in done.stdout and "Read-only file system" in done.stdout
    assert "--data" in done.stdout
