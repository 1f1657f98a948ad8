"""Tar archives as streams of events: how folders come out of kernels (contract section 5.3).

`tarfile` reads extension headers of any size into memory and keeps a list of all members, so only
its codec of the 512-byte header is used. An archive of our own gateway ends with a seal: one more
block behind the end mark, where other readers have stopped, with the SHA-256 of all bytes before.
"""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from ..errors import RemoteProtocolError
from .uploads import check_name, received_name

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
BLOCK = 512
END = bytes(2 * BLOCK)
"""The end mark."""
MAX_EXTENSION_BYTES = 64 * 1024
"""Largest extension header (long names); a name takes less than 32 KiB."""
MAX_EXTENSIONS = 4
"""How many extension headers one entry may have."""
_SEAL = b"backendai-seal sha256="
_MORE = "BACKENDAI.more"
_EXTENDED, _GLOBAL = tarfile.XHDTYPE, tarfile.XGLTYPE
_LONG_NAME, _LONG_LINK = tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK
_KINDS: dict[bytes, Literal["file", "folder", "symlink", "hardlink"]] = {
    tarfile.REGTYPE: "file",
    tarfile.AREGTYPE: "file",
    tarfile.CONTTYPE: "file",
    tarfile.DIRTYPE: "folder",
    tarfile.SYMTYPE: "symlink",
    tarfile.LNKTYPE: "hardlink",
}
_TYPES = {"file": tarfile.REGTYPE, "folder": tarfile.DIRTYPE, "symlink": tarfile.SYMTYPE}
_DEFAULT_MODES = {"file": 0o644, "folder": 0o755, "symlink": 0o777}


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
    """Whether this is a further piece of the file of this name that came just before. Only our own
    client sends such, for streams whose size nobody knows beforehand."""


def encode_entry(entry: Entry) -> bytes:
    """The headers of a file, folder or symbolic link.

    Raises:
        LocalProtocolError: the name cannot be in an archive.
    """
    check_name(entry.name)
    info = tarfile.TarInfo(entry.name)
    info.type = _TYPES[entry.kind]
    info.size = entry.size
    info.mode = _DEFAULT_MODES[entry.kind] | (0o111 if entry.executable else 0)
    info.mtime = entry.modified
    info.linkname = entry.target
    if entry.more:
        info.pax_headers = {_MORE: "1"}
    if _is_plain(entry):
        return info.tobuf(tarfile.USTAR_FORMAT, "utf-8", "surrogateescape")
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def entry_length(entry: Entry) -> int:
    """How long a file or folder is in an archive, content and padding included."""
    head = BLOCK if _is_plain(entry) else len(encode_entry(entry))
    return head + entry.size + len(padding(entry.size))


def _is_plain(entry: Entry) -> bool:
    """Whether the oldest form of header can hold it, which is also the quickest to make."""
    return (
        entry.name.isascii()
        and len(entry.name) < 100
        and entry.size < 8 * 1024**3
        and not entry.more
        and not entry.target
    )


def padding(size: int) -> bytes:
    """What stands behind a file of this size."""
    return bytes(-size % BLOCK)


def encode_seal(digest: str) -> bytes:
    """The block behind the end mark.

    Args:
        digest: SHA-256 of everything before it, the end mark included; hexadecimal.
    """
    return (_SEAL + digest.encode("ascii")).ljust(BLOCK, b"\0")


