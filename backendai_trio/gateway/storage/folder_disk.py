"""Where the files of virtual folders are on the disk.

Each folder has one named by its id. In it, ``files`` is what users see and kernels mount,
``uploads`` has incomplete uploads, ``copying`` is locked while a gateway copies to it, and
``mounted`` while a gateway has a kernel that mounts it. Locks end with their gateway.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from ...config.user_dirs import make_private_folder

__all__ = ["FolderDisk"]

_CLOCK_SECONDS = 60.0
"""What was made so far in the future was made before the clock was set back."""


class FolderDisk:
    """The folders below a root, which is made with the first of them. All methods block.

    Attributes:
        root: the root.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def files_of(self, folder_id: str) -> Path:
        """The path of a folder's files."""
        return self._made(folder_id, "files")

    def staging_of(self, folder_id: str) -> Path:
        """The path of incomplete uploads, on the same file system."""
        return self._made(folder_id, "uploads")

    def exists(self, folder_id: str) -> bool:
        """Whether there is anything of a folder."""
        return os.path.lexists(self.root / folder_id)

    def remove(self, folder_id: str) -> bool:
        """Remove all files of a folder, as far as possible; returns whether all are gone."""
        shutil.rmtree(self.root / folder_id, ignore_errors=True)
        return not self.exists(folder_id)

    def remove_upload(self, folder_id: str, key: str) -> None:
        """Remove an incomplete upload."""
        (self.root / folder_id / "uploads" / key).unlink(missing_ok=True)

    @contextmanager
    def copying(self, folder_id: str) -> Iterator[Path]:
        """The path of a folder's files, which belongs to this gateway until it ends or is killed.

        Raises:
            OSError: the folder cannot be made or locked.
        """
        files = self.files_of(folder_id)
        lock = os.open(self._lock_of(folder_id), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield files
        finally:
            self._lock_of(folder_id).unlink(missing_ok=True)
            os.close(lock)

    @contextmanager
    def mounting(self, folder_id: str) -> Iterator[None]:
        """Keep all gateways from removing a folder, until the block ends or this one is killed.

        Raises:
            BlockingIOError: a gateway is removing it.
            OSError: it cannot be locked.
        """
        with self._locked(folder_id, fcntl.LOCK_SH):
            yield

    @contextmanager
    def removing(self, folder_id: str) -> Iterator[None]:
        """Keep all gateways from mounting a folder.

        Raises:
            BlockingIOError: a gateway has mounted it.
            OSError: it cannot be locked.
        """
        with self._locked(folder_id, fcntl.LOCK_EX):
            yield

    @contextmanager
    def _locked(self, folder_id: str, kind: int) -> Iterator[None]:
        path = self._made(folder_id, "files").parent / "mounted"
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, kind | fcntl.LOCK_NB)
            yield
        finally:
            os.close(lock)

    def is_being_copied(self, folder_id: str) -> bool:
        """Whether a gateway copies to a folder."""
        try:
            lock = os.open(self._lock_of(folder_id), os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(lock)
        return False

    def ids(self) -> set[str]:
        """The ids of all folders that are on the disk."""
        try:
            with os.scandir(self.root) as entries:
                return {entry.name for entry in entries if entry.is_dir(follow_symlinks=False)}
        except FileNotFoundError:
            return set()

    def remove_forms(self, folder_ids: Iterable[str], before: datetime) -> None:
        """Remove the staging folders of forms whose gateway was killed: no index has them.

        Args:
            folder_ids: the folders that the forms were to be stored in.
            before: forms that were begun after this may still arrive.
        """
        for folder_id in folder_ids:
            _remove_forms(self.root / folder_id / "uploads", before.timestamp())

    def _lock_of(self, folder_id: str) -> Path:
        return self.root / folder_id / "copying"

    def _made(self, folder_id: str, name: str) -> Path:
        path = self.root / folder_id / name
        make_private_folder(path)
        return path


def _remove_forms(staging: Path, before: float) -> None:
    try:
        with os.scandir(staging) as entries:
            for entry in entries:
                if not entry.is_dir(follow_symlinks=False):
                    continue
                begun = entry.stat().st_mtime
                if begun < before:
                    shutil.rmtree(entry.path, ignore_errors=True)
                elif begun > time.time() + _CLOCK_SECONDS:  # the clock has been set back since then
                    os.utime(entry.path)
    except OSError:
        return
