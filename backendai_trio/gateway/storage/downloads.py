"""Answers that carry a file, or the part of it that was asked for."""

from __future__ import annotations

import os
import secrets
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import IO

import trio

from ...errors import RemoteProtocolError
from ...wire.http import OCTETS
from ...wire.storage_proxy import ContentRange, attachment, parse_range
from ..bodies import PiecesResponse
from ..refusals import Refused

__all__ = ["DownloadTicket", "Tickets", "archive_response", "file_response"]

TICKET_SECONDS = 24 * 3600.0
"""How long a download may be gone on with."""
MAX_TICKETS = 10_000
_PIECE_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class DownloadTicket:
    """Leave to download a file."""

    user: str
    folder_id: str
    path: str
    archive: bool
    expires_at: float


class Tickets:
    """The tickets that are out; forgotten when the gateway ends, and then asked for anew."""

    def __init__(self) -> None:
        self._tickets: OrderedDict[str, DownloadTicket] = OrderedDict()

    def issue(self, user: str, folder_id: str, path: str, *, archive: bool) -> str:
        """A token for a file."""
        expires_at = trio.current_time() + TICKET_SECONDS
        token = secrets.token_urlsafe(32)
        self._tickets[token] = DownloadTicket(user, folder_id, path, archive, expires_at)
        while len(self._tickets) > MAX_TICKETS:
            self._tickets.popitem(last=False)
        return token

    def find(self, token: str) -> DownloadTicket:
        """What a token is for.

        Raises:
            Refused: nothing, or nothing any more.
        """
        ticket = self._tickets.get(token)
        if ticket is None or trio.current_time() > ticket.expires_at:
            detail = "the token is not known, or has expired; ask for another"
            raise Refused(404, "generic-not-found", "No such download", detail)
        return ticket


def file_response(
    file: IO[bytes],
    state: os.stat_result,
    name: str,
    *,
    wanted: str | None = None,
    unchanged_since: str | None = None,
    head_only: bool = False,
) -> PiecesResponse:
    """Answer with a file that was opened safely, or the part of it that was asked for.

    Starlette's own response opens files by name, and would follow what a kernel has put there.

    Args:
        file: unbuffered; closed when the answer has ended.
        state: of the file.
        name: what to call it.
        wanted: the Range header.
        unchanged_since: the If-Range header: an ETag or a date that must still fit.
        head_only: leave the body out.
    """
    size = state.st_size
    modified = format_datetime(datetime.fromtimestamp(int(state.st_mtime), UTC), usegmt=True)
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
        if unchanged_since in (None, etag, modified):
            found = parse_range(wanted, size)
            if found is not None:
                part, status = found, 206
                headers["content-range"] = part.encode()
    except RemoteProtocolError:
        part, status = ContentRange(0, 0, size), 416
        headers["content-range"] = f"bytes */{size}"
    shown = ContentRange(0, 0, size) if head_only else part
    length = part.end - part.start
    return PiecesResponse(_Part(file, shown), OCTETS, length, status=status, headers=headers)


def archive_response(pieces: Iterator[bytes], name: str) -> PiecesResponse:
    """Answer with a folder as a ZIP archive, made while it is sent."""
    headers = {"content-disposition": attachment(f"{name}.zip")}
    return PiecesResponse(pieces, "application/zip", headers=headers)


class _Part(Iterator[bytes]):
    """A part of a file, piece by piece.

    No generator: `close` on one that was not begun would leave the file open, and a client may have
    gone before the first piece.
    """

    def __init__(self, file: IO[bytes], part: ContentRange) -> None:
        self._file = file
        self._position = part.start
        self._end = part.end

    def __next__(self) -> bytes:
        if self._position >= self._end:
            raise StopIteration
        size = min(_PIECE_BYTES, self._end - self._position)
        piece = os.pread(self._file.fileno(), size, self._position)
        if not piece:
            # Less than was said: the connection breaks, which is how a client learns of it.
            raise OSError("the file was cut while it was sent")
        self._position += len(piece)
        return piece

    def close(self) -> None:
        self._file.close()
