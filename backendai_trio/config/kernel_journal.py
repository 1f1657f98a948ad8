"""Which kernels a client has made, on disk, so that those of a client that was killed can be ended.

A file a kernel, which its client holds locked as long as it lives: the operating system lets go of
the lock however the client ends, so nothing has to be guessed from process ids. No secret is in it.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .user_dirs import state_folder

__all__ = ["Journal", "LeftKernel", "Note", "journal_folder"]

_BEING_MADE_SECONDS = 60.0
"""An empty file that is younger is a note that is just being written."""


def journal_folder() -> Path:
    """Where commands keep their journal."""
    return state_folder() / "kernels"


class Note:
    """That a kernel exists, from before it is created."""

    def __init__(self, path: Path, fd: int) -> None:
        self._path = path
        self._fd = fd

    def close(self, *, forget: bool) -> None:
        """Let go of it. With `forget` the kernel has ended, or is not ours to end."""
        if forget:
            self._path.unlink(missing_ok=True)
        os.close(self._fd)


@dataclass(frozen=True)
class LeftKernel:
    """A kernel whose client has ended without ending it."""

    token: str
    url: str
    """Of the server it was made on."""
    access_key: str
    path: Path

    def forget(self) -> None:
        """It has ended."""
        self.path.unlink(missing_ok=True)


class Journal:
    """A folder of notes; made when the first one is. Where it cannot be written, none are kept."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def note(self, token: str, *, url: str, access_key: str) -> Note | None:
        """Write down a kernel that is about to be created; None where that cannot be."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd, name = tempfile.mkstemp(dir=self.folder, prefix=f"{token}-", suffix=".json")
        except OSError:
            return None
        try:
            _lock(fd)
            text = json.dumps({"token": token, "endpoint": url, "access_key": access_key})
            os.write(fd, text.encode())
        except OSError:
            os.close(fd)
            Path(name).unlink(missing_ok=True)
            return None
        return Note(Path(name), fd)

    def left(self) -> Iterator[LeftKernel]:
        """The kernels whose clients have ended, oldest first."""
        try:
            paths = sorted(self.folder.glob("*.json"), key=lambda path: path.stat().st_mtime)
        except OSError:
            return
        for path in paths:
            if (found := _read(path)) is not None:
                yield found


def _read(path: Path) -> LeftKernel | None:
    """What a note says, unless its client lives."""
    try:
        fd = os.open(path, os.O_RDWR)
    except OSError:
        return None
    try:
        _lock(fd)
        data = os.read(fd, 65536)
        if not data and time.time() - os.fstat(fd).st_mtime > _BEING_MADE_SECONDS:
            path.unlink(missing_ok=True)
        match json.loads(data or b"null"):
            case {"token": str(token), "endpoint": str(url), "access_key": str(access_key)}:
                return LeftKernel(token, url, access_key, path)
    except (OSError, ValueError):
        pass  # its client lives, or it is no note
    finally:
        os.close(fd)
    return None


def _lock(fd: int) -> None:
    """Lock a file until it is closed.

    Raises:
        OSError: somebody else has it locked.
    """
    if sys.platform == "win32":
        import msvcrt

        # Far behind what is in it: Windows keeps others from reading what is locked.
        os.lseek(fd, 1 << 20, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        os.lseek(fd, 0, os.SEEK_SET)
    else:
        import fcntl

        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
