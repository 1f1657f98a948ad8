"""Where the files of virtual folders are on the disk.

Each folder has one named by its id. In it, ``files`` is what users see and kernels mount, and
``uploads`` has incomplete uploads.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Collection
from datetime import datetime
from pathlib import Path

__all__ = ["FolderDisk"]


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

    def remove(self, folder_id: str) -> None:
        """Remove all files of a folder, as far as possible."""
        shutil.rmtree(self.root / folder_id, ignore_errors=True)

    def remove_upload(self, folder_id: str, key: str) -> None:
        """Remove an incomplete upload."""
        (self.root / folder_id / "uploads" / key).unlink(missing_ok=True)

    def sweep(self, known_ids: Callable[[], Collection[str]], before: datetime) -> None:
        """Remove what deleted folders, and gateways that were killed, have left.

        Args:
            known_ids: gives the ids of all folders.
            before: forms that were begun after this may still arrive.
        """
        # The disk first, because a folder is added to the index before it is made.
        found = self._ids()
        for folder_id in set(found).difference(known_ids()):
            self.remove(folder_id)
        for folder_id in found:
            _remove_forms(self.root / folder_id / "uploads", before.timestamp())

    def _ids(self) -> list[str]:
        try:
            with os.scandir(self.root) as entries:
                return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
        except FileNotFoundError:
            return []

    def _made(self, folder_id: str, name: str) -> Path:
        path = self.root / folder_id / name
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return path


def _remove_forms(staging: Path, before: float) -> None:
    """Remove staging folders of forms whose gateway was killed; the index does not have them."""
    try:
        with os.scandir(staging) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False) and entry.stat().st_mtime < before:
                    shutil.rmtree(entry.path, ignore_errors=True)
    except OSError:
        return
