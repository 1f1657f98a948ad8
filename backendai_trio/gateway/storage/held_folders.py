"""Folders that programs of kernels can change while the gateway works in them.

A path that was checked may lead elsewhere a moment later: a program replaces a folder on the way by
a link. So a folder is opened, component by component and through no link, and the gateway works in
what it has opened.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

__all__ = ["READ_ONLY", "held_folder", "merge_tree"]

READ_ONLY = "the kernel has this folder mounted read-only"

_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def held_folder(
    path: Path, roots: Sequence[Path], *, read_only: Sequence[Path] = (), make: bool = False
) -> Iterator[Path]:
    """Hold a folder: the path that this gives leads to it, wherever it is moved. Blocks.

    Args:
        path: the folder. Links on the way are followed, as they are at this moment.
        roots: folders of which one must contain it. They are no links themselves, and neither is
            anything above them.
        read_only: those of the roots that must not contain it.
        make: make the folder, and those above it, if need be.

    Raises:
        OSError: it is in none of the roots (``EXDEV``), is read-only (``EROFS``), is no folder,
            does not exist, or changes at this moment.
    """
    try:
        real = path.resolve()
    except RuntimeError:  # links that lead to each other, before Python 3.13
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path.name) from None
    root = next((root for root in roots if real.is_relative_to(root)), None)
    if root is None:
        raise OSError(errno.EXDEV, "it leads out of the folder through a link", path.name)
    if root in read_only:
        raise OSError(errno.EROFS, READ_ONLY, path.name)
    held = os.open(root, _OPEN)
    try:
        for name in real.relative_to(root).parts:
            if make:
                try:
                    os.mkdir(name, dir_fd=held)
                except FileExistsError:
                    pass
            inner = os.open(name, _OPEN, dir_fd=held)
            os.close(held)
            held = inner
        yield Path(f"/proc/self/fd/{held}")
    finally:
        os.close(held)


def merge_tree(source: Path, target: Path) -> None:
    """Move the content of a folder into another one, and replace its files. Blocks.

    Every conflict is found before anything is moved. Links are replaced, and none is followed.

    Args:
        source: a folder on the same file system, which no program of a kernel can change.
        target: a folder that is held.

    Raises:
        FileExistsError: a folder would have to be replaced by a file.
        NotADirectoryError: a file would have to be replaced by a folder.
    """
    folder = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _merge(str(source), folder, moves=False)
        _merge(str(source), folder, moves=True)
    finally:
        os.close(folder)


def _merge(source: str, target: int, *, moves: bool) -> None:
    with os.scandir(source) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        mode = _mode_of(entry.name, target)
        is_folder = entry.is_dir(follow_symlinks=False)
        if is_folder and mode is not None and stat.S_ISDIR(mode):
            inner = os.open(entry.name, _OPEN, dir_fd=target)
            try:
                _merge(entry.path, inner, moves=moves)
            finally:
                os.close(inner)
        elif is_folder and mode is not None:
            raise NotADirectoryError(errno.ENOTDIR, "a file is in the way", entry.name)
        elif mode is not None and stat.S_ISDIR(mode):
            raise FileExistsError(errno.EEXIST, "a folder is in the way", entry.name)
        elif moves:
            os.replace(entry.path, entry.name, dst_dir_fd=target)


def _mode_of(name: str, folder: int) -> int | None:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return None
