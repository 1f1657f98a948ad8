"""Where the runtimes are installed, so that kernels can be given their files to read.

What the operating system has installed is readable in any case; this is about what users install
below their homes or anywhere else.
"""

from __future__ import annotations

import os
import site
from collections.abc import Iterator
from pathlib import Path

from ..processes.file_view import SYSTEM_FOLDERS
from .runtimes import rustup_home, table_programs

__all__ = ["runtime_files"]

_SYSTEM = tuple(f"{folder}/" for folder in SYSTEM_FOLDERS)
_SHARED = ("/.local", "/.cargo")
"""Folders in a home that have programs in ``bin``, and secrets of their user beside it."""


def runtime_files() -> list[Path]:
    """The files and folders that the runtimes of this machine need."""
    home = os.path.realpath(os.path.expanduser("~"))  # noqa: PTH111 (there may be none)
    paths = dict.fromkeys(map(os.path.normpath, _found()))
    return [Path(path) for path in paths if not f"{home}/".startswith(f"{path}/")]


def _found() -> Iterator[str]:
    names = table_programs()
    for folder in dict.fromkeys(os.environ.get("PATH", "").split(os.pathsep)):
        if not folder.startswith(os.sep):
            continue
        # Managers of versions, such as pyenv: scripts that start the program of a version.
        if os.path.basename(folder) == "shims":  # noqa: PTH119
            yield os.path.dirname(folder)  # noqa: PTH120
        found = [name for name in names if os.access(f"{folder}/{name}", os.X_OK)]
        for name in found:
            names.remove(name)
            yield from _program_files(f"{folder}/{name}")
    if (rustup := rustup_home()) is not None:
        yield rustup
    yield from _python_paths()


def _program_files(program: str) -> Iterator[str]:
    real = os.path.realpath(program)
    if program.startswith(_SYSTEM) and real.startswith(_SYSTEM):
        return  # readable in any case
    yield program
    # It may find its libraries from where it really is.
    folder, _, name = real.rpartition("/")[0].rpartition("/")
    if name in ("bin", "sbin") and not folder.endswith(_SHARED):
        yield folder


def _python_paths() -> Iterator[str]:
    """Folders outside of its prefix that the gateway's Python imports from.

    Packages that were installed to be edited are where a .pth file says.
    """
    folders = site.getsitepackages()
    if site.ENABLE_USER_SITE:
        yield (user := site.getusersitepackages())
        folders.append(user)
    for folder in folders:
        for file in Path(folder).glob("*.pth"):
            try:
                lines = file.read_text(encoding="utf-8").splitlines()
            except (OSError, UnicodeDecodeError):
                continue
            for line in lines:
                if line.startswith(os.sep):
                    yield line.strip()
