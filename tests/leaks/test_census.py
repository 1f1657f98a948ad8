"""The census sees what it is to see: everything here leaks something on purpose."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from pathlib import Path

from backendai_trio import Client, KernelSpec, open_kernel
from backendai_trio.gateway import Gateway

from .census import Place, settle

SECONDS = 0.1
"""How long what is left is given to end. It does not."""


def test_thread(tmp_path: Path) -> None:
    place, event = Place((tmp_path,)), threading.Event()
    before = place.census()
    thread = threading.Thread(target=event.wait, name="left")
    thread.start()
    try:
        assert settle(place, before, SECONDS) == ["1 threads: left"]
    finally:
        event.set()
        thread.join()
    assert settle(place, before) == []


def test_descriptor(tmp_path: Path) -> None:
    place = Place((tmp_path,))
    before = place.census()
    with socket.socket():
        assert settle(place, before, SECONDS) == ["1 fds: socket"]
    assert settle(place, before) == []


def test_child(tmp_path: Path) -> None:
    place = Place((tmp_path,))
    before = place.census()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        (children,) = [line for line in settle(place, before, SECONDS) if "children" in line]
        assert children.startswith("1 children:")
        assert process.stdin is not None
        process.stdin.close()
    assert settle(place, before) == []


def test_files(tmp_path: Path) -> None:
    """Not what a gateway is to keep, but its incomplete uploads."""
    place = Place((tmp_path,))
    before = place.census()
    folder = tmp_path / "data" / "vfolders" / "some-id"
    (tmp_path / "data").mkdir()
    for name in ("files", "uploads"):
        (folder / name).mkdir(parents=True)
    (folder / "files" / "kept").touch()
    partial = folder / "uploads" / "partial"
    partial.touch()
    found = settle(place, before, SECONDS)
    parents = [tmp_path / "data", tmp_path / "data" / "vfolders"]
    assert found == [f"3 files: {', '.join(sorted(map(str, [*parents, partial])))}"]


async def test_kernel(gateway: Gateway, client: Client, gateway_parent: Path) -> None:
    place = Place((gateway_parent,), tokens=gateway.tokens)
    before = place.census()
    async with open_kernel(client, KernelSpec(runtime="python"), token="left") as kernel:
        await kernel.run("1")
        kinds = {line.split(":")[0].split(" ", 1)[1] for line in place.census().beyond(before)}
        assert kinds >= {"kernels", "kernel processes", "children", "files", "fds"}
