"""Files on their way into a kernel."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import trio

from .errors import LocalProtocolError, UploadError
from .transport.client import Client
from .wire.http import Request
from .wire.uploads import check_name, encode_part_head, multipart_type, part_end
from .wire.versions import Era

__all__ = ["Upload", "check_uploads", "plan_uploads", "send_files"]

_CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Upload:
    """A local file and the name it gets in the work folder."""

    path: Path
    name: str
    """Relative to the work folder, with forward slashes."""
    size: int
    """Bytes, when it was planned."""


def plan_uploads(
    paths: Iterable[str | os.PathLike[str]], *, base: Path | None = None
) -> list[Upload]:
    """Look at files before anything is sent or created.

    A file below `base` keeps its relative path; any other goes by its last component.

    Args:
        paths: regular files.
        base: folder that names are relative to; default: the current one.

    Raises:
        UploadError: one is missing, unreadable, no regular file, or two get the same name.
    """
    base = (base or Path.cwd()).resolve()
    planned: dict[str, Upload] = {}
    for item in paths:
        path = Path(item)
        try:
            mode_and_size = path.stat()
            resolved = path.resolve()
        except (OSError, ValueError) as exc:
            reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
            raise UploadError(str(path), f"cannot be uploaded: {reason}") from None
        if not stat.S_ISREG(mode_and_size.st_mode):
            kind = "a folder" if path.is_dir() else "not a regular file"
            raise UploadError(str(path), f"cannot be uploaded: it is {kind}; name regular files")
        if not os.access(path, os.R_OK):
            raise UploadError(str(path), "cannot be uploaded: no permission to read it")
        try:
            inside = resolved.is_relative_to(base)
            name = check_name(
                (resolved.relative_to(base) if inside else Path(path.name)).as_posix()
            )
        except LocalProtocolError as exc:
            raise UploadError(str(path), str(exc)) from None
        if name in planned:
            raise UploadError(str(path), f"{planned[name].path} would be uploaded as {name!r} too")
        planned[name] = Upload(path, name, mode_and_size.st_size)
    return list(planned.values())


def check_uploads(uploads: Iterable[Upload], era: Era) -> None:
    """Refuse what a server of this era would refuse, before a kernel is made for it.

    Raises:
        UploadError: a file is too large.
    """
    for upload in uploads:
        if upload.size > era.upload_max_bytes:
            raise UploadError(
                str(upload.path),
                f"has {upload.size:,} bytes, and a kernel takes at most "
                f"{era.upload_max_bytes:,} in one; put it into a virtual folder and mount that",
            )


async def send_files(client: Client, token: str, uploads: Sequence[Upload]) -> None:
    """Upload to a kernel, in as few requests as the server's limit on files allows."""
    era = client.era
    check_uploads(uploads, era)
    for start in range(0, len(uploads), era.upload_max_files):
        group = uploads[start : start + era.upload_max_files]
        boundary = f"backendai-{secrets.token_hex(16)}"
        path = era.session_path(token, "upload")
        request = Request("POST", path, content_type=multipart_type(boundary))
        length = sum(
            len(encode_part_head(item.name, boundary))
            + item.size
            + len(part_end(boundary, last=last))
            for item, last in _with_last(group)
        )
        await client.call(request, content=_form(group, boundary), content_length=length)


async def _form(uploads: Sequence[Upload], boundary: str) -> AsyncIterator[bytes]:
    """The form's bytes, read as they are sent: memory does not grow with the files."""
    for item, last in _with_last(uploads):
        yield encode_part_head(item.name, boundary)
        sent = 0
        while chunk := await trio.to_thread.run_sync(_read, item.path, sent):
            sent += len(chunk)
            if sent > item.size:
                break
            yield chunk
        if sent != item.size:
            raise UploadError(str(item.path), "changed its size while it was uploaded; try again")
        yield part_end(boundary, last=last)


def _read(path: Path, offset: int) -> bytes:
    """One chunk. The file is opened for each, so that none is open while the form is suspended."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(_CHUNK_BYTES)
    except OSError as exc:
        raise UploadError(str(path), f"cannot be read: {exc.strerror}") from exc


def _with_last(uploads: Sequence[Upload]) -> list[tuple[Upload, bool]]:
    return [(item, index == len(uploads) - 1) for index, item in enumerate(uploads)]
