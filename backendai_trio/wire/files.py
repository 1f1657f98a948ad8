"""Listings and downloads of files in kernels and virtual folders.

Source: docs/protocol.md, sections 5.2 and 5.3 (kernels), 7.2 and 7.3 (virtual folders).
"""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from ..errors import RemoteProtocolError
from .file_times import known_time
from .http import JSON, Request
from .json_fields import Fields, decode_json, encode_json
from .multipart import received_name

__all__ = [
    "ARCHIVES",
    "MAX_ARCHIVE_BYTES",
    "MAX_DOWNLOADS",
    "FileDigest",
    "FileInfo",
    "Listing",
    "PathsRequest",
    "decode_digests",
    "encode_digests",
]

ARCHIVES = "archives"
"""Feature: uploads and downloads of any size as one sealed tar archive, ``PUT`` and ``POST`` of
``.../archive``; also ``.../files/digests``, ``/files/remove`` and ``/files/mkdir``."""
MAX_DOWNLOADS = 5
"""How many paths a manager takes in one download."""
MAX_ARCHIVE_BYTES = 1024 * 1024
"""Largest archive that a manager makes of one path."""


@dataclass(frozen=True, slots=True)
class FileInfo:
    """A file or folder in a kernel or a virtual folder."""

    name: str
    """Its last component. Not checked: it must not become a local path as it is."""
    mode: str
    """As `ls -l` writes it, e.g. ``-rw-r--r--``."""
    size: int
    """Bytes."""
    modified: float
    """Seconds since 1970; 0 if the time is not known."""

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder; a link to a folder is not."""
        return self.mode.startswith("d")

    @classmethod
    def of(cls, name: str, state: tuple[int, int, float]) -> FileInfo:
        """Make one of what `os.lstat` says.

        Args:
            name: the file's name.
            state: mode bits, size in bytes, and time of modification in seconds since the epoch.
        """
        mode, size, modified = state
        return cls(name, stat.filemode(mode), size, known_time(modified))


@dataclass(frozen=True, slots=True)
class Listing:
    """The content of a folder."""

    files: tuple[FileInfo, ...]
    path: str
    """Absolute, in the kernel."""
    problem: str = ""
    """Why there is no listing. The HTTP status is 200 nevertheless."""

    def encode(self) -> bytes:
        """The reply's body; the listing is JSON text within the JSON."""
        rows = [
            {
                "mode": file.mode,
                "size": file.size,
                "ctime": file.modified,
                "mtime": file.modified,
                "atime": file.modified,
                "filename": file.name,
            }
            for file in self.files
        ]
        text = "" if self.problem else json.dumps(rows)
        return encode_json({"files": text, "errors": self.problem, "abspath": self.path})

    def encode_items(self, *, numeric_modes: bool = False) -> bytes:
        """The reply's body for a virtual folder, in both forms that managers have used.

        Args:
            numeric_modes: whether modes are numbers, as from 25.6 on, instead of text.
        """
        items = [
            {
                "name": file.name,
                "type": _TYPES.get(file.mode[:1], "OTHER"),
                "size": file.size,
                "mode": _st_mode(file.mode) if numeric_modes else f"{_bits(file.mode):03o}",
                "created": datetime.fromtimestamp(file.modified, UTC).isoformat(),
                "modified": datetime.fromtimestamp(file.modified, UTC).isoformat(),
            }
            for file in self.files
        ]
        if numeric_modes:  # such servers give one form only
            return encode_json({"items": items})
        return encode_json({**decode_json(self.encode(), "list of files"), "items": items})

    @classmethod
    def decode(cls, body: bytes) -> Listing:
        """Read the reply.

        ``items`` take precedence: only they tell folders from files on storage proxies.

        Args:
            body: JSON.

        Raises:
            RemoteProtocolError: it is malformed.
        """
        what = "list of files"
        top = Fields.parse(body, what)
        if top.raw("items") is not None:
            rows = [_item(Fields(item, what)) for item in top.items("items")]
            return cls(tuple(rows), top.text("abspath", default=""))
        text = top.text("files", default="")
        path = top.text("abspath", default="")
        # The errors of agents are tracebacks, or the last line of one.
        problem = top.text("errors", default="").strip().rpartition("\n")[2]
        if not text:
            return cls((), path, problem or "the server gave no listing")
        rows = decode_json(text.encode("utf-8", "replace"), what)
        if not isinstance(rows, list):
            raise RemoteProtocolError(f"{what}: expected a list, got {type(rows).__name__}")
        files = tuple(_file(Fields(row, what)) for row in rows)
        return cls(files, path, "" if files else problem)


