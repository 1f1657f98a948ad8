"""Two hundred writes, and a gateway that is killed in the midst of them, five times: nothing that
was acknowledged is lost, also when the power fails at the same moment.

A power failure is a copy of the file system's image: it has what was written to the disk, and none
of what is in memory only. The file system commits nothing by itself within the time of a test.
"""

from __future__ import annotations

import os
import random
import shlex
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio

from backendai_trio import (
    BackendError,
    Client,
    TrioVFolder,
    create_vfolder,
    list_vfolders,
    open_client,
)
from backendai_trio.admin import Dotfile, list_dotfiles, put_dotfile
from backendai_trio.config.layers import Layer
from backendai_trio.config.parsing import parse_config
from backendai_trio.files import plan_uploads
from backendai_trio.wire.versions import SEED

from ...cli.commands import ACCESS_KEY, SECRET_KEY
from ...killable import Killable, killable
from ...requirements import lacking

WRITES = 200
CUTS = 5
MOUNTED = 'mount -o loop,commit=600 "$1" "$2" && shift 2 && exec "$@"'


class Machine:
    """A machine whose gateway can be killed, and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.data.mkdir()

    @contextmanager
    def running(self) -> Iterator[Killable]:
        with killable(self.folder) as processes:
            yield processes

    def fail(self) -> None:
        """What happens when the gateway is killed."""


class MachineWithoutPower(Machine):
    """Its power fails at the moment in which its gateway is killed."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        if os.getuid() != 0 or not (shutil.which("mkfs.ext4") and shutil.which("unshare")):
            raise lacking("a file system of its own needs root, mkfs.ext4 and unshare")
        self.image = folder / "image-0"
        with self.image.open("wb") as image:
            image.truncate(256 << 20)
        subprocess.run(["mkfs.ext4", "-q", "-F", self.image], check=True)
        if self.shell("true").returncode != 0:
            raise lacking("an image cannot be mounted here")

    def mounted(self) -> list[str]:
        """The command in front of one that has the image at `data`."""
        return ["unshare", "-m", "sh", "-c", MOUNTED, "sh", str(self.image), str(self.data)]

    def shell(self, script: str) -> subprocess.CompletedProcess[str]:
        """Run a shell in the mounted folder."""
        script = f"cd {shlex.quote(str(self.data))} && {script}"
        return subprocess.run(
            [*self.mounted(), "sh", "-c", script], capture_output=True, text=True, check=False
        )

    @contextmanager
    def running(self) -> Iterator[Killable]:
        with killable(self.folder, within=self.mounted()) as processes:
            yield processes

    def fail(self) -> None:
        failed = self.folder / f"image-{int(self.image.name.partition('-')[2]) + 1}"
        subprocess.run(["cp", "--sparse=always", self.image, failed], check=True)
        self.image = failed


