"""A journal of the kernels that clients have created, so that `gc` can end those of killed clients.

Each kernel has a file, and its client keeps the file locked. The operating system releases the lock
however the client ends, so nothing has to be guessed from process ids. The files hold no secrets.

A file has one line of JSON for the kernel, and a second one for its id once the server has given
it. Lines are only appended: a write that is cut short, by a full disk or a client that is killed,
spoils no line before it.
"""

from __future__ import annotations

import errno
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from .user_dirs import make_private_folder, state_folder

__all__ = ["Journal", "LeftKernel", "Note", "journal_folder"]

_BEING_MADE_SECONDS = 60.0
"""A file without a whole line that is younger may still be written to. No kernel was created for
one that is older, since a create is sent when the line is there."""


def journal_folder() -> Path:
    """Folder of the journal that the command line keeps."""
    return state_folder() / "kernels"


class Note:
    """The entry of one kernel. It is written before the kernel is created."""

    def __init__(self, path: Path, fd: int) -> None:
        self._path = path
        self._fd = fd

    def identify(self, kernel_id: str) -> None:
        """Add the kernel's id, by which it is also found when it has been renamed.

        Args:
            kernel_id: as the server gave it.
        """
        try:
            _append(self._fd, {"id": kernel_id})
        except OSError:
            pass  # the disk is full: there is still the token

    def close(self, *, forget: bool) -> None:
        """Release the entry.

        Args:
            forget: remove it: the kernel has ended, or its client shall not end it.
        """
        if forget:
            self._path.unlink(missing_ok=True)
        os.close(self._fd)


@dataclass(frozen=True)
class LeftKernel:
    """A kernel whose client ended without destroying it."""

    token: str
    url: str
    """URL of its server."""
    access_key: str
    path: Path
    kernel_id: str = ""
    """Its id; empty if the server had not given it yet."""
    age_seconds: float = 0.0
    """Seconds since the entry was written."""

    def forget(self) -> None:
        """Remove the entry, when the kernel has ended."""
        self.path.unlink(missing_ok=True)


class Journal:
    """A folder of entries, made with the first one. Where it cannot be written, none are kept."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def note(self, token: str, *, url: str, access_key: str) -> Note | None:
        """Write the entry of a kernel that is about to be created.

        Args:
            token: the kernel's token.
            url: of its server.
            access_key: of the key pair that creates it.

        Returns:
            The entry; None if it cannot be written.
        """
        try:
            make_private_folder(self.folder)
            fd, name = tempfile.mkstemp(dir=self.folder, prefix=f"{token}-", suffix=".json")
        except OSError:
            return None
        try:
            _lock(fd)
            _append(fd, {"token": token, "endpoint": url, "access_key": access_key})
        except OSError:
            os.close(fd)
            Path(name).unlink(missing_ok=True)
            return None
        return Note(Path(name), fd)

    def left(self) -> Iterator[LeftKernel]:
        """Kernels whose clients have ended, oldest first."""
        try:
            paths = list(self.folder.glob("*.json"))
        except OSError:
            return
        entries = [(written, path) for path in paths if (written := _written(path)) is not None]
        for _, path in sorted(entries):
            if (found := _read(path)) is not None:
                yield found


def _written(path: Path) -> float | None:
    """When an entry was written, in seconds; None if it has been removed since it was listed."""
    try:
        return path.stat().st_mtime
    except OSError:
        return None


def _read(path: Path) -> LeftKernel | None:
    """The kernel of an entry; None if its client is alive or has removed it, or if it is none."""
    try:
        fd = os.open(path, os.O_RDWR)
    except OSError:
        return None
    try:
        _lock(fd)
        state = os.fstat(fd)
        if not state.st_nlink:
            return None  # its client removed it before it gave the lock up
        first, *others = os.read(fd, 65536).splitlines() or [b""]
        age = time.time() - state.st_mtime
        entry = _decoded(first)
        # One of the future was made before the clock was set back.
        if entry is None and abs(age) > _BEING_MADE_SECONDS:
            path.unlink(missing_ok=True)
        more = _decoded(b"".join(others)) or {}
        match entry:
            case {"token": str(token), "endpoint": str(url), "access_key": str(access_key), **rest}:
                kernel_id = str((rest | more).get("id", ""))
                return LeftKernel(token, url, access_key, path, kernel_id, age)
    except OSError:
        pass  # locked by its client
    finally:
        os.close(fd)
    return None


def _append(fd: int, content: Mapping[str, str]) -> None:
    """Append a line to a file.

    Raises:
        OSError: the line was not written, or not wholly.
    """
    line = json.dumps(content).encode() + b"\n"
    if os.write(fd, line) < len(line):
        raise OSError(errno.ENOSPC, "the entry was not written wholly")


def _decoded(line: bytes) -> dict[str, object] | None:
    """The object on a line; None for a line that was cut, or is of something else."""
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else {}


def _lock(fd: int) -> None:
    """Lock a file until it is closed.

    Raises:
        OSError: another process holds the lock.
    """
    if sys.platform == "win32":
        import msvcrt

        # Far behind the content: on Windows, others cannot read a locked range.
        os.lseek(fd, 1 << 20, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        os.lseek(fd, 0, os.SEEK_SET)
    else:
        import fcntl

        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
