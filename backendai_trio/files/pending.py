"""Files and folders that get their names when they are complete, and are removed otherwise.

Everything here blocks; asynchronous callers use threads.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO

from .placing import place

__all__ = ["PendingFile", "pending_folder"]


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
        if like_cp and overwrite and target.is_file() and not target.is_symlink():
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

    def sync(self) -> None:
        """Put what was written on the disk.

        After a power failure the file then has its old content or the new one.

        Raises:
            OSError: the disk fails.
        """
        os.fsync(self._file.fileno())

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
    return f".backendai-{secrets.token_hex(8)}.part"
