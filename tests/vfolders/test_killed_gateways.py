"""SIGKILL in the middle of uploads to a virtual folder: never a half file under its name."""

from __future__ import annotations

import hashlib
import random
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from backendai_trio import BackendError, Client, TrioVFolder, create_vfolder, open_client
from backendai_trio.config.layers import Layer
from backendai_trio.config.parsing import parse_config
from backendai_trio.config.settings import Config
from backendai_trio.files import plan_uploads
from backendai_trio.wire.versions import SEED

from ..cli.commands import ACCESS_KEY, SECRET_KEY
from ..killable import Killable, killable

SIZE = 17_000_000
"""Two pieces."""


@pytest.fixture
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Killable]:
    with killable(tmp_path_factory.mktemp("killed")) as made:
        yield made


@pytest.fixture
def port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture
def environ(port: int) -> dict[str, str]:
    return {
        "BACKEND_ENDPOINT": f"http://127.0.0.1:{port}",
        "BACKEND_ACCESS_KEY": ACCESS_KEY,
        "BACKEND_SECRET_KEY": SECRET_KEY,
    }


def config_of(environ: dict[str, str]) -> Config:
    config = parse_config(Layer(environ))
    assert config is not None
    return config


class Versions:
    """The versions of a file that is uploaded again and again; each has one byte all over."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.path = folder / "file"
        self.number = 0

    def next(self) -> None:
        self.number += 1
        self.path.write_bytes(bytes([self.number % 251]) * SIZE)

    def check(self, files: Path, others: dict[str, str]) -> bool:
        """Whether the newest version is there; otherwise an older one is, and all is as before."""
        assert seen(files, but="file") == others
        stored = files / "file"
        if not stored.exists():
            return False
        data = stored.read_bytes()
        assert len(data) == data.count(data[:1]) == SIZE
        return data[0] == self.number % 251


def seen(files: Path, *, but: str) -> dict[str, str]:
    return {
        path.relative_to(files).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files.rglob("*")
        if path.is_file() and path.name != but
    }


async def others_in(client: Client, tmp_path: Path, data: Path) -> tuple[Path, dict[str, str]]:
    """A folder with other files, which must stay as they are."""
    folder = await create_vfolder(client, "data")
    (tmp_path / "others" / "sub").mkdir(parents=True)
    for name in ("one", "file2", "sub/two"):
        (tmp_path / "others" / name).write_text(name)
    await folder.upload(
        plan_uploads([tmp_path / "others"], base=tmp_path / "others", recursive=True)
    )
    (files,) = (data / "vfolders").glob("*/files")
    return files, seen(files, but="file")


@pytest.mark.parametrize("seed", range(10))
def test_killed_clients(
    seed: int, processes: Killable, port: int, environ: dict[str, str], tmp_path: Path
) -> None:
    """Five each time: fifty in all."""
    chance = random.Random(seed)
    data = tmp_path / "data"
    processes.start("gateway", data=str(data), port=port, environ=environ)

    async def prepare() -> tuple[Path, dict[str, str]]:
        async with open_client(config_of(environ)) as client:
            return await others_in(client, tmp_path, data)

    files, others = trio.run(prepare)
    versions = Versions(tmp_path / "versions")

    def upload(*, seconds: float | None) -> float:
        versions.next()
        begun = time.monotonic()
        pid = processes.start("upload", environ=environ, path=str(versions.path))
        if seconds is None:
            while not versions.check(files, others):
                time.sleep(0.01)
        else:
            time.sleep(seconds)
        took = time.monotonic() - begun
        processes.kill(pid)
        return took

    whole = upload(seconds=None)
    for _ in range(5):
        upload(seconds=chance.uniform(0, whole))
        versions.check(files, others)
    # The next attempt replaces what is there, whatever the killed ones have left.
    upload(seconds=None)
    assert versions.check(files, others)


@pytest.mark.parametrize("seed", range(10))
async def test_killed_gateways(
    seed: int, processes: Killable, port: int, environ: dict[str, str], tmp_path: Path
) -> None:
    """Five each time; the client goes on with the same upload when the gateway is back."""
    chance = random.Random(100 + seed)
    data = tmp_path / "data"
    wish = {"data": str(data), "port": port, "environ": environ}
    gateway = processes.start("gateway", **wish)
    async with open_client(config_of(environ)) as client:
        files, others = await others_in(client, tmp_path, data)
        versions = Versions(tmp_path / "versions")
        folder = TrioVFolder(client, "data")
        versions.next()
        begun = trio.current_time()
        await folder.upload(plan_uploads([versions.path], base=versions.path.parent))
        whole = trio.current_time() - begun
        for _ in range(5):
            versions.next()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(
                    folder.upload, plan_uploads([versions.path], base=versions.path.parent)
                )
                await trio.sleep(chance.uniform(0, whole))
                processes.kill(gateway)
                versions.check(files, others)
                gateway = processes.start("gateway", **wish)
            assert versions.check(files, others)


async def test_a_killed_gateway_and_a_form(
    processes: Killable, port: int, environ: dict[str, str], tmp_path: Path
) -> None:
    """Seed clients cannot go on; what is there stays, and the next attempt replaces it."""
    chance = random.Random(7)
    data = tmp_path / "data"
    wish = {"data": str(data), "port": port, "environ": environ}
    gateway = processes.start("gateway", **wish)
    async with open_client(config_of(environ)) as client:
        files, others = await others_in(client, tmp_path, data)
        client.era = SEED
        versions = Versions(tmp_path / "versions")
        folder = TrioVFolder(client, "data")

        async def attempt() -> None:
            try:
                await folder.upload(plan_uploads([versions.path], base=versions.path.parent))
            except BackendError:
                pass

        for _ in range(8):
            versions.next()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(attempt)
                await trio.sleep(chance.uniform(0, 0.3))
                processes.kill(gateway)
                versions.check(files, others)
                gateway = processes.start("gateway", **wish)
        versions.next()
        await folder.upload(plan_uploads([versions.path], base=versions.path.parent))
        assert versions.check(files, others)
