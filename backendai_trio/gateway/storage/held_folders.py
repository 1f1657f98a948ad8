"""Folders that programs of kernels can change while the gateway works in them.

A path that was checked may lead elsewhere a moment later: a program replaces a folder on the way by
a link. So a folder is opened, component by component and through no link, and the gateway reads and
writes in what it has opened. All functions block. Whole trees are in `held_trees`.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

__all__ = [
    "READ_ONLY",
    "descend",
    "entries_of",
    "held_folder",
    "hold",
    "open_folder",
    "open_held",
    "open_in",
    "resolved",
]

READ_ONLY = "the kernel has this folder mounted read-only"
_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# A pipe is not waited for.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@contextmanager
def held_folder(
    path: Path, roots: Sequence[Path], *, read_only: Sequence[Path] = (), make: bool = False
) -> Iterator[Path]:
    """Hold a folder: the path that this gives leads to it, wherever it is moved.

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
    held = hold(path, roots, read_only, make=make)
    try:
        yield Path(f"/proc/self/fd/{held}")
    finally:
        os.close(held)


def entries_of(folder: Path) -> list[tuple[str, os.stat_result]]:
    """Name and state of each entry of a folder; links are not followed. What is removed meanwhile
    is left out.

    Args:
        folder: as `held_folder` gives it.

    Raises:
        OSError: it is no folder, or cannot be read.
    """
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):
                found.append((entry.name, entry.stat(follow_symlinks=False)))
    return found


def open_held(path: Path, roots: Sequence[Path]) -> tuple[IO[bytes], os.stat_result]:
    """Open a regular file, unbuffered; returns its state, too.

    Args:
        path: the file. Links on the way are followed as by `held_folder`; the file must be none.
        roots: see `held_folder`.

    Raises:
        IsADirectoryError: it is a folder.
        OSError: as `held_folder`; or it is a link (``ELOOP``), a socket (``ENXIO``), or a device or
            a pipe (``EINVAL``).
    """
    if path in roots:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path.name)
    folder = hold(path.parent, roots)
    try:
        return open_in(folder, path.name)
    finally:
        os.close(folder)


def open_in(folder: int | None, name: str) -> tuple[IO[bytes], os.stat_result]:
    """Open a regular file of a folder that is open; see `open_held`.

    Args:
        folder: the folder's descriptor.
        name: the file's name.

    Raises:
        OSError: as `open_held`.
    """
    opened = os.open(name, _READ, dir_fd=folder)
    state = os.fstat(opened)
    if stat.S_ISREG(state.st_mode):
        return os.fdopen(opened, "rb", 0), state
    os.close(opened)
    if stat.S_ISDIR(state.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), name)
    raise OSError(errno.EINVAL, "not a regular file", name)


def open_folder(folder: int | None, name: str) -> int:
    """A descriptor of a folder in a folder that is open; it must be no link.

    Args:
        folder: the open folder's descriptor.
        name: the folder's name; ``.`` is the open one.

    Raises:
        OSError: it does not exist, or is no folder.
    """
    return os.open(name, _OPEN, dir_fd=folder)


def resolved(path: Path) -> Path:
    """A path without links.

    Raises:
        OSError: links lead to each other.
    """
    try:
        return path.resolve()
    except RuntimeError:  # before Python 3.13
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path.name) from None


def hold(
    path: Path, roots: Sequence[Path], read_only: Sequence[Path] = (), *, make: bool = False
) -> int:
    """A descriptor of a folder, which the caller closes; see `held_folder`."""
    real = resolved(path)
    root = next((root for root in roots if real.is_relative_to(root)), None)
    if root is None:
        raise OSError(errno.EXDEV, "it leads out of the folder through a link", path.name)
    if root in read_only:
        raise OSError(errno.EROFS, READ_ONLY, path.name)
    base = open_folder(None, str(root))
    try:
        return descend(base, real.relative_to(root).parts, make=make)
    finally:
        os.close(base)


def descend(base: int, names: Sequence[str], *, make: bool = False) -> int:
    """A descriptor of a folder below one that is open; no link is followed on the way.

    Args:
        base: the open folder's descriptor.
        names: the components of the way.
        make: make the folders, if need be.

    Raises:
        OSError: one does not exist, or is no folder.
    """
    held = os.dup(base)
    try:
        for name in names:
            if make:
                try:
                    os.mkdir(name, dir_fd=held)
                except FileExistsError:
                    pass
            inner = open_folder(held, name)
            os.close(held)
            held = inner
    except BaseException:  # raised again
        os.close(held)
        raise
    return held
