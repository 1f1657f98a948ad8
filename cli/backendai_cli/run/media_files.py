"""Pictures and other media of a run, saved as files."""

from __future__ import annotations

import mimetypes
from pathlib import Path

from backendai_trio.files import PendingFile

__all__ = ["MediaFiles"]

_SUFFIXES = {
    "application/json": ".json",
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

    def save(self, mime_type: str, content: bytes) -> Path:
        """Save a medium; returns its path.

        Args:
            mime_type: its type, in lower case and without parameters.
            content: its bytes.

        Raises:
            OSError: the file cannot be written; nothing is left of it.
        """
        stem = "picture" if mime_type.startswith("image/") else "output"
        suffix = _suffix_of(mime_type)
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


def _suffix_of(mime_type: str) -> str:
    if (suffix := _SUFFIXES.get(mime_type)) is not None:
        return suffix
    if mime_type.endswith("+json"):
        return ".json"
    return mimetypes.guess_extension(mime_type) or ".bin"
