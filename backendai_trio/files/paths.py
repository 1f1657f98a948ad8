"""Where files may be written: names joined safely, and files that appear only when complete.

Every function here blocks; asynchronous callers use threads.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, NamedTuple

from ..errors import LocalProtocolError
from ..wire.multipart import check_name

__all__ = [
    "Move",
    "PendingFile",
    "check_local_name",
    "is_temporary",
    "link_target",
    "pending_folder",
    "place",
    "place_tree",
    "plan_moves",
    "safe_join",
]

_PREFIX, _SUFFIX = ".backendai-", ".part"


def check_local_name(name: str) -> str:
    """Refuse a name that could leave the folder that it is joined to on this machine.

    Args:
        name: relative, with forward slashes.

    Returns:
        The name without empty components and ``.``.

    Raises:
        LocalProtocolError: the name is hostile (`check_name`), or has a colon on Windows, where
            that names a drive or a hidden stream of a file.
    """
    if sys.platform == "win32" and ":" in name:
        raise LocalProtocolError(f"{name!r} has a colon in it, which Windows takes for a drive")
    return check_name(name)


def safe_join(root: Path, name: str, *, also: Iterable[Path] = ()) -> Path:
    """The path of `name` below `root`; refused if a symbolic link on the way leads out of `root`.

    The file need not exist, nor its folders. `root` itself may be a link.

    Args:
        root: an existing folder.
        name: relative, with forward slashes.
        also: resolved folders that a link may lead to, such as mounted ones.

    Returns:
        The path. Its last component may be a link, and is not followed.

    Raises:
        LocalProtocolError: the name is hostile (`check_local_name`), or leads out of `root`.
    """
    root = root.resolve()
    target = root / check_local_name(name)
    parent = target.parent.resolve()
    if not any(parent.is_relative_to(folder) for folder in (root, *also)):
        raise LocalProtocolError(f"{name!r} leads out of the folder through a symbolic link")
    return target


def link_target(path: Path) -> Path:
    """The file that is written when somebody writes to `path`: symbolic links are followed.

    For names that a person chose. A name that came from a server must not be followed.

    Args:
        path: a file that need not exist.
    """
    return path.resolve() if path.is_symlink() else path


def is_temporary(name: str) -> bool:
    """Whether a file or folder of this name is one of ours that is not complete yet.

    Args:
        name: the last component of a path.
    """
    return name.startswith(_PREFIX) and name.endswith(_SUFFIX)


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
        # A file system or a platform without hard links. What else is wrong, the rename says, too.
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
        raise FileExistsError(errno.EEXIST, "a device, a pipe or a socket is in the way", path)


class PendingFile:
    """A file that gets its name when it is complete; nothing remains of one that is not.

    Use as a context manager, or call `discard` in the end in any case.

    Attributes:
        target: its name once it is complete.
        size: bytes written so far.
    """

    def __init__(
        self, target: Path, *, overwrite: bool = False, mode: int = 0o666, like_cp: bool = False
    ) -> None:
        """Create a temporary file in the folder of `target`.

        Args:
            target: the file's name once it is complete; its folder must exist.
            overwrite: whether a file of that name may be replaced.
            mode: permission bits, less the umask.
            like_cp: as for `place`; a replaced file's permissions then count, not `mode`, and
                nobody else can read the new one before it has them.

        Raises:
            FileExistsError: `target` exists and `overwrite` is False.
            OSError: the file cannot be created.
        """
        if not overwrite and os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, "exists already", str(target))
        if like_cp and overwrite and (old := _state(str(target))) and stat.S_ISREG(old.st_mode):
            mode = 0o600
        self.target = target
        self.size = 0
        self._overwrite = overwrite
        self._like_cp = like_cp
        self._temporary: Path | None = target.parent / _temporary_name()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        self._file: IO[bytes] = os.fdopen(os.open(self._temporary, flags, mode), "wb", 0)

    def write(self, data: bytes) -> None:
        """Append bytes.

        Args:
            data: the bytes.

        Raises:
            OSError: the disk is full, or fails.
        """
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]
        self.size += len(data)

    @property
    def path(self) -> Path:
        """Where the file is now."""
        return self._temporary or self.target

    def restart(self) -> None:
        """Drop everything written so far."""
        self._file.seek(0)
        self._file.truncate()
        self.size = 0

    def complete(self, *, modified: float = 0) -> None:
        """Give the file its name.

        Args:
            modified: its time of modification, in seconds since 1970; 0 for now.

        Raises:
            FileExistsError: a file of that name exists that may not be replaced.
        """
        self._file.close()
        if self._temporary is not None:
            if modified:
                os.utime(self._temporary, (modified, modified))
            place(
                self._temporary,
                self.target,
                overwrite=self._overwrite,
                like_cp=self._like_cp,
            )
            self._temporary = None

    def discard(self) -> None:
        """Remove the file unless it is complete. May be repeated."""
        self._file.close()
        if self._temporary is not None:
            self._temporary.unlink(missing_ok=True)
            self._temporary = None

    def __enter__(self) -> PendingFile:
        return self

    def __exit__(
        self, kind: object, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.discard()


@contextmanager
def pending_folder(parent: Path) -> Iterator[Path]:
    """A temporary folder inside `parent`, removed with its content when the block ends.

    Raises:
        OSError: it cannot be created.
    """
    folder = parent / _temporary_name()
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _temporary_name() -> str:
    return f"{_PREFIX}{secrets.token_hex(8)}{_SUFFIX}"
