"""Tar archives as streams of events: folders leave kernels as such (docs/protocol.md, section 5.3).

`tarfile` reads extension headers of any size into memory and keeps a list of all members; this
decoder bounds the first and does without the second. Archives are written in GNU's form, which
every tar program reads, that of BusyBox included. Between our client and our gateway an archive
ends with a seal: one more block behind the end mark, where other readers have stopped, with the
SHA-256 of all bytes before it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from ..errors import RemoteProtocolError
from .multipart import check_name, received_name
from .tar_headers import BLOCK, MAX_NAME_BYTES, MAX_NUMBER, Header

__all__ = [
    "BLOCK",
    "END",
    "TAR",
    "ArchiveDecoder",
    "Entry",
    "encode_entry",
    "encode_seal",
    "entry_length",
    "padding",
]

TAR = "application/x-tar"
END = bytes(2 * BLOCK)
"""The end mark."""
MAX_EXTENSION_BYTES = 64 * 1024
"""Largest extension header (long names); a name takes less than 32 KiB."""
MAX_EXTENSIONS = 4
"""How many extension headers one entry may have."""
_EMPTY = bytes(BLOCK)
_SEAL = b"backendai-seal sha256="
_MORE = "BACKENDAI.more"
_EXTENDED, _GLOBAL, _LONG_NAME, _LONG_LINK = b"x", b"g", b"L", b"K"
_LONG_LINK_NAME = "././@LongLink"
_OLD_FILE = b"\0"
_KINDS: dict[bytes, Literal["file", "folder", "symlink", "hardlink"]] = {
    b"0": "file",
    _OLD_FILE: "file",
    b"7": "file",  # a contiguous one
    b"5": "folder",
    b"2": "symlink",
    b"1": "hardlink",
}
_TYPES = {"file": b"0", "folder": b"5", "symlink": b"2"}
_MODES = {"file": 0o644, "folder": 0o755, "symlink": 0o777}


@dataclass(frozen=True, slots=True)
class Entry:
    """A member of an archive."""

    name: str
    """Relative path with forward slashes, checked; ``""`` for the archive's own root."""
    kind: Literal["file", "folder", "symlink", "hardlink"]
    size: int = 0
    """Bytes of content that follow; 0 for all but files."""
    executable: bool = False
    modified: int = 0
    """Seconds since 1970."""
    target: str = ""
    """Where a link leads, as it stands in the archive."""
    more: bool = False
    """Whether this goes on with the file of the same name right before it. Only our own client
    sends such entries, for streams of unknown size, and only our gateway reads them."""


def encode_entry(entry: Entry) -> bytes:
    """The headers of a file, folder or symbolic link.

    Raises:
        LocalProtocolError: the name cannot be in an archive.
    """
    check_name(entry.name)
    header = _header(entry)
    parts = []
    for kind, data in _extensions(header, more=entry.more):
        name = "././@PaxHeader" if kind == _EXTENDED else _LONG_LINK_NAME
        parts += [Header(name, kind, len(data)).encode(), data, padding(len(data))]
    return b"".join([*parts, header.encode()])


def entry_length(entry: Entry) -> int:
    """Bytes of a file or folder in an archive: headers, content and padding."""
    extensions = _extensions(_header(entry), more=entry.more)
    head = BLOCK + sum(BLOCK + _padded(len(data)) for _, data in extensions)
    return head + _padded(entry.size)


def _header(entry: Entry) -> Header:
    return Header(
        f"{entry.name}/" if entry.kind == "folder" else entry.name,
        _TYPES[entry.kind],
        entry.size,
        _MODES[entry.kind] | (0o111 if entry.executable else 0),
        entry.modified if 0 <= entry.modified <= MAX_NUMBER else 0,
        entry.target,
    )


def _extensions(header: Header, *, more: bool) -> list[tuple[bytes, bytes]]:
    """Kinds and contents of the headers that must precede this one."""
    found = []
    for kind, name in ((_LONG_LINK, header.target), (_LONG_NAME, header.name)):
        encoded = name.encode("utf-8", "surrogateescape")
        # BusyBox wants a NUL behind a name.
        if len(encoded) >= MAX_NAME_BYTES:
            found.append((kind, encoded + b"\0"))
    return [*found, (_EXTENDED, _record(_MORE, "1"))] if more else found


def _record(key: str, value: str) -> bytes:
    """A line of a pax header; it begins with its own length."""
    rest = f" {key}={value}\n".encode("utf-8", "surrogateescape")
    length = len(rest)
    while len(str(length)) + len(rest) != length:
        length = len(str(length)) + len(rest)
    return str(length).encode("ascii") + rest


def padding(size: int) -> bytes:
    """The zero bytes that follow a file of this size."""
    return bytes(_padded(size) - size)


def _padded(size: int) -> int:
    return size + -size % BLOCK


def encode_seal(digest: str) -> bytes:
    """The block behind the end mark.

    Args:
        digest: SHA-256 of everything before it, the end mark included; hexadecimal.
    """
    return (_SEAL + digest.encode("ascii")).ljust(BLOCK, b"\0")


