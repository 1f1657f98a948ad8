"""Lists and requests of files in kernels and virtual folders.

Source: contract sections 5.2 and 5.3 (kernels), 7.2 and 7.3 (virtual folders).
"""

from __future__ import annotations

import json
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from ..errors import RemoteProtocolError
from .http import JSON, Reply, Request
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
    "decode_archives",
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
    """Its last component. It comes from a stranger: check it before it becomes a local path."""
    mode: str
    """As `ls -l` writes it, e.g. ``-rw-r--r--``."""
    size: int
    """Bytes."""
    modified: float
    """Seconds since 1970."""

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder; a link to one is none."""
        return self.mode.startswith("d")

    @classmethod
    def of(cls, name: str, state: tuple[int, int, float]) -> FileInfo:
        """From what `os.lstat` tells: mode bits, size, time of change."""
        mode, size, modified = state
        return cls(name, stat.filemode(mode), size, modified)


@dataclass(frozen=True, slots=True)
class Listing:
    """What is in a folder."""

    files: tuple[FileInfo, ...]
    path: str
    """Absolute, in the kernel."""
    problem: str = ""
    """Why there is no list; the status is 200 then, too."""

    def encode(self) -> bytes:
        """The reply's body; the list in it is JSON in JSON."""
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

    def encode_items(self) -> bytes:
        """The reply's body for a virtual folder: both forms that managers have used."""
        items = [
            {
                "name": file.name,
                "type": _TYPES.get(file.mode[:1], "OTHER"),
                "size": file.size,
                "mode": f"{_bits(file.mode):03o}",
                "created": datetime.fromtimestamp(file.modified, UTC).isoformat(),
                "modified": datetime.fromtimestamp(file.modified, UTC).isoformat(),
            }
            for file in self.files
        ]
        return encode_json({**decode_json(self.encode(), "list of files"), "items": items})

    @classmethod
    def decode(cls, body: bytes) -> Listing:
        """Read the reply; ``items`` win, since only they tell kinds on storage proxies."""
        what = "list of files"
        top = Fields.parse(body, what)
        if top.raw("items") is not None:
            rows = [_item(Fields(item, what)) for item in top.items("items")]
            return cls(tuple(rows), top.text("abspath", default=""))
        text = top.text("files", default="")
        path = top.text("abspath", default="")
        if not text:
            return cls((), path, top.text("errors", default="") or "the server gave no list")
        rows = decode_json(text.encode("utf-8", "replace"), what)
        if not isinstance(rows, list):
            raise RemoteProtocolError(f"{what}: expected a list, got {type(rows).__name__}")
        return cls(tuple(_file(Fields(row, what)) for row in rows), path)


# How storage proxies call what `ls -l` shows as the first letter of a mode.
_TYPES = {"-": "FILE", "d": "DIRECTORY", "l": "SYMLINK"}
_LETTERS = {name: letter for letter, name in _TYPES.items()}


def _item(row: Fields) -> FileInfo:
    """A row of a storage proxy: its mode is three octal digits, its times are ISO 8601."""
    mode = row.text("mode", default="")
    letter = _LETTERS.get(row.text("type", default="FILE").upper(), "?")
    octal = mode[-3:] if len(mode) >= 3 and set(mode[-3:]) <= set("01234567") else "644"
    return FileInfo(
        row.text("name"),
        letter + stat.filemode(int(octal, 8))[1:],
        row.integer("size", default=0),
        _moment(row.text("modified", default="")),
    )


def _bits(mode: str) -> int:
    return int("".join("0" if c in "-ST" else "1" for c in mode[1:10]) or "0", 2)


def _moment(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text)
        return max(0.0, (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError):
        return 0.0


def _file(row: Fields) -> FileInfo:
    modified = row.raw("mtime")
    return FileInfo(
        row.text("filename"),
        row.text("mode", default="?"),
        row.integer("size", default=0),
        float(modified) if isinstance(modified, int | float) else 0.0,
    )


@dataclass(frozen=True, slots=True)
class PathsRequest:
    """What names files: to list, to download, to remove."""

    paths: tuple[str, ...]

    def request(self, method: str, path: str, key: str) -> Request:
        """The request, with the paths in its body and in its query: managers read either one.

        Args:
            method: the method.
            path: where to.
            key: ``path`` or ``file`` for a single one, ``files`` for several.
        """
        query = tuple((key, item) for item in self.paths)
        value = list(self.paths) if key == "files" else self.paths[0]
        return Request(method, path, query, encode_json({key: value}), JSON)

    @classmethod
    def decode(cls, body: bytes, query: Iterable[tuple[str, str]]) -> PathsRequest:
        """Read any era's request: the body counts, then the query.

        Raises:
            RemoteProtocolError: it names nothing.
        """
        found: tuple[str, ...] = ()
        if body:
            fields = Fields.parse(body, "files")
            single = fields.text("path", "file", default="")
            found = fields.texts("files") or ((single,) if single else ())
        if not found:
            found = tuple(value for key, value in query if key in ("path", "file", "files"))
        if not found:
            raise RemoteProtocolError("files: no path is named")
        return cls(found)


def decode_archives(reply: Reply) -> list[bytes]:
    """The archives in a manager's answer to a download, one for each path.

    Raises:
        RemoteProtocolError: it is no multipart body, or one that was cut short.
    """
    what = "download"
    content_type = reply.headers.get("content-type", "")
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if not kind.startswith(b"multipart/") or not boundary:
        raise RemoteProtocolError(f"{what}: expected multipart, got {content_type!r}")
    parts: list[bytearray] = []
    ended = []
    parser = MultipartParser(
        boundary,
        {
            "on_part_begin": lambda: parts.append(bytearray()),
            "on_part_data": lambda data, start, end: parts[-1].extend(data[start:end]),
            "on_end": lambda: ended.append(True),
        },
    )
    try:
        parser.write(reply.body)
    except FormParserError as exc:
        raise RemoteProtocolError(f"{what}: {exc}") from None
    if not ended:
        raise RemoteProtocolError(f"{what}: it was cut short")
    return [bytes(part) for part in parts]


@dataclass(frozen=True, slots=True)
class FileDigest:
    """A file's content in short."""

    name: str
    """Relative to the folder that was asked for, with forward slashes."""
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
