"""Complete files and trees of them get their names.

Every function here blocks; asynchronous callers use threads.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

__all__ = ["Move", "place", "place_tree", "plan_moves"]


def place(source: Path, target: Path, *, overwrite: bool, like_cp: bool = False) -> None:
    """Rename a file in one step: others see the old file or the new one.

    A symbolic link at `target` is replaced, not followed.

    Args:
        source: the file, on the same file system as `target`.
        target: its new name.
        overwrite: whether a file of that name may be replaced.
        like_cp: whether a device, a pipe or a socket is never replaced, and the new file gets the
            permissions of a replaced one, and for root also its owner: what people expect of their
            own disk.

    Raises:
        FileExistsError: `target` exists and may not be replaced.
        OSError: the file cannot be placed, e.g. since a folder is in the way.
    """
    if overwrite:
        if like_cp:
            state = _state(str(target))
            _check_replaceable(state, str(target))
            _keep_access(str(source), state)
        source.replace(target)
        return
    try:
        # A rename would replace what appeared meanwhile; a link does not.
        os.link(source, target, follow_symlinks=False)
    except FileExistsError:
        raise FileExistsError(errno.EEXIST, "exists already", str(target)) from None
    except (OSError, NotImplementedError):
        # A file system or a platform without hard links. Whatever else is wrong, the rename fails
        # of it, too.
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, "exists already", str(target)) from None
        source.rename(target)
    else:
        source.unlink()


def place_tree(source: Path, target: Path, *, overwrite: bool, like_cp: bool = False) -> None:
    """Move the content of the folder `source` into the folder `target`, merging folders.

    Every conflict is found before anything is moved. A symbolic link in `target` is replaced, never
    followed.

    Args:
        source: a folder on the same file system as `target`.
        target: an existing folder.
        overwrite: whether files may be replaced.
        like_cp: as for `place`.

    Raises:
        FileExistsError: something exists that may not be replaced, or a folder would have to be
            replaced by a file.
        NotADirectoryError: a file would have to be replaced by a folder.
    """
    top = str(target)
    moves = plan_moves(str(source), lambda inner: _state(f"{top}/{inner}"), shown=f"{top}/")
    for inner, _, replaced in moves:
        if replaced is not None and not overwrite:
            raise FileExistsError(errno.EEXIST, "exists already", f"{top}/{inner}")
        if like_cp:
            _check_replaceable(replaced, f"{top}/{inner}")
    for inner, is_folder, replaced in moves:
        moved, destination = f"{source}/{inner}", f"{top}/{inner}"
        if not (is_folder or overwrite):
            place(Path(moved), Path(destination), overwrite=False)
            continue
        if like_cp and not is_folder:
            _keep_access(moved, replaced)
        os.replace(moved, destination)  # noqa: PTH105 (pathlib would take half of the time)


class Move(NamedTuple):
    """A file or folder that goes from one tree to another one."""

    inner: str
    """Its path in both, with forward slashes."""
    is_folder: bool
    replaced: os.stat_result | None
    """The file or link that is in its place; None if there is nothing."""


def plan_moves(
    source: str, state_of: Callable[[str], os.stat_result | None], *, shown: str = ""
) -> list[Move]:
    """What to rename to merge a tree into another one, to which a folder goes as a whole where it
    has nothing of that name.

    Args:
        source: the folder whose content is to be moved.
        state_of: examines what has a path in the other tree, and follows no link; None for nothing.
        shown: the other tree in errors, with a slash at its end.

    Raises:
        FileExistsError: a folder would have to be replaced by a file.
        NotADirectoryError: a file would have to be replaced by a folder.
    """
    moves: list[Move] = []
    todo = [""]
    while todo:
        inside = todo.pop()
        with os.scandir(f"{source}/{inside}" if inside else source) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
        for entry in found:
            inner = f"{inside}/{entry.name}" if inside else entry.name
            is_folder = entry.is_dir(follow_symlinks=False)
            state = state_of(inner)
            meets_folder = state is not None and stat.S_ISDIR(state.st_mode)
            if is_folder and meets_folder:
                todo.append(inner)
            elif is_folder and state is not None:
                raise NotADirectoryError(errno.ENOTDIR, "a file is in the way", shown + inner)
            elif meets_folder:
                raise FileExistsError(errno.EEXIST, "a folder is in the way", shown + inner)
            else:
                moves.append(Move(inner, is_folder, state))
    return moves


def _state(path: str) -> os.stat_result | None:
    """Of a path itself, links not followed; None if nothing is there."""
    try:
        return os.lstat(path)
    except OSError:
        return None


def _keep_access(path: str, replaced: os.stat_result | None) -> None:
    """Give a file the permissions of the one that it will replace; if this is root, its owner, too.

    The owner first: with a new owner, some permissions are lost.
    """
    if replaced is None or not stat.S_ISREG(replaced.st_mode):
        return
    if sys.platform != "win32" and os.geteuid() == 0:
        with suppress(OSError):  # e.g. a file system without owners
            os.chown(path, replaced.st_uid, replaced.st_gid)
    os.chmod(path, stat.S_IMODE(replaced.st_mode))  # noqa: PTH101 (as above)


def _check_replaceable(state: os.stat_result | None, path: str) -> None:
    if state is not None and not (
        stat.S_ISREG(state.st_mode) or stat.S_ISLNK(state.st_mode) or stat.S_ISDIR(state.st_mode)
    ):
        raise FileExistsError(
            errno.EEXIST, "a device, a pipe or a socket is in the way; use another name", path
        )
