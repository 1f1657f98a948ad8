"""Pictures and other media of a run, saved as files."""

from __future__ import annotations

import mimetypes
from pathlib import Path

from backendai_trio import Html, Media
from backendai_trio.files import PendingFile

__all__ = ["MediaFiles"]

_SUFFIXES = {
    "application/pdf": ".pdf",
    "image/gif": ".gif",
    "image/jpeg": ".jpg",
    "image/png": ".png",
    "image/svg+xml": ".svg",
    "text/html": ".html",
    "text/plain": ".txt",
}
"""The usual types, which a machine's own tables (of `mimetypes`) may name otherwise."""


class MediaFiles:
    """Numbered files in a folder; none that exists is ever replaced.

    Attributes:
        folder: where they are saved.
    """

    def __init__(self, folder: Path) -> None:
        """
        Args:
            folder: where to save; made when it is needed.
        """
        self.folder = folder
        self._numbers: dict[str, int] = {}

    def save(self, medium: Media | Html, content: bytes) -> Path:
        """Save a medium; returns its path.

        Args:
            medium: the medium.
            content: its bytes, which are known already.

        Raises:
            OSError: the file cannot be written; nothing is left of it.
        """
        stem = "picture" if medium.plain_type.startswith("image/") else "output"
        suffix = _suffix_of(medium)
        self.folder.mkdir(parents=True, exist_ok=True)
        number = self._numbers.get(stem + suffix, 0)
        while True:
            number += 1
            path = self.folder / f"{stem}-{number}{suffix}"
            try:
                with PendingFile(path) as file:
                    file.write(content)
                    file.complete()
            except FileExistsError:
                continue
            self._numbers[stem + suffix] = number
            return path


def _suffix_of(medium: Media | Html) -> str:
    if (suffix := _SUFFIXES.get(medium.plain_type)) is not None:
        return suffix
    return ".json" if medium.is_json else mimetypes.guess_extension(medium.plain_type) or ".bin"
