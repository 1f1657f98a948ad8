"""The tar archive of an upload, in chunks."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterable

from ..wire.archives import BLOCK, END, Entry, encode_entry, encode_seal, entry_length, padding
from .progress import ProgressReporter
from .sources import Upload, UploadStream

__all__ = ["UploadArchive", "archive_length"]


def archive_length(uploads: Iterable[Upload]) -> int:
    """Bytes of the archive of these uploads, its seal included."""
    return sum(entry_length(upload.entry) for upload in uploads) + len(END) + BLOCK


class UploadArchive:
    """Builds an archive in chunks of a given size, or slightly more, and counts what is in them.

    Args:
        chunk_size: bytes that make a chunk worth sending.
    """

    def __init__(self, chunk_size: int) -> None:
        self._chunk_size = chunk_size
        self._digest = hashlib.sha256()
        self._parts: list[bytes] = []
        self._size = 0
        self._packed: list[tuple[str, int, int | None]] = []

    @property
    def is_full(self) -> bool:
        """Whether there is enough for a chunk."""
        return self._size >= self._chunk_size

    @property
    def sha256(self) -> str:
        """Digest of all chunks that were taken, in hexadecimal."""
        return self._digest.hexdigest()

    def take(self) -> bytes:
        """Take all that was added since the last call."""
        chunk = b"".join(self._parts)
        self._parts, self._size = [], 0
        self._digest.update(chunk)
        return chunk

    def add_files(self, uploads: Iterable[Upload]) -> Generator[bytes, None, None]:
        """Add files and folders, and yield chunks that are full. Blocks.

        Raises:
            UploadError: a file cannot be read, or its size is not the planned one any more.
        """
        for upload in uploads:
            self._add(encode_entry(upload.entry))
            if not (upload.is_folder or upload.link):
                for data in upload.read():
                    self._add(data)
                    self._packed.append((upload.name, len(data), upload.size))
                    if self.is_full:
                        yield self.take()
                self._add(padding(upload.size))
            if self.is_full:
                yield self.take()

    def add_stream_chunk(self, stream: UploadStream, data: bytes, *, first: bool) -> None:
        """Add bytes of a stream, as an entry of its own: its size may be unknown.

        Args:
            stream: the stream.
            data: its next bytes.
            first: whether the stream begins with them.
        """
        self._add(encode_entry(Entry(stream.name, "file", len(data), more=not first)))
        self._add(data)
        self._add(padding(len(data)))
        self._packed.append((stream.name, len(data), stream.size))

    def finish(self) -> bytes:
        """Add the end mark, and take the rest."""
        self._add(END)
        return self.take()

    def seal(self) -> bytes:
        """The block that follows the end mark in archives for our own gateway."""
        return encode_seal(self.sha256)

    def _add(self, data: bytes) -> None:
        self._parts.append(data)
        self._size += len(data)

    async def report(self, reporter: ProgressReporter) -> None:
        """Report the bytes that were added since the last call."""
        packed, self._packed = self._packed, []
        for name, count, size in packed:
            await reporter.advance(name, count, size)
