"""Files that arrive in a multipart form: staged first, and put in place when all are complete."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING
from urllib.parse import quote_from_bytes, unquote_to_bytes

import trio
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from ...config.user_dirs import sync_folder
from ...errors import RemoteProtocolError
from ...files.pending import pending_folder
from ...files.thread_writer import feed_in_thread
from ...wire.multipart import parse_name
from ...wire.multipart_parser import PartsParser
from ...wire.versions import Era
from ..cleanup import clean_up_in_thread
from ..refusals import Refused, refusal_of
from .vfolder_files import sync_above
from .workspace import Workspace

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

__all__ = ["UploadLimits", "receive_form"]

_MAX_HEADER_BYTES = 16 * 1024
"""Longest header of a part: a path has 4 KiB at most, and three times that when it is escaped.
Newer releases of the parser take less."""
# RFC 5987: some clients encode non-ASCII names this way, which the parser does not support.
_EXTENDED_NAME = re.compile(rb"(?i);\s*filename\*\s*=\s*utf-8'[^']*'([^;\s]+)")


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """Limits of one form; None for no limit."""

    files: int | None = None
    file_bytes: int | None = None
    room_bytes: int | None = None
    """For all files together: the rest of a virtual folder's quota."""

    @classmethod
    def of(cls, era: Era) -> UploadLimits:
        """The limits of an API version."""
        return cls(era.upload_max_files, era.upload_max_bytes)


async def receive_form(
    content_type: str,
    body: AsyncIterator[bytes],
    workspace: Workspace,
    limits: UploadLimits,
) -> list[str]:
    """Store the files of a form in a kernel's work folder or a virtual folder.

    A form that is refused or incomplete leaves nothing: files are written to a staging folder, and
    renamed into place at the end.

    Args:
        content_type: the header, with the boundary.
        body: the form's bytes.
        workspace: where the files go.
        limits: limits of the form.

    Returns:
        The names of the files.

    Raises:
        Refused: 400, the form is malformed, has too many files or one that is too large; 412, there
            is not enough room; 500, a name leads out of the work folder (this is how agents answer;
            docs/protocol.md, section 5.1).

    Cancellation: nothing is stored.
    """
    media_type, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if not media_type.startswith(b"multipart/") or not boundary:
        raise Refused(400, "invalid-api-params", "Not a multipart form")
    pending = pending_folder(workspace.staging)
    folder = await trio.to_thread.run_sync(pending.__enter__)
    form = _Form(folder, limits, is_lasting=workspace.is_lasting)
    try:
        parser = PartsParser(boundary, form.callbacks())
        await feed_in_thread(body, parser.write)
        if not form.complete:
            raise Refused(400, "invalid-api-params", "The form is incomplete")
        await trio.to_thread.run_sync(form.place, workspace)
    except (FormParserError, RemoteProtocolError) as exc:
        raise Refused(400, "invalid-api-params", "Malformed upload", str(exc)) from None
    finally:
        discard = partial(_discard, form, pending)
        await clean_up_in_thread(discard)  # noqa: ASYNC102 (bounded there)
    return [name for name, _ in form.files]


def _discard(form: _Form, pending: AbstractContextManager[Path]) -> None:
    form.close()
    pending.__exit__(None, None, None)


