"""Trees of files that programs of kernels can change while the gateway reads or changes them.

Each folder is opened as `held_folders` says. All functions block.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from ...files.tar import Found
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
    held, here = os.dup(base), ""  # the folder of what was found last
    try:
        todo = _names_in(base)
        while todo:
            inner = todo.pop()
            parent, _, name = inner.rpartition("/")
            try:
                if parent != here:
                    # From the top: the folder that is held may have been moved elsewhere.
                    found = descend(base, parent.split("/") if parent else ())
                    os.close(held)
                    held, here = found, parent
                one = Found(inner, held, name, _state(held, name))
                yield one
                if one.is_folder:
                    todo += [f"{inner}/{child}" for child in _names_below(one)]
            except OSError as exc:
                if strict or not is_left_out(exc):
                    raise
    finally:
        os.close(held)
        os.close(base)


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
    try:
        for inner, names in _moves(source, base):
            folder = descend(base, inner)
            try:
                for name in names:
                    os.replace(source.joinpath(*inner, name), name, dst_dir_fd=folder)
            finally:
                os.close(folder)
    finally:
        os.close(base)


def _moves(source: Path, base: int) -> list[tuple[tuple[str, ...], list[str]]]:
    """What to move from each folder below `source`; a folder goes as a whole where there is none of
    its name below `base`."""
    found: list[tuple[tuple[str, ...], list[str]]] = []
    todo: list[tuple[str, ...]] = [()]
    while todo:
        inner = todo.pop()
        names: list[str] = []
        folder = descend(base, inner)
        try:
            with os.scandir(source.joinpath(*inner)) as entries:
                for entry in entries:
                    is_folder = entry.is_dir(follow_symlinks=False)
                    mode = _mode_of(entry.name, folder)
                    if is_folder and mode is not None and stat.S_ISDIR(mode):
                        todo.append((*inner, entry.name))
                    elif is_folder and mode is not None:
                        raise NotADirectoryError(errno.ENOTDIR, "a file is in the way", entry.name)
                    elif mode is not None and stat.S_ISDIR(mode):
                        raise FileExistsError(errno.EEXIST, "a folder is in the way", entry.name)
                    else:
                        names.append(entry.name)
        finally:
            os.close(folder)
        found.append((inner, names))
    return found


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


def _mode_of(name: str, folder: int) -> int | None:
    try:
        return _state(folder, name).st_mode
    except FileNotFoundError:
        return None
