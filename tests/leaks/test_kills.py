"""Gateways, kernels and clients are killed at random moments: no orphan lives on, no byte is lost.

Clients that are commands are in `test_commands`.
"""

from __future__ import annotations

import hashlib
import os
import random
import signal
import socket
import warnings
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest
import trio

from backendai_trio import (
    BackendError,
    Client,
    Config,
    KernelLeftBehindWarning,
    KernelSpec,
    TrioVFolder,
    create_vfolder,
    list_kernels,
    open_client,
    open_gateway,
    open_kernel,
)
from backendai_trio.config import Journal
from backendai_trio.config.layers import Layer
from backendai_trio.config.parsing import parse_config
from backendai_trio.files import plan_uploads
from backendai_trio.kernels import end_left_kernel

from ..cli.commands import ACCESS_KEY, SECRET_KEY
from ..killable import Killable, killable
from ..local_kernels import kernel_processes
from .rounds import KILLS, chance

ORPHAN_SECONDS = 5.0
PYTHON = KernelSpec(runtime="python")
CODE = "import time\nfor number in range(50): print(number); time.sleep(0.01)"
LONGEST_SECONDS = 0.6
ROUND_SECONDS = 60.0
GRACE_SECONDS = 0.5
"""Clients do not try for long to end kernels of a gateway that is gone."""


@dataclass
class Machine:
    """Processes to be killed, and where they have their files.

    Attributes:
        processes: starts them.
        temporary: their TMPDIR.
        environ: variables that lead to the gateway.
        data: the data folder of the gateway.
    """

    processes: Killable
    temporary: Path
    environ: dict[str, str]
    data: Path

    def start_gateway(self) -> int:
        """Start the gateway, always on the same port and with the same data."""
        port = int(self.environ["BACKEND_ENDPOINT"].rpartition(":")[2])
        return self.processes.start("gateway", data=str(self.data), port=port, environ=self.environ)

    @property
    def config(self) -> Config:
        config = parse_config(Layer(self.environ))
        assert config is not None
        return config


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = int(found.getsockname()[1])
    environ = {
        "BACKEND_ENDPOINT": f"http://127.0.0.1:{port}",
        "BACKEND_ACCESS_KEY": ACCESS_KEY,
        "BACKEND_SECRET_KEY": SECRET_KEY,
    }
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    with killable(temporary) as processes:
        yield Machine(processes, temporary, environ, tmp_path / "data")


def kernel_files(parent: Path) -> list[Path]:
    """What the gateways in a folder keep for kernels."""
    return list(parent.glob("backendai-gateway-*/*"))


async def comes_true(condition: Callable[[], bool], seconds: float = ORPHAN_SECONDS) -> bool:
    """Whether a condition comes true in time."""
    deadline = trio.current_time() + seconds
    while not condition():  # noqa: ASYNC110 (nothing tells that a process has ended)
        if trio.current_time() > deadline:
            return False
        await trio.sleep(0.01)
    return True


# --- gateways ------------------------------------------------------------------------------------


class Uploads:
    """Files that are uploaded to a virtual folder, one after the other.

    Attributes:
        acknowledged: the digests of those whose upload has returned, by name.
    """

    def __init__(self, folder: TrioVFolder, here: Path, pick: random.Random) -> None:
        self.acknowledged: dict[str, str] = {}
        self._folder = folder
        self._here = here
        self._pick = pick

    async def go_on(self) -> None:
        """Upload until the gateway is gone."""
        while True:
            name = f"file{len(self.acknowledged)}"
            content = self._pick.randbytes(self._pick.choice((10, 100_000, 2_000_000)))
            path = self._here / name
            path.write_bytes(content)
            await self._folder.upload(plan_uploads([path], base=self._here))
            self.acknowledged[name] = hashlib.sha256(content).hexdigest()

    def lost(self, files: Path) -> list[str]:
        """The acknowledged files that are not there as they were uploaded."""
        return [
            name
            for name, digest in self.acknowledged.items()
            if not (files / name).exists()
            or hashlib.sha256((files / name).read_bytes()).hexdigest() != digest
        ]


async def use_kernels(client: Client) -> None:
    """Create kernels and run code in them until the gateway is gone."""
    while True:
        async with open_kernel(client, PYTHON) as kernel:
            await kernel.run(CODE)


async def until_gone(work: Callable[[], Awaitable[object]]) -> None:
    """Work until the server is gone."""
    try:
        await work()
    except BackendError:
        pass


