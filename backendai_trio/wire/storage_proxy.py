"""Resumable transfers of large files: tus uploads, and downloads of byte ranges.

Source: docs/protocol.md, section 7.4 (storage proxies, 20.09+), tus 1.0.0 with its checksum
extension, and RFC 9110, section 14 (ranges). Storage proxies have neither checksums nor digests;
our gateway announces `TUS_CHECKSUM`, and refuses a PATCH whose body was damaged on its way.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from ..errors import RemoteProtocolError

__all__ = [
    "TUS_CHECKSUM",
    "TUS_VERSION",
    "ContentRange",
    "PatchHead",
    "TusState",
    "attachment",
    "parse_range",
]

TUS_CHECKSUM = "tus-checksum"
"""Feature of our gateway: a PATCH may carry the SHA-256 of its body."""
TUS_VERSION = "1.0.0"
TUS_CONTENT_TYPE = "application/offset+octet-stream"
CHECKSUM_MISMATCH = 460
"""Status of a PATCH whose checksum does not match (tus)."""

_NUMBER = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class PatchHead:
    """The headers of a PATCH."""

    offset: int
    """Where its body begins in the file, in bytes."""
    sha256: bytes | None = None
    """Digest of the body, 32 bytes."""

    def encode(self) -> dict[str, str]:
        """Headers of the PATCH request."""
        headers = {
            "Tus-Resumable": TUS_VERSION,
            "Upload-Offset": str(self.offset),
            "Content-Type": TUS_CONTENT_TYPE,
        }
        if self.sha256 is not None:
            headers["Upload-Checksum"] = f"sha256 {b64encode(self.sha256).decode('ascii')}"
        return headers

    @classmethod
    def decode(cls, headers: Mapping[str, str]) -> PatchHead:
        """Read the headers; names in lower case. ``Tus-Resumable`` may be missing.

        The official client 23.9.10 does not send it, nor does any proxy ask for it.

        Raises:
            RemoteProtocolError: there is no offset, or the checksum is not SHA-256.
        """
        algorithm, _, text = headers.get("upload-checksum", "").partition(" ")
        digest: bytes | None = None
        if algorithm:
            try:
                digest = b64decode(text, validate=True)
            except (Base64Error, ValueError):
                digest = b""
            if algorithm != "sha256" or len(digest) != 32:
                raise RemoteProtocolError("upload: Upload-Checksum must be 'sha256 <base64>'")
        return cls(_number(headers, "upload-offset"), digest)


@dataclass(frozen=True, slots=True)
class TusState:
    """The state of an upload."""

    offset: int
    """Bytes that have arrived."""
    length: int | None = None
    """Bytes in all; only in replies to HEAD."""

    def encode(self) -> dict[str, str]:
        """Headers of a reply to HEAD or PATCH."""
        headers = {
            "Tus-Resumable": TUS_VERSION,
            "Upload-Offset": str(self.offset),
            "Cache-Control": "no-store",
        }
        if self.length is not None:
            headers["Upload-Length"] = str(self.length)
        return headers

    @classmethod
    def decode(cls, headers: Mapping[str, str]) -> TusState:
        """Read the headers of a reply; names in lower case.

        Raises:
            RemoteProtocolError: there is no offset.
        """
        length = _number(headers, "upload-length") if "upload-length" in headers else None
        return cls(_number(headers, "upload-offset"), length)


@dataclass(frozen=True, slots=True)
class ContentRange:
    """The bytes of a file that a reply carries."""

    start: int
    end: int
    """Offset behind the last byte."""
    size: int
    """Of the whole file."""

    def encode(self) -> str:
        """The header of a reply with status 206."""
        return f"bytes {self.start}-{self.end - 1}/{self.size}"

    @classmethod
    def decode(cls, text: str) -> ContentRange:
        """Read the header.

        Raises:
            RemoteProtocolError: it is malformed, or has no size.
        """
        match = re.fullmatch(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})", text)
        found = cls(int(match[1]), int(match[2]) + 1, int(match[3])) if match else None
        if found is None or not found.start < found.end <= found.size:
            raise RemoteProtocolError(f"download: {text[:60]!r} is not a range of bytes")
        return found


def parse_range(text: str | None, size: int) -> ContentRange | None:
    """The bytes that a Range header requests; None for all of them.

    A header of another form, or with several ranges, may be ignored (RFC 9110, section 14.2).

    Args:
        text: the header, None if there is none.
        size: bytes of the file.

    Raises:
        RemoteProtocolError: the file has no such byte (status 416).
    """
    match = re.fullmatch(r"bytes=([0-9]{0,18})-([0-9]{0,18})", (text or "").replace(" ", ""))
    if match is None or not (match[1] or match[2]):
        return None
    if match[1]:
        start = int(match[1])
        end = min(int(match[2]) + 1, size) if match[2] else size
    else:
        start, end = max(size - int(match[2]), 0), size
    if match[1] and match[2] and int(match[2]) < start:
        return None  # invalid, and so ignored
    if start >= size or start >= end:
        raise RemoteProtocolError(f"download: {text!r} is beyond the file's {size} bytes")
    return ContentRange(start, end, size)


def attachment(name: str) -> str:
    """A Content-Disposition header for a file of this name (RFC 6266).

    Special characters are replaced or escaped, so that no name can end the header.
    """
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in name)
    encoded = quote(name.encode("utf-8", "replace"), safe="")
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}"


def _number(headers: Mapping[str, str], name: str) -> int:
    text = headers.get(name, "").strip()
    if not _NUMBER.fullmatch(text):
        raise RemoteProtocolError(f"upload: header {name} must be a number, got {text[:40]!r}")
    return int(text)