class ArchiveDecoder:
    """Reads an archive: feed it bytes as they come, take entries and pieces of files out.

    Each `Entry` of a file is followed by its content, in views of what was fed.
    """

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._ended = False
        self._seal = ""
        self._buffer = bytearray()
        self._content = 0
        self._padding = 0
        self._extension: tarfile.TarInfo | None = None
        self._extended: dict[str, str] = {}
        self._extensions = 0
        self._empty_blocks = 0

    def feed(self, data: bytes) -> Iterator[Entry | memoryview]:
        """Take bytes in; gives what they hold.

        Raises:
            RemoteProtocolError: this is no tar archive, or one of its names is hostile.
        """
        view = memoryview(data)
        while view:
            if self._content:
                piece, view = view[: self._content], view[self._content :]
                self._digest.update(piece)
                self._content -= len(piece)
                yield piece
                continue
            wanted = self._wanted() - len(self._buffer)
            self._buffer += view[:wanted]
            view = view[wanted:]
            if len(self._buffer) == self._wanted():
                block = bytes(self._buffer)
                self._buffer.clear()
                if self._ended:
                    self._take_seal(block)
                    continue
                self._digest.update(block)
                if self._padding:
                    self._padding = 0
                elif (entry := self._take(block)) is not None:
                    yield entry

    def finish(self, *, sealed: bool = False) -> None:
        """Check, when no more bytes come, that the archive is whole.

        Args:
            sealed: whether it must have a seal; a seal that is there must fit in any case.

        Raises:
            RemoteProtocolError: it was cut short, or altered on its way.
        """
        if not self._ended or (sealed and not self._seal):
            raise RemoteProtocolError("archive: it was cut short")
        if self._seal and self._seal != self._digest.hexdigest():
            raise RemoteProtocolError("archive: it was altered on its way (SHA-256 differs)")

    def _wanted(self) -> int:
        if self._padding:
            return self._padding
        if self._extension is not None:
            return self._extension.size + len(padding(self._extension.size))
        return BLOCK

    def _take_seal(self, block: bytes) -> None:
        if block.startswith(_SEAL) and not self._seal:
            self._seal = block[len(_SEAL) :].rstrip(b"\0").decode("ascii", "replace")

    def _take(self, block: bytes) -> Entry | None:
        if self._extension is not None:
            self._take_extension(self._extension, block)
            self._extension = None
            return None
        if not any(block):
            self._empty_blocks += 1
            self._ended = self._empty_blocks == 2
            return None
        if self._empty_blocks:
            raise RemoteProtocolError("archive: an entry stands behind the end mark")
        return self._take_header(block)

    def _take_header(self, block: bytes) -> Entry | None:
        try:
            info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except (tarfile.HeaderError, ValueError, OverflowError) as exc:
            raise RemoteProtocolError(f"archive: not a tar archive ({exc})") from None
        if info.size < 0:
            raise RemoteProtocolError("archive: an entry has a negative size")
        if info.type in (_EXTENDED, _GLOBAL, _LONG_NAME, _LONG_LINK):
            self._extensions += 1
            if not 0 < info.size <= MAX_EXTENSION_BYTES or self._extensions > MAX_EXTENSIONS:
                raise RemoteProtocolError("archive: an extension header is too large")
            self._extension = info
            return None
        extended, self._extended, self._extensions = self._extended, {}, 0
        return self._entry(info, extended)

    def _entry(self, info: tarfile.TarInfo, extended: dict[str, str]) -> Entry:
        name = _checked(extended.get("path", info.name))
        kind = _KINDS.get(info.type)
        if kind is None or any(key.startswith("GNU.sparse") for key in extended):
            raise RemoteProtocolError(
                f"archive: {name!r} is a device, a pipe or a sparse file; refused"
            )
        if info.type == tarfile.AREGTYPE and info.name.endswith("/"):
            kind = "folder"
        size = info.size
        if (text := extended.get("size")) is not None:
            if not (text.isascii() and text.isdigit()) or len(text) > 18:
                raise RemoteProtocolError(f"archive: {name!r} has an impossible size")
            size = int(text)
        if not name and kind != "folder":
            raise RemoteProtocolError("archive: an entry has no name")
        # What is no file has no content, whatever its header says (as all tar programs have it).
        size = size if kind == "file" else 0
        self._content, self._padding = size, len(padding(size))
        target = extended.get("linkpath", info.linkname)
        modified = info.mtime if isinstance(info.mtime, int) else 0
        more = kind == "file" and extended.get(_MORE) == "1"
        return Entry(name, kind, size, bool(info.mode & 0o100), max(modified, 0), target, more)

    def _take_extension(self, info: tarfile.TarInfo, block: bytes) -> None:
        data = block[: info.size]
        if info.type == _GLOBAL:
            return  # says nothing of single entries that we would believe
        if info.type == _EXTENDED:
            self._extended |= _records(data)
        else:
            key = "path" if info.type == _LONG_NAME else "linkpath"
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
    """A member's name without ``./`` before and ``/`` behind it."""
    while raw.startswith("./"):
        raw = raw[2:].lstrip("/") if raw[2:].startswith("/") else raw[2:]
    name = raw.rstrip("/") if raw.strip("/") else raw
    if name in ("", "."):
        return ""
    return received_name(name, "archive")