def test_killed_gateways(machine: Machine, tmp_path: Path) -> None:
    pick = chance("killed gateways")
    (tmp_path / "here").mkdir()

    async def one(uploads: Uploads, client: Client, gateway: int) -> None:
        seconds = pick.uniform(0, LONGEST_SECONDS)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(until_gone, uploads.go_on)
            for _ in range(2):
                nursery.start_soon(until_gone, partial(use_kernels, client))
            await trio.sleep(seconds)
            machine.processes.kill(gateway)
            where = f"killed after {seconds:.3f} s"
            gone = await comes_true(lambda: not kernel_processes(machine.temporary))
            assert gone, f"{where}: {kernel_processes(machine.temporary)}"
            nursery.cancel_scope.cancel()
        gateway = machine.start_gateway()
        (files,) = (machine.data / "vfolders").glob("*/files")
        assert uploads.lost(files) == [], where
        machine.processes.kill(gateway)

    async def main() -> None:
        gateway = machine.start_gateway()
        config = machine.config
        async with open_client(config) as client:
            folder = await create_vfolder(client, "data")
            uploads = Uploads(folder, tmp_path / "here", pick)
            machine.processes.kill(gateway)
        for _ in range(max(2, KILLS // 5)):
            gateway = machine.start_gateway()
            async with open_client(replace(config, grace_seconds=GRACE_SECONDS)) as client:
                uploads._folder = TrioVFolder(client, "data")
                with trio.fail_after(ROUND_SECONDS):
                    await one(uploads, client, gateway)
        gateway = machine.start_gateway()
        async with open_client(config) as client:
            # The gateway itself lists each of them.
            listed = {entry.name for entry in await TrioVFolder(client, "data").list_files()}
            assert set(uploads.acknowledged) <= listed
            assert uploads.acknowledged
        machine.processes.kill(gateway)

    with warnings.catch_warnings():
        # Nobody can end them any more; they have ended with their gateway.
        warnings.simplefilter("ignore", KernelLeftBehindWarning)
        warnings.filterwarnings("ignore", "run .* may still go on", RuntimeWarning)
        trio.run(main)


# --- clients -------------------------------------------------------------------------------------


def test_killed_clients(machine: Machine, tmp_path: Path) -> None:
    """What a journal leads to is ended as by `gc`, and nothing else is left."""
    pick = chance("killed clients")
    journal = Journal(tmp_path / "journal")

    async def collect(client: Client) -> list[str]:
        for left in journal.left():
            await end_left_kernel(client, left)
            left.forget()
        return [row.token for row in await list_kernels(client)]

    async def main() -> None:
        gateway = machine.start_gateway()
        async with open_client(machine.config) as client:
            for _ in range(max(2, KILLS // 5)):
                seconds = pick.uniform(0, LONGEST_SECONDS)
                details = {"environ": machine.environ, "journal": str(journal.folder)}
                user = machine.processes.start("use", **details)
                await trio.sleep(seconds)
                machine.processes.kill(user)
                deadline = trio.current_time() + ORPHAN_SECONDS
                while left := await collect(client):
                    assert trio.current_time() < deadline, f"killed after {seconds:.3f} s: {left}"
                    await trio.sleep(0.05)
                assert await comes_true(lambda: not kernel_processes(machine.temporary))
                assert list(journal.folder.glob("*")) == []
        machine.processes.kill(gateway)

    trio.run(main)


# --- kernels -------------------------------------------------------------------------------------


def test_killed_kernels(gateway_parent: Path) -> None:
    """Any process of a kernel: the kernel ends with its block, and the other one goes on."""
    pick = chance("killed kernels")

    async def one(client: Client) -> None:
        async with open_kernel(client, PYTHON) as kernel:
            await kernel.run("1")
            others = set(kernel_processes(gateway_parent))
            async with open_kernel(client, PYTHON) as victim:
                await victim.run("1")
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(until_gone, partial(victim.run, CODE))
                    await trio.sleep(pick.uniform(0, 0.1))
                    mine = sorted(set(kernel_processes(gateway_parent)) - others)
                    if mine:
                        os.kill(pick.choice(mine), signal.SIGKILL)
                    nursery.cancel_scope.cancel()
            gone = await comes_true(lambda: set(kernel_processes(gateway_parent)) <= others)
            assert gone
            assert (await kernel.run("print(6 * 7)"))["console"] == [("stdout", "42\n")]

    async def main() -> None:
        async with open_gateway() as gateway, open_client(gateway.config) as client:
            for _ in range(max(2, KILLS // 5)):
                with trio.fail_after(ROUND_SECONDS):
                    await one(client)
                assert gateway.tokens() == []
                assert kernel_files(gateway_parent) == []

    trio.run(main)
