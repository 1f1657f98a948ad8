"""Kernels of gateways on this machine: their processes and their files."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["kernel_processes", "work_folder"]


def kernel_processes(parent: Path) -> list[int]:
    """Processes whose HOME, or whose host's folder, lies below `parent`."""
    found = []
    mark = os.fsencode(parent) + b"/"
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            variables = (folder / "environ").read_bytes().split(b"\0")
            arguments = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue  # it has just ended
        homes = [item for item in variables if item.startswith(b"HOME=" + mark)]
        if homes or any(item.startswith(mark) for item in arguments):
            found.append(int(folder.name))
    return found


def work_folder(parent: Path) -> Path:
    """Where the programs of the only kernel run, of all gateways whose folders are in `parent`.

    For what a test and a program tell each other by files: of others, kernels see none.
    """
    (found,) = parent.glob("backendai-gateway-*/*/work")
    return found