@pytest.fixture
def port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@dataclass
class Acknowledged:
    """What the gateway has said that it did."""

    seed: int
    done: int = 0
    folders: dict[str, dict[str, bytes | None]] = field(default_factory=dict)
    """Files by their paths; None is a folder."""
    dotfiles: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)

    async def write(self, client: Client, local: Path) -> None:
        """Do something, and remember it when it is acknowledged."""
        chance, name = self.chance, f"n{self.done}-{self.chance.randrange(1000)}"
        kind = chance.choice(["folder", "upload", "upload", "form", "mkdir", "move", "rm", "dot"])
        folder = chance.choice(list(self.folders) or [""])
        files = self.folders.get(folder, {})
        chosen = chance.choice([path for path in files if "/" not in path] or [""])
        if kind == "folder" or not folder or (kind in ("move", "rm") and not chosen):
            await create_vfolder(client, name)
            self.folders[name] = {}
        elif kind in ("upload", "form"):
            path = f"sub{chance.randrange(3)}/{name}" if chance.random() < 0.5 else name
            content = chance.randbytes(chance.choice([0, 1, 5000, 300_000]))
            source = local / path
            source.parent.mkdir(parents=True, exist_ok=True)
            source.write_bytes(content)
            era, client.era = client.era, SEED if kind == "form" else client.era
            try:
                await TrioVFolder(client, folder).upload(plan_uploads([source], base=local))
            finally:
                client.era = era
            files[path] = content
        elif kind == "mkdir":
            await TrioVFolder(client, folder).mkdir(f"{name}/inner", parents=True)
            files[f"{name}/inner"] = None
        elif kind == "move":
            content = files.pop(chosen)
            await TrioVFolder(client, folder).move(chosen, name)
            files[name] = content
        elif kind == "rm":
            del files[chosen]
            await TrioVFolder(client, folder).remove([chosen], recursive=True)
            files.pop(chosen, None)
        else:
            path = f".dot{chance.randrange(20)}"
            self.dotfiles.pop(path, None)
            await put_dotfile(client, Dotfile(path, name))
            self.dotfiles[path] = name
        self.done += 1

    async def check(self, client: Client, local: Path) -> None:
        """All of it is there."""
        found = {row.name for row in await list_vfolders(client)}
        assert self.folders.keys() <= found
        dotfiles = {dotfile.path: dotfile.data for dotfile in await list_dotfiles(client)}
        assert dotfiles.items() >= self.dotfiles.items()
        for name, files in self.folders.items():
            folder = TrioVFolder(client, name)
            for path, content in files.items():
                if content is None:
                    assert await folder.list_files(path) == []
                    continue
                into = local / "check"
                shutil.rmtree(into, ignore_errors=True)
                into.mkdir()
                await folder.download([path], into)
                (file,) = (one for one in into.rglob("*") if one.is_file())
                assert file.read_bytes() == content, (name, path)


@pytest.mark.parametrize("kind", [Machine, MachineWithoutPower])
def test_nothing_acknowledged_is_lost(kind: type[Machine], port: int, tmp_path: Path) -> None:
    trio.run(write_and_fail, kind, port, tmp_path)


async def write_and_fail(kind: type[Machine], port: int, tmp_path: Path) -> None:
    (tmp_path / "machine").mkdir()
    machine = kind(tmp_path / "machine")
    environ = {
        "BACKEND_ENDPOINT": f"http://127.0.0.1:{port}",
        "BACKEND_ACCESS_KEY": ACCESS_KEY,
        "BACKEND_SECRET_KEY": SECRET_KEY,
    }
    config = parse_config(Layer(environ))
    assert config is not None
    expected = Acknowledged(seed=6)
    for cut in range(CUTS + 1):
        local = tmp_path / f"local{cut}"
        local.mkdir()
        with machine.running() as processes:
            gateway = processes.start("gateway", data=str(machine.data), port=port, environ=environ)
            async with open_client(config) as client:
                await expected.check(client, local)
                if cut == CUTS:
                    break
                while expected.done < WRITES * (cut + 1) // CUTS:
                    await expected.write(client, local)
                # The last write is cut off at some point of it.
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(cut_off, expected, client, local)
                    await trio.sleep(expected.chance.uniform(0, 0.05))
                    processes.kill(gateway)
                    machine.fail()
                    nursery.cancel_scope.cancel()
    assert expected.done >= WRITES


async def cut_off(expected: Acknowledged, client: Client, local: Path) -> None:
    try:
        await expected.write(client, local)
    except BackendError:
        pass  # the gateway is gone


def test_what_is_not_synced_is_lost(tmp_path: Path) -> None:
    """The machine of these tests does what it says."""
    machine = MachineWithoutPower(tmp_path)
    script = "echo synced >one && sync one && echo lost >two && cp --sparse=always $0 $1"
    copied = str(tmp_path / "copy")
    script = script.replace("$0", shlex.quote(str(machine.image))).replace("$1", copied)
    assert machine.shell(script).returncode == 0
    machine.image = Path(copied)
    found = machine.shell("cat one; cat two 2>/dev/null; true")
    assert found.stdout == "synced\n", found
