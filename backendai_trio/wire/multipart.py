"""Files on their way into a kernel: the multipart form of section 5.1.

Each file is one part named ``src``; the server looks at the filename alone, which is a path
relative to the kernel's work folder.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TypeVar

from ..errors import LocalProtocolError, RemoteProtocolError

__all__ = [
    "check_name",
    "check_names",
    "encode_part_head",
    "multipart_type",
    "parse_name",
    "part_end",
    "received_name",
]

T = TypeVar("T")
_DRIVE = re.compile("[A-Za-z]:")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def multipart_type(boundary: str) -> str:
    """The Content-Type header; only its media type is signed (section 2.2)."""
    return f"multipart/form-data; boundary={boundary}"


def encode_part_head(name: str, boundary: str) -> bytes:
    """What stands before a file's bytes.

    The name is escaped as a quoted string, so that no name can end the header. `check_name` has
    refused control characters before; this holds on its own too.

    Args:
        name: path relative to the work folder, with forward slashes.
        boundary: the form's boundary.
    """
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    escaped = escaped.replace("\r", "%0D").replace("\n", "%0A")
    return (
        f"--{boundary}\r\n"
        f'Content-Disposition: form-data; name="src"; filename="{escaped}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    ).encode()


def part_end(boundary: str, *, last: bool) -> bytes:
    """What stands behind a file's bytes; after the last one, the end of the form."""
    return f"\r\n--{boundary}--\r\n".encode() if last else b"\r\n"


def check_name(name: str) -> str:
    """Refuse names that could leave the work folder or break a header; returns it normalised.

    Raises:
        LocalProtocolError: it is absolute, climbs with ``..``, is empty, has a control character,
            or a component of more than 255 bytes.
    """
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or _DRIVE.match(name):
        raise LocalProtocolError(f"{name!r} is absolute; name it relative to the work folder")
    if ".." in parts:
        raise LocalProtocolError(f"{name!r} climbs out of the work folder with '..'")
    if not parts or name.endswith("/"):
        raise LocalProtocolError(f"{name!r} does not name a file")
    if _CONTROL.search(name):
        raise LocalProtocolError(f"{name!r} has a control character in it")
    if "\\" in name:
        raise LocalProtocolError(f"{name!r} has a backslash in it; use forward slashes")
    try:
        too_long = len(name.encode()) > 255 and any(len(part.encode()) > 255 for part in parts)
    except UnicodeEncodeError:
        raise LocalProtocolError(f"{name!r} is not valid Unicode") from None
    if too_long or len(parts) > 128:
        raise LocalProtocolError(f"{name[:60]!r}... is too long for a file name")
    return "/".join(parts)


def check_names(names: Iterable[T]) -> list[T]:
    """The names that a caller gave, as a list.

    Raises:
        LocalProtocolError: it is a single one, whose letters would be taken for names: to remove
            ``ab`` would be to remove ``a`` and ``b``.
    """
    if isinstance(names, str | bytes) or not isinstance(names, Iterable):
        raise LocalProtocolError(f"{names!r} is no list; for a single one, give [{names!r}]")
    return list(names)


def received_name(name: str, what: str) -> str:
    """A name that the other side sent, checked.

    Args:
        name: the name.
        what: what it came in, for the error's text.

    Raises:
        RemoteProtocolError: `check_name` refuses it.
    """
    try:
        return check_name(name)
    except LocalProtocolError as exc:
        raise RemoteProtocolError(f"{what}: {exc}") from None


def parse_name(raw: bytes) -> str:
    """A file's name as it arrived in a form, checked; the twin of `encode_part_head`.

    Raises:
        RemoteProtocolError: it is not UTF-8 or `check_name` refuses it.
    """
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise RemoteProtocolError("upload: a file name is not UTF-8") from None
    return received_name(text, "upload")