# Storage proxies' names of the kinds of files, and the letters that `ls -l` has for them.
_TYPES = {"-": "FILE", "d": "DIRECTORY", "l": "SYMLINK"}
_ST_KINDS = {"-": stat.S_IFREG, "d": stat.S_IFDIR, "l": stat.S_IFLNK}
_LETTERS = {name: letter for letter, name in _TYPES.items()}


def _item(row: Fields) -> FileInfo:
    """A row of a storage proxy. Its times are ISO 8601. Its mode is a text of three octal digits,
    and from 25.6 on the number that `os.lstat` gives."""
    mode = row.raw("mode")
    if isinstance(mode, str):
        bits = int(mode[-3:], 8) if re.fullmatch("[0-7]{3,}", mode) else 0o644
    else:
        bits = row.integer("mode", default=0o644) & 0o777
    letter = _LETTERS.get(row.text("type", default="FILE").upper(), "?")
    return FileInfo(
        row.text("name"),
        letter + stat.filemode(bits)[1:],
        row.integer("size", default=0),
        _moment(row.text("modified", default="")),
    )


def _st_mode(mode: str) -> int:
    return _ST_KINDS.get(mode[:1], 0) | _bits(mode)


def _bits(mode: str) -> int:
    return int("".join("0" if c in "-ST" else "1" for c in mode[1:10]) or "0", 2)


def _moment(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
        seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        return known_time(max(0.0, seconds))
    except (ValueError, OverflowError):
        return 0.0


def _file(row: Fields) -> FileInfo:
    modified = row.raw("mtime")
    return FileInfo(
        row.text("filename"),
        row.text("mode", default="?"),
        row.integer("size", default=0),
        float(known_time(modified)) if isinstance(modified, int | float) else 0.0,
    )


@dataclass(frozen=True, slots=True)
class PathsRequest:
    """A request about files: to list or to download them."""

    paths: tuple[str, ...]

    def request(self, method: str, path: str, key: str) -> Request:
        """The request, with the paths in its body and in its query: managers read one of them.

        Args:
            method: the method.
            path: of the endpoint.
            key: ``path`` or ``file`` for a single one, ``files`` for several.
        """
        query = tuple((key, item) for item in self.paths)
        value = list(self.paths) if key == "files" else self.paths[0]
        return Request(method, path, query, encode_json({key: value}), JSON)

    @classmethod
    def decode(cls, body: bytes, query: Iterable[tuple[str, str]]) -> PathsRequest:
        """Read any era's request. The body takes precedence over the query.

        Raises:
            RemoteProtocolError: it names no file.
        """
        found: tuple[str, ...] = ()
        if body:
            fields = Fields.parse(body, "files")
            single = fields.text("path", "file", default="")
            found = fields.texts("files") or ((single,) if single else ())
        if not found:
            found = tuple(value for key, value in query if key in ("path", "file", "files"))
        if not found:
            raise RemoteProtocolError("files: the request names no path")
        return cls(found)


@dataclass(frozen=True, slots=True)
class FileDigest:
    """Size and digest of a file's content."""

    name: str
    """Relative to the folder of the request, with forward slashes."""
    size: int
    """Bytes."""
    sha256: str
    """Hexadecimal."""


def encode_digests(digests: Iterable[FileDigest]) -> bytes:
    """The reply of ``POST .../files/digests``."""
    return encode_json({"files": [[item.name, item.size, item.sha256] for item in digests]})


def decode_digests(body: bytes) -> list[FileDigest]:
    """Read the reply."""
    what = "digests"
    found = []
    for row in Fields.parse(body, what).items("files"):
        match row:
            case [str(name), int(size), str(digest)]:
                found.append(FileDigest(received_name(name, what), size, digest))
            case _:
                raise RemoteProtocolError(f"{what}: a row must be a name, a size and a digest")
    return found
