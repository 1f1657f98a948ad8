"""Where files may be written: names joined safely, and files that appear only when complete.

All of it blocks; asynchronous callers use threads.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO

from ..errors import LocalProtocolError
from ..wire.multipart import check_name

__all__ = ["PendingFile", "is_temporary", "pending_folder", "place", "place_tree", "safe_join"]

_PREFIX, _SUFFIX = ".backendai-", ".part"


def safe_join(root: Path, name: str, *, also: Iterable[Path] = ()) -> Path:
    """The place of `name` below `root`; no symbolic link on the way leads out of it.

    The file need not exist, nor its folders. `root` itself may be a link.

    Args:
        root: an existing folder.
        name: relative, with forward slashes.
        also: resolved folders that a link may lead to, e.g. mounted ones.

    Raises:
        LocalProtocolError: the name is hostile (`check_name`), or leads out of `root`.
    """
    root = root.resolve()
    target = root / check_name(name)
    parent = target.parent.resolve()
    if not any(parent.is_relative_to(folder) for folder in (root, *also)):
        raise LocalProtocolError(f"{name!r} leads out of the folder through a symbolic link")
    return target


def is_temporary(name: str) -> bool:
    """Whether a file's or folder's name says that it is not complete."""
    return name.startswith(_PREFIX) and name.endswith(_SUFFIX)


def place(source: Path, target: Path, *, overwrite: bool) -> None:
    """Rename a file, in one step for everybody who looks.

    Raises:
        FileExistsError: `target` exists and `overwrite` is False.
        OSError: it cannot be placed, e.g. since a folder is in the way.
    """
    if overwrite:
        source.replace(target)
        return
    try:
        # A rename would replace what appeared meanwhile; a link does not.
        os.link(source, target, follow_symlinks=False)
    except FileExistsError:
        raise
    except (OSError, NotImplementedError):  # a file system or a platform without hard links
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, "exists already", str(target)) from None
        source.rename(target)
    else:
        source.unlink()


def place_tree(source: Path, target: Path, *, overwrite: bool) -> None:
    """Move what is in the folder `source` into the folder `target`, merging folders.

    What may not be replaced is looked for before anything is moved. A symbolic link that stands
    in `target` is replaced, never followed.

    Raises:
        FileExistsError: something is there and `overwrite` is False, or a folder would have to be
            replaced by a file.
        NotADirectoryError: a file would have to be replaced by a folder.
    """
    moves = list(_moves(str(source), str(target)))
    for _, is_folder, place_of in moves:
        if not os.path.lexists(place_of):
            continue
        if is_folder:
            raise NotADirectoryError(errno.ENOTDIR, "a file is in the way", place_of)
        if _is_folder(place_of):
            raise FileExistsError(errno.EEXIST, "a folder is in the way", place_of)
        if not overwrite:
            raise FileExistsError(errno.EEXIST, "exists already", place_of)
    for moved, is_folder, place_of in moves:
        if is_folder or overwrite:
            os.replace(moved, place_of)  # noqa: PTH105 (pathlib would take half of the time)
        else:
            place(Path(moved), Path(place_of), overwrite=False)


def _moves(source: str, target: str) -> Iterator[tuple[str, bool, str]]:
    """What to rename to where; a folder as a whole where there is none of its name."""
    with os.scandir(source) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        there = f"{target}/{entry.name}"
        is_folder = entry.is_dir(follow_symlinks=False)
        if is_folder and _is_folder(there):
            yield from _moves(entry.path, there)
        else:
            yield entry.path, is_folder, there


def _is_folder(path: str) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return False


class PendingFile:
    """A file that gets its name when it is complete; left before, nothing of it remains.

    Use as a context manager, or call `discard` at the end in any case.

    Attributes:
        target: its name once it is complete.
        size: bytes written so far.
    """

    def __init__(self, target: Path, *, overwrite: bool = False, mode: int = 0o666) -> None:
        """Open it, in the folder of `target`, which must exist.

        Raises:
            FileExistsError: `target` is there and `overwrite` is False.
            OSError: it cannot be written there.
        """
        if not overwrite and os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, "exists already", str(target))
        self.target = target
        self.size = 0
        self._overwrite = overwrite
        self._temporary: Path | None = target.parent / _temporary_name()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        self._file: IO[bytes] = os.fdopen(os.open(self._temporary, flags, mode), "wb", 0)

    def write(self, data: bytes) -> None:
        """Append bytes."""
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]
        self.size += len(data)

    def restart(self) -> None:
        """Forget what was written."""
        self._file.seek(0)
        self._file.truncate()
        self.size = 0

    def complete(self) -> None:
        """Give it its name.

        Raises:
            FileExistsError: a file of that name has appeared, and is not to be replaced.
        """
        self._file.close()
        if self._temporary is not None:
            place(self._temporary, self.target, overwrite=self._overwrite)
            self._temporary = None

    def discard(self) -> None:
        """Remove it, unless it is complete. May be repeated."""
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
    """A folder inside `parent` for what is not complete; it goes with the block."""
    folder = parent / _temporary_name()
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _temporary_name() -> str:
    return f"{_PREFIX}{secrets.token_hex(8)}{_SUFFIX}"
