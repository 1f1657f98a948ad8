"""Trees of files that programs of kernels can change while the gateway reads or changes them.

Each folder is opened as `held_folders` says. All functions block.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from ...files.archives import Found
from ...files.placing import plan_moves
from .held_folders import descend, hold, open_folder

__all__ = ["is_left_out", "merge_tree", "walk_held"]

_MAX_PATH = 4095
_OF_ONE_FILE = {
    errno.EACCES,
    errno.EINVAL,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.ENXIO,
    errno.EPERM,
    errno.EXDEV,
}


def walk_held(path: Path, roots: Sequence[Path], *, strict: bool = False) -> Iterator[Found]:
    """A file or folder and everything below it, sorted by name; each folder before its content.

    Links are given as they are, and not followed. What was found is to be opened by its name in the
    folder that is held (`open_in`).

    Args:
        path: the file or folder. Links on the way to it are followed as by `held_folder`.
        roots: see `held_folder`.
        strict: raise the error of what cannot be examined or listed; else it is left out, if
            `is_left_out` says so.

    Raises:
        OSError: see `strict`.
    """
    try:
        folder = hold(path if path in roots else path.parent, roots)
        try:
            name = "." if path in roots else path.name
            top = Found("", folder, name, _state(folder, name))
            yield top
            if top.is_folder:
                yield from _walk_below(top, strict=strict)
        finally:
            os.close(folder)
    except OSError as exc:
        if strict or not is_left_out(exc):
            raise


def _walk_below(top: Found, *, strict: bool) -> Iterator[Found]:
    base = open_folder(top.folder, top.name)
    with _Below(base) as below:
        todo = _names_in(base)
        while todo:
            inner = todo.pop()
            parent, _, name = inner.rpartition("/")
            try:
                folder = below.folder(parent)
                found = Found(inner, folder, name, _state(folder, name))
                yield found
                if found.is_folder:
                    todo += [f"{inner}/{child}" for child in _names_below(found)]
            except OSError as exc:
                if strict or not is_left_out(exc):
                    raise


def is_left_out(exc: OSError) -> bool:
    """Whether a walk may go on: the file is gone, has become another kind, or may not be read.

    Args:
        exc: the error; others are the machine's, such as a lack of descriptors.
    """
    return exc.errno in _OF_ONE_FILE


def merge_tree(source: Path, target: Path) -> None:
    """Move the content of a folder into another one, and replace its files.

    Every conflict is found before anything is moved. Links are replaced, and none is followed.

    Args:
        source: a folder on the same file system, which no program of a kernel can change.
        target: a folder that is held.

    Raises:
        FileExistsError: a folder would have to be replaced by a file.
        NotADirectoryError: a file would have to be replaced by a folder.
    """
    base = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    with _Below(base) as below:
        for inner, _, _ in plan_moves(str(source), below.state):
            parent, _, name = inner.rpartition("/")
            os.replace(source / inner, name, dst_dir_fd=below.folder(parent))


class _Below:
    """The folders below one that is open; one of them is open at a time.

    A context manager, which closes all of them in the end.
    """

    def __init__(self, base: int) -> None:
        self._base = base
        self._folder = base
        self._inner = ""

    def __enter__(self) -> _Below:
        return self

    def __exit__(self, *exc: object) -> None:
        self._close()
        os.close(self._base)

    def folder(self, inner: str) -> int:
        """The descriptor of a folder, by its path below the first one; open until the next call.

        Raises:
            OSError: it is no folder, or not there.
        """
        if inner != self._inner:
            self._close()
            if inner:
                # From the top: the folder that was open may have been moved elsewhere.
                self._folder = descend(self._base, inner.split("/"))
            self._inner = inner
        return self._folder

    def state(self, inner: str) -> os.stat_result | None:
        """The state of a file or folder; None if there is nothing of that path.

        Raises:
            OSError: it cannot be examined.
        """
        parent, _, name = inner.rpartition("/")
        folder = self.folder(parent)
        try:
            return _state(folder, name)
        except FileNotFoundError:
            return None

    def _close(self) -> None:
        if self._folder != self._base:
            os.close(self._folder)
        self._folder, self._inner = self._base, ""


def _names_below(found: Found) -> list[str]:
    if len(os.fsencode(found.inner)) > _MAX_PATH:
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), found.name)
    folder = open_folder(found.folder, found.name)
    try:
        return _names_in(folder)
    finally:
        os.close(folder)


def _names_in(folder: int) -> list[str]:
    """The names in a folder, the first one last."""
    return sorted(os.listdir(folder), reverse=True)


def _state(folder: int, name: str) -> os.stat_result:
    return os.stat(name, dir_fd=folder, follow_symlinks=False)