class ArchiveDecoder:
    """Reads an archive: feed it bytes as they arrive, and take out entries and chunks of files.

    Each `Entry` of a file is followed by its content, as views of the bytes that were fed.
    """

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._ended = False
        self._seal = ""
        self._buffer = bytearray()
        self._content = 0
        self._padding = 0
        self._extension: Header | None = None
        self._extended: dict[str, str] = {}
        self._extensions = 0
        self._empty_blocks = 0

    def feed(self, data: bytes) -> Iterator[Entry | memoryview]:
        """Take bytes in, and yield the entries and the content they hold.

        Raises:
            RemoteProtocolError: this is not a tar archive, or one of its names is hostile.
        """
        view = memoryview(data)
        at, end = 0, len(view)
        sealed_to = 0 if self._ended else end
        while at < end:
            if self._content:
                chunk = view[at : at + self._content]
                self._content -= len(chunk)
                at += len(chunk)
                yield chunk
                continue
            needed = self._needed()
            block = bytes(view[at : at + needed - len(self._buffer)])
            at += len(block)
            if self._buffer or len(block) < needed:
                self._buffer += block
                if len(self._buffer) < needed:
                    break
                block = bytes(self._buffer)
                self._buffer.clear()
            if self._ended:
                self._take_seal(block)
            elif self._padding:
                self._padding = 0
            elif (entry := self._take(block)) is not None:
                yield entry
            elif self._ended:
                sealed_to = at
        # One call: hashing lets go of the interpreter's lock, and each time it must be had again.
        self._digest.update(view[:sealed_to])

    def finish(self, *, sealed: bool = False) -> None:
        """Check, when no more bytes come, that the archive is whole.

        Args:
            sealed: whether a seal is required; one that is present must match in any case.

        Raises:
            RemoteProtocolError: the archive was cut short, or altered on its way.
        """
        if not self._ended or (sealed and not self._seal):
            raise RemoteProtocolError("archive: it was cut short")
        if self._seal and self._seal != self._digest.hexdigest():
            raise RemoteProtocolError("archive: it was altered on its way (SHA-256 differs)")

    def _needed(self) -> int:
        if self._padding:
            return self._padding
        if self._extension is not None:
            return _padded(self._extension.size)
        return BLOCK

    def _take_seal(self, block: bytes) -> None:
        if block.startswith(_SEAL) and not self._seal:
            self._seal = block[len(_SEAL) :].rstrip(b"\0").decode("ascii", "replace")

    def _take(self, block: bytes) -> Entry | None:
        if self._extension is not None:
            self._take_extension(self._extension, block)
            self._extension = None
            return None
        if block == _EMPTY:
            self._empty_blocks += 1
            self._ended = self._empty_blocks == 2
            return None
        if self._empty_blocks:
            raise RemoteProtocolError("archive: an entry follows the end mark")
        return self._take_header(block)

    def _take_header(self, block: bytes) -> Entry | None:
        header = Header.decode(block)
        if header.kind in (_EXTENDED, _GLOBAL, _LONG_NAME, _LONG_LINK):
            self._extensions += 1
            if not 0 < header.size <= MAX_EXTENSION_BYTES or self._extensions > MAX_EXTENSIONS:
                raise RemoteProtocolError("archive: an extension header is too large")
            self._extension = header
            return None
        extended, self._extended, self._extensions = self._extended, {}, 0
        return self._entry(header, extended)

    def _entry(self, header: Header, extended: dict[str, str]) -> Entry:
        name = _checked(extended.get("path", header.name))
        kind = _KINDS.get(header.kind)
        if kind is None or any(key.startswith("GNU.sparse") for key in extended):
            raise RemoteProtocolError(
                f"archive: {name!r} is a device, a pipe or a sparse file; refused"
            )
        if header.kind == _OLD_FILE and header.name.endswith("/"):
            kind = "folder"
        size = header.size
        if (text := extended.get("size")) is not None:
            if not (text.isascii() and text.isdigit()) or len(text) > 18:
                raise RemoteProtocolError(f"archive: {name!r} has an impossible size")
            size = int(text)
        if not name and kind != "folder":
            raise RemoteProtocolError("archive: an entry has no name")
        # Only files have content, whatever a header says; all tar programs read it so.
        size = size if kind == "file" else 0
        self._content, self._padding = size, _padded(size) - size
        target = extended.get("linkpath", header.target)
        more = kind == "file" and extended.get(_MORE) == "1"
        return Entry(name, kind, size, bool(header.mode & 0o100), header.modified, target, more)

    def _take_extension(self, header: Header, block: bytes) -> None:
        data = block[: header.size]
        if header.kind == _GLOBAL:
            return  # defaults for all entries: none of them matters here
        if header.kind == _EXTENDED:
            self._extended |= _records(data)
        else:
            key = "path" if header.kind == _LONG_NAME else "linkpath"
            self._extended[key] = data.rstrip(b"\0").decode("utf-8", "surrogateescape")


def _records(data: bytes) -> dict[str, str]:
    """The ``LENGTH KEY=VALUE`` lines of a pax header."""
    found: dict[str, str] = {}
    while data:
        digits, space, _ = data[:12].partition(b" ")
        length = int(digits) if digits.isdigit() and space else 0
        record = data[len(digits) + 1 : length]
        key, equals, value = record.partition(b"=")
        if length > len(data) or not equals or not value.endswith(b"\n"):
            raise RemoteProtocolError("archive: a pax header is malformed")
        found[key.decode("utf-8", "replace")] = value[:-1].decode("utf-8", "surrogateescape")
        data = data[length:]
    return found


def _checked(raw: str) -> str:
    """A member's name without a leading ``./`` and a trailing ``/``."""
    while raw.startswith("./"):
        raw = raw[2:].lstrip("/") if raw[2:].startswith("/") else raw[2:]
    name = raw.rstrip("/") if raw.strip("/") else raw
    if name in ("", "."):
        return ""
    return received_name(name, "archive")
