"""Gateways that transfer files in each way, a kernel on them, and files for it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from backendai_trio import (
    Client,
    GatewayOptions,
    KernelSpec,
    TrioKernel,
    open_gateway,
    open_kernel,
)
from backendai_trio.gateway import Gateway
from backendai_trio.wire.versions import SEED

WAYS = {
    "archives": GatewayOptions(),
    "seed-archives": GatewayOptions(eras=(SEED,)),
    "manager": GatewayOptions(manager_limits=True),
    "seed-manager": GatewayOptions(manager_limits=True, eras=(SEED,)),
}


@pytest.fixture(params=["archives", "manager"])
def way(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
async def gateway(gateway_parent: Path, way: str) -> AsyncIterator[Gateway]:
    """One that works in the way of the test."""
    async with open_gateway(WAYS[way]) as opened:
        yield opened


@pytest.fixture
async def kernel(client: Client) -> AsyncIterator[TrioKernel]:
    async with open_kernel(client, KernelSpec(runtime="python")) as opened:
        yield opened


def files_in(folder: Path) -> dict[str, bytes]:
    """All files below a folder; links as what they lead to."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A 10 MiB file and 300 small ones in nested folders, some with odd names."""
    root = tmp_path / "tree"
    for number in range(300):
        path = root / f"d{number % 7}" / f"e{number % 3}" / f"{number}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(f"content of {number}".encode())
    (root / "large").write_bytes(os.urandom(10 * 1024 * 1024))
    (root / "empty file").touch()
    (root / "an empty" / "folder").mkdir(parents=True)
    (root / "ünï 'quoted' \"twice\" $HOME; `ls` -n").write_bytes(b"odd")
    (root / "-n").write_bytes(b"an option?")
    (root / "run.sh").write_text("#!/bin/sh\necho ran\n")
    (root / "run.sh").chmod(0o755)
    (root / "link").symlink_to("run.sh")
    return root


async def pieces(count: int, size: int) -> AsyncIterator[bytes]:
    for number in range(count):
        await trio.lowlevel.checkpoint()
        yield bytes([number % 251]) * size
