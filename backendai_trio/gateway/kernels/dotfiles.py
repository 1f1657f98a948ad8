"""Dotfiles in the work folder of a new kernel."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from pathlib import Path, PurePosixPath

from ...wire.dotfiles import Dotfile

__all__ = ["DOTFILES", "write_dotfiles"]

_log = logging.getLogger("backendai_trio.gateway")

DOTFILES = "dotfiles"
"""Name of the setting that holds a key pair's dotfiles."""


def write_dotfiles(work: Path, dotfiles: Iterable[Dotfile], mounted: Collection[str]) -> None:
    """Write dotfiles before the kernel's programs run. One that cannot be is left out, and logged.

    Args:
        work: the kernel's work folder, with nothing of anybody else in it.
        dotfiles: what to write; their paths lie below the work folder.
        mounted: where virtual folders will be, below the work folder: nothing is written in their
            way.
    """
    for dotfile in dotfiles:
        path = PurePosixPath(dotfile.path)
        folders = map(PurePosixPath, mounted)
        if any(path.is_relative_to(item) or item.is_relative_to(path) for item in folders):
            _log.info("dotfile %s is left out: a virtual folder is there", dotfile.path)
            continue
        place = work / path
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(dotfile.data.encode("utf-8", "surrogatepass"))
            place.chmod(int(dotfile.permission, 8))
        except OSError as exc:  # one is the folder of another
            _log.warning("dotfile %s cannot be written: %s", dotfile.path, exc)
