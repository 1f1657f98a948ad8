"""Sources of an upload: local files and folders, and streams."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import trio

from ..errors import UploadError
from ..wire.archives import Entry
from .chunks import CHUNK_SIZE

__all__ = ["Links", "Upload", "UploadStream"]

Links = Literal["follow", "keep", "skip"]
"""What becomes of symbolic links in a folder: their targets are uploaded, the links themselves are,
or neither."""
_CLOSE_SECONDS = 5.0
"""How long a stream may take to clean up."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A local file, folder or symbolic link, and its name in the work folder."""

    path: Path
    name: str
    """Relative to the work folder, with forward slashes."""
    size: int
    """Bytes at the time of planning; 0 for folders and links."""
    is_folder: bool = False
    """Whether this is a folder. Each file in it is an upload of its own."""
    executable: bool = False
    modified: int = 0
    """Seconds since 1970."""
    link: str = ""
    """Target of a symbolic link that is uploaded as one; empty for files and folders."""

    @property
    def error_path(self) -> str:
        """`UploadError.path` of its errors."""
        return str(self.path)

    @property
    def entry(self) -> Entry:
        """The header of this upload in an archive."""
        if self.link:
            return Entry(self.name, "symlink", modified=self.modified, target=self.link)
        kind: Literal["file", "folder"] = "folder" if self.is_folder else "file"
        return Entry(self.name, kind, self.size, self.executable, self.modified)

    def read_at(self, offset: int, size: int) -> bytes:
        """Read part of the content. Blocks.

        Args:
            offset: first byte.
            size: how many bytes.

        Raises:
            UploadError: the file cannot be read, or its size is not the planned one any more.
        """
        last = offset + size == self.size
        try:
            with self.path.open("rb") as file:
                file.seek(offset)
                data = file.read(size + last)
        except OSError as exc:
            raise self._unreadable(exc) from exc
        if len(data) != size:
            raise self._changed()
        return data

    def read(self) -> Iterator[bytes]:
        """Iterate over the content, in chunks of `CHUNK_SIZE` at most. Blocks.

        Raises:
            UploadError: the file cannot be read, or its size is not the planned one any more.
        """
        left = self.size
        try:
            # Without a file object, small files take half of the time.
            file = os.open(self.path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
            try:
                ended = False
                while left >= 0 and not ended:
                    limit = min(left + 1, CHUNK_SIZE)
                    chunk = os.read(file, limit)
                    left -= len(chunk)
                    ended = len(chunk) < limit
                    if chunk and left >= 0:
                        yield chunk
            finally:
                os.close(file)
        except OSError as exc:
            raise self._unreadable(exc) from exc
        if left:
            raise self._changed()

    def _unreadable(self, exc: OSError) -> UploadError:
        return UploadError(str(self.path), f"cannot be read: {exc.strerror}")

    def _changed(self) -> UploadError:
        return UploadError(str(self.path), "changed its size while it was uploaded; try again")


@dataclass(frozen=True, slots=True)
class UploadStream:
    """Bytes that are produced while they are sent, and their file's name in the work folder."""

    content: AsyncIterable[bytes]
    """Iterated over once. A slow receiver slows it."""
    name: str
    """Relative to the work folder, with forward slashes."""
    size: int | None = None
    """Bytes, if known beforehand; the upload fails when the content has another size."""

    @property
    def error_path(self) -> str:
        """`UploadError.path` of its errors."""
        return self.name

    @asynccontextmanager
    async def open(self) -> AsyncIterator[AsyncIterator[bytes]]:
        """Iterate over the content. A generator is closed in the end, exhausted or not.

        Raises:
            UploadError: at the end of the iteration, or before: the content has another size than
                `size`.
        """
        chunks = aiter(self.content)
        checked = self._checked(chunks)
        try:
            yield checked
        finally:
            with trio.move_on_after(_CLOSE_SECONDS, shield=True):
                await checked.aclose()
                if (close := getattr(chunks, "aclose", None)) is not None:
                    await close()

    async def _checked(self, chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        done = 0
        async for chunk in chunks:
            done += len(chunk)
            if self.size is not None and done > self.size:
                raise self._other_size()
            yield chunk
        if self.size is not None and done != self.size:
            raise self._other_size()

    def _other_size(self) -> UploadError:
        return UploadError(self.name, f"has another size than the {self.size:,} bytes announced")
