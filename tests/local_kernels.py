"""Kernels of gateways on this machine: their processes and their files."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["files_below", "kernel_processes", "work_folder"]


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
    """The work folder of the only kernel of the gateways whose folders are in `parent`.

    Tests and programs communicate by files in it: kernels cannot see the files of tests.
    """
    (found,) = parent.glob("backendai-gateway-*/*/work")
    return found


def files_below(folder: Path) -> list[str]:
    """Names of the files below a folder, sorted."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
