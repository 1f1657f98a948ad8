"""The multipart form that uploads files (docs/protocol.md, section 5.1), and names of files.

Each file is one part named ``src``. Servers read only its filename, which is a path relative to the
kernel's work folder.
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
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def multipart_type(boundary: str) -> str:
    """The Content-Type header; only its media type is signed (docs/protocol.md, section 2.2)."""
    return f"multipart/form-data; boundary={boundary}"


def encode_part_head(name: str, boundary: str) -> bytes:
    """The head of a part, before a file's bytes.

    The name is escaped as a quoted string, so that no name can end the header, even one that
    `check_name` would have refused.

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
    """The end of a part, after a file's bytes; the end of the form if it is the last part."""
    return f"\r\n--{boundary}--\r\n".encode() if last else b"\r\n"


def check_name(name: str) -> str:
    """Refuse a name that could leave the work folder or break a header.

    Args:
        name: relative path with forward slashes.

    Returns:
        The name without empty components and ``.``.

    Raises:
        LocalProtocolError: it is absolute, climbs with ``..``, is empty, has a control character or
            a backslash, a component of more than 255 bytes, or more than 128 components.
    """
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/"):
        raise LocalProtocolError(f"{name!r} is absolute; name it relative to the folder")
    if ".." in parts:
        raise LocalProtocolError(f"{name!r} leads out of the folder; write it without '..'")
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
    """A caller's names as a list.

    Raises:
        LocalProtocolError: they are a single string. It would be read as a list of letters:
            removing ``ab`` would remove ``a`` and ``b``.
    """
    if isinstance(names, str | bytes) or not isinstance(names, Iterable):
        raise LocalProtocolError(f"{names!r} is not a list; for a single one, give [{names!r}]")
    return list(names)


def received_name(name: str, what: str) -> str:
    """Check a name that was received.

    Args:
        name: the name.
        what: the message it is part of, for the error's text.

    Raises:
        RemoteProtocolError: `check_name` refuses it.
    """
    try:
        return check_name(name)
    except LocalProtocolError as exc:
        raise RemoteProtocolError(f"{what}: {exc}") from None


def parse_name(raw: bytes) -> str:
    """Check a file's name that was received in a form; the inverse of `encode_part_head`.

    Raises:
        RemoteProtocolError: it is not UTF-8 or `check_name` refuses it.
    """
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise RemoteProtocolError("upload: a file name is not UTF-8") from None
    return received_name(text, "upload")
