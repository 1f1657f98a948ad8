"""Responses with a file, a part of it or several files, and the tickets for downloading files."""

from __future__ import annotations

import os
import secrets
import zlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import IO

import trio

from ...errors import RemoteProtocolError
from ...wire.file_times import known_time
from ...wire.http import OCTETS
from ...wire.storage_proxy import ContentRange, attachment, parse_range
from ..bodies import StreamedResponse
from ..refusals import Refused

__all__ = [
    "DownloadTicket",
    "DownloadTickets",
    "archive_response",
    "file_response",
    "parts_response",
]

TICKET_SECONDS = 24 * 3600.0
"""How long a ticket is valid."""
_TICKET_BYTES = 1024 * 1024
_ALL_TICKETS_BYTES = 64 * 1024 * 1024
_TEXT_BYTES = 128
"""What a text takes besides its characters, roughly."""
_CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class DownloadTicket:
    """Permission to download a file."""

    user: str
    folder_id: str
    path: str
    archive: bool
    expires_at: float
    files: tuple[str, ...] = ()
    """Of an archive of several; `path` is then its name."""

    @property
    def size(self) -> int:
        """How many bytes of memory it takes, roughly."""
        return sum(_TEXT_BYTES + len(text) for text in (self.user, self.path, *self.files))


class DownloadTickets:
    """The valid tickets. They are lost when the gateway ends; clients then request new ones.

    Args:
        max_bytes: memory that all of them may take; the oldest ones become invalid first.
    """

    def __init__(self, max_bytes: int = _ALL_TICKETS_BYTES) -> None:
        self._tickets: OrderedDict[str, DownloadTicket] = OrderedDict()
        self._max_bytes = max_bytes
        self._bytes = 0

    def issue(
        self, user: str, folder_id: str, path: str, *, archive: bool, files: Sequence[str] = ()
    ) -> str:
        """Issue a ticket for a file, or for an archive of several, and return its token.

        Raises:
            Refused: 400, the paths are too long.
        """
        expires_at = trio.current_time() + TICKET_SECONDS
        ticket = DownloadTicket(user, folder_id, path, archive, expires_at, tuple(files))
        if ticket.size > _TICKET_BYTES:
            detail = f"{len(files):,} paths; name folders, or request several archives"
            raise Refused(400, "invalid-api-params", "Too many paths for one archive", detail)
        token = secrets.token_urlsafe(32)
        self._tickets[token] = ticket
        self._bytes += ticket.size
        while self._bytes > self._max_bytes:
            self._bytes -= self._tickets.popitem(last=False)[1].size
        return token

    def find(self, token: str) -> DownloadTicket:
        """The ticket of a token.

        Raises:
            Refused: 404, there is none, or it has expired.
        """
        ticket = self._tickets.get(token)
        if ticket is None or trio.current_time() > ticket.expires_at:
            detail = "the token is unknown or has expired; request a new one"
            raise Refused(404, "generic-not-found", "No such download", detail)
        return ticket


def file_response(
    file: IO[bytes],
    state: os.stat_result,
    name: str,
    *,
    range_header: str | None = None,
    if_range: str | None = None,
    head_only: bool = False,
) -> StreamedResponse:
    """A response with an open file, or with the range of it that the request asks for.

    Starlette's `FileResponse` opens files by name, and would follow a link that a kernel has made.

    Args:
        file: an unbuffered file, which is closed at the end of the response.
        state: of the file.
        name: the file's name for the client.
        range_header: the Range header.
        if_range: the If-Range header: an ETag or a date. The range is ignored if it does not match.
        head_only: leave out the body.
    """
    size = state.st_size
    moment = datetime.fromtimestamp(int(known_time(state.st_mtime)), UTC)
    modified = format_datetime(moment, usegmt=True)
    etag = f'"{state.st_mtime_ns:x}-{size:x}-{state.st_ino:x}"'
    headers = {
        "accept-ranges": "bytes",
        "last-modified": modified,
        "etag": etag,
        "content-disposition": attachment(name),
        "x-content-type-options": "nosniff",
    }
    part, status = ContentRange(0, size, size), 200
    try:
        if if_range in (None, etag, modified):
            found = parse_range(range_header, size)
            if found is not None:
                part, status = found, 206
                headers["content-range"] = part.encode()
    except RemoteProtocolError:
        part, status = ContentRange(0, 0, size), 416
        headers["content-range"] = f"bytes */{size}"
    sent = ContentRange(0, 0, size) if head_only else part
    length = part.end - part.start
    return StreamedResponse(_FileRange(file, sent), OCTETS, length, status=status, headers=headers)


def archive_response(chunks: Iterator[bytes], name: str) -> StreamedResponse:
    """A response with a ZIP archive of a folder, which is made while it is sent."""
    headers = {"content-disposition": attachment(f"{name}.zip")}
    return StreamedResponse(chunks, "application/zip", headers=headers)


def parts_response(files: Sequence[tuple[IO[bytes], os.stat_result]]) -> StreamedResponse:
    """A multipart response with a compressed part for each file, as managers of 18.12 send it.

    Args:
        files: unbuffered files, which are closed at the end of the response, and their states.
    """
    boundary = secrets.token_hex(16)
    total = sum(state.st_size for _, state in files)
    return StreamedResponse(
        _CompressedParts(files, boundary),
        f"multipart/mixed; boundary={boundary}",
        headers={"x-total-payloads-length": str(total)},
    )


class _CompressedParts(Iterator[bytes]):
    """The parts, in chunks. Not a bare generator, for the reason that `_FileRange` is none."""

    def __init__(self, files: Sequence[tuple[IO[bytes], os.stat_result]], boundary: str) -> None:
        self._open = ExitStack()
        for file, _ in files:
            self._open.enter_context(file)
        self._chunks = _compressed_parts([file for file, _ in files], boundary)

    def __next__(self) -> bytes:
        return next(self._chunks)

    def close(self) -> None:
        self._open.close()


def _compressed_parts(files: Sequence[IO[bytes]], boundary: str) -> Iterator[bytes]:
    for file in files:
        yield (f"--{boundary}\r\nContent-Encoding: gzip\r\nContent-Type: {OCTETS}\r\n\r\n").encode()
        deflater = zlib.compressobj(wbits=16 + zlib.MAX_WBITS)
        while data := file.read(_CHUNK_BYTES):
            yield deflater.compress(data)
        yield deflater.flush() + b"\r\n"
    yield f"--{boundary}--\r\n".encode()


class _FileRange(Iterator[bytes]):
    """A range of a file, in chunks.

    Not a generator: `close` of a generator that was not started would leave the file open, and a
    client may disconnect before the first chunk.
    """

    def __init__(self, file: IO[bytes], part: ContentRange) -> None:
        self._file = file
        self._position = part.start
        self._end = part.end

    def __next__(self) -> bytes:
        if self._position >= self._end:
            raise StopIteration
        size = min(_CHUNK_BYTES, self._end - self._position)
        chunk = os.pread(self._file.fileno(), size, self._position)
        if not chunk:
            # Less than the Content-Length: the error closes the connection, which tells the client.
            raise OSError("the file was truncated while it was sent")
        self._position += len(chunk)
        return chunk

    def close(self) -> None:
        self._file.close()
