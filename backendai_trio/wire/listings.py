"""Lists of files, as servers give them for kernels and for virtual folders.

Source: contract sections 5.2 (kernels), 7.2 and 7.3 (virtual folders).
"""

from __future__ import annotations

import stat
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from ..errors import RemoteProtocolError
from .fields import Fields, decode_json, encode_json

__all__ = ["FileEntry", "FileKind", "decode_listing", "encode_listing"]

FileKind = Literal["file", "directory", "link", "other"]

_WHAT = "list of files"
_TYPES: dict[FileKind, int] = {
    "file": stat.S_IFREG,
    "directory": stat.S_IFDIR,
    "link": stat.S_IFLNK,
    "other": stat.S_IFIFO,
}
_KIND_OF_LETTER: dict[str, FileKind] = {"-": "file", "d": "directory", "l": "link"}
# Storage proxies name types in capitals.
_NAMES: dict[FileKind, str] = {
    "file": "FILE",
    "directory": "DIRECTORY",
    "link": "SYMLINK",
    "other": "OTHER",
}
_KIND_OF_NAME = {name: kind for kind, name in _NAMES.items()}


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One entry of a folder."""

    name: str
    """Its last component. It comes from a stranger: check it before it becomes a local path."""
    kind: FileKind
    size: int
    """Bytes."""
    modified: float
    """Seconds since 1970, 0 where the server does not say."""
    permissions: int = 0o644
    """The lowest nine bits of its mode."""

    @property
    def mode(self) -> str:
        """As ``ls -l`` writes it: ``-rw-r--r--``."""
        return stat.filemode(_TYPES[self.kind] | self.permissions)


def encode_listing(entries: Iterable[FileEntry]) -> bytes:
    """The body of a reply, in both forms that managers have used: clients read either."""
    entries = list(entries)
    files = [
        {
            "mode": entry.mode,
            "size": entry.size,
            "ctime": entry.modified,
            "mtime": entry.modified,
            "atime": entry.modified,
            "filename": entry.name,
        }
        for entry in entries
    ]
    items = [
        {
            "name": entry.name,
            "type": _NAMES[entry.kind],
            "size": entry.size,
            "mode": f"{entry.permissions:03o}",
            "created": _iso(entry.modified),
            "modified": _iso(entry.modified),
        }
        for entry in entries
    ]
    # A JSON text within JSON (section 12, item 19).
    text = encode_json(files).decode("ascii")
    return encode_json(
        {"items": items, "files": text, "errors": "", "abspath": "", "error_msg": ""}
    )


def decode_listing(body: bytes) -> list[FileEntry]:
    """Read either form; ``items`` wins, since the other has no kinds on some managers.

    Raises:
        RemoteProtocolError: it is neither.
    """
    top = Fields.parse(body, _WHAT)
    if top.raw("items") is not None:
        return [_from_item(Fields(item, _WHAT)) for item in top.items("items")]
    text = top.text("files", default="")
    found = decode_json(text.encode("utf-8", "surrogatepass"), _WHAT) if text else []
    if not isinstance(found, list):
        raise RemoteProtocolError(f"{_WHAT}: expected a list, got {type(found).__name__}")
    return [_from_file(Fields(item, _WHAT)) for item in found]


def _from_item(fields: Fields) -> FileEntry:
    name = fields.text("type", default="").upper()
    kind, permissions = _mode_of(fields)
    return FileEntry(
        fields.text("name"),
        _KIND_OF_NAME.get(name, kind),
        fields.integer("size", default=0),
        _seconds(fields.raw("modified")),
        permissions,
    )


def _from_file(fields: Fields) -> FileEntry:
    kind, permissions = _mode_of(fields)
    return FileEntry(
        fields.text("filename"),
        kind,
        fields.integer("size", default=0),
        _seconds(fields.raw("mtime")),
        permissions,
    )


def _mode_of(fields: Fields) -> tuple[FileKind, int]:
    """A mode as servers write it: ``-rw-r--r--``, ``644``, or the number itself."""
    mode = fields.raw("mode")
    if isinstance(mode, int):
        number = mode & 0xFFFF
        return _KIND_OF_LETTER.get(stat.filemode(number)[0], "file"), number & 0o777
    if not isinstance(mode, str) or not mode:
        return "file", 0o644
    if mode.isascii() and mode.isdigit():
        return "file", int(mode[-3:], 8) if set(mode[-3:]) <= set("01234567") else 0o644
    bits = "".join("0" if letter in "-ST" else "1" for letter in mode[1:10])
    kind = _KIND_OF_LETTER.get(mode[0], "other")
    return kind, int(bits, 2) if len(bits) == 9 else 0o644


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def _seconds(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        # Out of range, infinite or no number at all: not known, like a missing one.
        return float(value) if 0 <= value < 1e11 else 0.0
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
            return max(0.0, (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
        except (ValueError, OverflowError):
            pass
    return 0.0