class _Form:
    """A form that is being parsed: the parser's callbacks, and the files so far."""

    def __init__(self, folder: Path, limits: UploadLimits, *, is_lasting: bool) -> None:
        self.files: list[tuple[str, Path]] = []
        self.complete = False
        self._folder = folder
        self._limits = limits
        self._is_lasting = is_lasting
        self._header: tuple[bytes, bytes] = (b"", b"")
        self._name: str | None = None
        self._file: IO[bytes] | None = None
        self._written = self._total = 0

    def callbacks(self) -> MultipartCallbacks:
        return {
            "on_part_begin": self._part_begin,
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_part_data": self._part_data,
            "on_part_end": self._part_end,
            "on_end": self._end,
        }

    def place(self, workspace: Workspace) -> None:
        """Rename the complete files into place; folders are made (as agents do since 1.3).

        Every conflict is found before anything is made or moved.
        """
        located: dict[str, Path] = {}
        files: dict[Path, dict[str, Path]] = {}
        for name, source in self.files:
            folder, _, last = name.rpartition("/")
            if folder not in located:
                located[folder] = workspace.locate(name).parent
            files.setdefault(located[folder], {})[last] = source
        for place, sources in files.items():
            for above in place.parents:
                if (file := place.relative_to(above).parts[0]) in files.get(above, ()):
                    raise _not_stored(f"{file!r} is in the form as a file and as a folder")
            try:
                workspace.check_stored(place, sources)
            except OSError as exc:
                raise _not_stored(f"{exc.filename!r}: {exc.strerror}") from None
        try:
            for place, sources in files.items():
                with workspace.held(place, make=True) as held:
                    for last, source in sources.items():
                        source.replace(held / last)
                    if workspace.is_lasting:
                        sync_folder(held)
                if workspace.is_lasting:
                    sync_above(workspace.root, place)
        except OSError as exc:
            raise _not_stored(f"{exc.filename2 or exc.filename}: {exc.strerror}") from None

    def close(self) -> None:
        """Close the file of an incomplete part, which is discarded."""
        if self._file is not None:
            try:
                self._file.close()
            except OSError:
                pass  # the disk is full, and the client was told so

    def _part_begin(self) -> None:
        self._header, self._name, self._written = (b"", b""), None, 0

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header = (self._header[0] + data[start:end], b"")
        self._check_header()

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._header = (self._header[0], self._header[1] + data[start:end])
        self._check_header()

    def _check_header(self) -> None:
        if sum(map(len, self._header)) > _MAX_HEADER_BYTES:
            detail = f"a header of a part has more than {_MAX_HEADER_BYTES:,} bytes"
            raise Refused(400, "invalid-api-params", "Malformed upload", detail)

    def _header_end(self) -> None:
        field, value = self._header
        self._header = (b"", b"")
        if field.lower() == b"content-disposition":
            _, options = parse_options_header(value)
            if (extended := _EXTENDED_NAME.search(value)) is not None:
                self._name = parse_name(unquote_to_bytes(extended[1]))
            elif b"filename" in options:
                self._name = parse_name(_unescaped(options[b"filename"]))

    def _headers_finished(self) -> None:
        if self._name is None:
            raise Refused(400, "invalid-api-params", "A part of the form has no file name")
        most = self._limits.files
        if most is not None and len(self.files) >= most:
            raise Refused(
                400, "invalid-api-params", "Too many files", f"one request takes at most {most}"
            )
        path = self._folder / str(len(self.files))
        self.files.append((self._name, path))
        self._file = path.open("wb")
        os.fchmod(self._file.fileno(), 0o644)

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        self._written += end - start
        self._total += end - start
        most, room = self._limits.file_bytes, self._limits.room_bytes
        if most is not None and self._written > most:
            detail = f"{self._name!r} has more than {most:,} bytes"
            raise Refused(400, "invalid-api-params", "Too large file", detail)
        if room is not None and self._total > room:
            detail = f"there is room for {room:,} bytes; remove files first"
            raise Refused(412, "quota-exceeded", "The folder's quota is exceeded", detail)
        if self._file is not None:
            try:
                self._file.write(data[start:end])
            except OSError as exc:
                raise refusal_of(exc, self._name or "") from None

    def _part_end(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            try:
                with file:
                    if self._is_lasting:
                        file.flush()
                        os.fsync(file.fileno())
            except OSError as exc:  # what was buffered does not fit on the disk
                raise refusal_of(exc, self._name or "") from None

    def _end(self) -> None:
        self.complete = True


def _not_stored(detail: str) -> Refused:
    return Refused(500, "kernel-execution-failed", "The file cannot be stored", detail)


def _unescaped(raw: bytes) -> bytes:
    """Decode a file name that aiohttp has percent-encoded, as official clients send it.

    A name is decoded only if it is encoded throughout and has an encoded slash or non-ASCII
    character: a file may really be called ``100%25``.
    """
    plain = unquote_to_bytes(raw)
    is_escaped = quote_from_bytes(plain, safe="").encode() == raw
    return plain if is_escaped and (b"/" in plain or not plain.isascii()) else raw
