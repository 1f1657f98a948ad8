"""Tar archives on disk: made of folders piece by piece, and extracted without trust in them.

All of it blocks; asynchronous callers use threads. Memory does not grow with the archive.
"""

from __future__ import annotations

import errno
import hashlib
import os
import posixpath
import shutil
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import IO

from ..errors import LocalProtocolError, RemoteProtocolError
from ..wire.archives import BLOCK, END, ArchiveDecoder, Entry, encode_entry, encode_seal, padding
from ..wire.multipart import check_name

__all__ = ["MAX_ENTRIES", "Extractor", "archive", "sealed"]

MAX_ENTRIES = 65_536
"""Most entries of an archive that are extracted; more is taken for an attack on the file system."""
_CHUNK_BYTES = 1024 * 1024
_WRITE = os.O_WRONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


def archive(sources: Iterable[tuple[Path, str]]) -> Iterator[bytes]:
    """A tar archive of files and folders, in pieces of 1 MiB at most.

    Symbolic links stay links; devices, pipes and sockets are left out.

    Args:
        sources: paths, each with its name in the archive.

    Raises:
        OSError: a file cannot be read, or shrinks while it is.
        LocalProtocolError: a name cannot be in an archive.
    """
    todo = list(sources)[::-1]
    while todo:
        path, name = todo.pop()
        state = path.lstat()
        modified = int(state.st_mtime)
        if stat.S_ISDIR(state.st_mode):
            yield encode_entry(Entry(name, "folder", modified=modified))
            with os.scandir(path) as entries:
                inside = sorted((entry.name for entry in entries), reverse=True)
            todo += [(path / child, f"{name}/{child}") for child in inside]
        elif stat.S_ISLNK(state.st_mode):
            target = str(path.readlink())
            yield encode_entry(Entry(name, "symlink", modified=modified, target=target))
        elif stat.S_ISREG(state.st_mode):
            yield from _file(path, name)
    yield END


def sealed(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same archive with its seal behind it."""
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
        yield piece
    yield encode_seal(digest.hexdigest())


def _file(path: Path, name: str) -> Iterator[bytes]:
    # A link or pipe that has taken the file's place meanwhile is not opened.
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    with os.fdopen(os.open(path, flags | getattr(os, "O_BINARY", 0)), "rb", 0) as file:
        state = os.fstat(file.fileno())
        size = left = state.st_size
        executable = bool(state.st_mode & stat.S_IXUSR)
        head = encode_entry(Entry(name, "file", size, executable, int(state.st_mtime)))
        if size <= _CHUNK_BYTES // 16:  # small files in one piece each
            yield head + _exactly(file, size, path) + padding(size)
            return
        yield head
        while left:
            piece = _exactly(file, min(left, _CHUNK_BYTES), path)
            left -= len(piece)
            yield piece
        if size % BLOCK:
            yield padding(size)


def _exactly(file: IO[bytes], size: int, path: Path) -> bytes:
    piece = file.read(size)
    while len(piece) < size:
        more = file.read(size - len(piece))
        if not more:
            raise OSError(errno.EIO, "it became shorter while it was read", str(path))
        piece += more
    return piece


class Extractor:
    """Writes an archive's content below a folder that is ours alone, and nothing beside it.

    Files and folders are made; a hard link to a file that came before becomes a copy; symbolic
    links are made last, so that nothing is written through one, and only those that stay inside.
    Anything else is refused. Permissions are the usual ones, with the owner's executable bit.
    Use as a context manager, so that no file stays open.

    Attributes:
        folder: where it is extracted.
        files: how many files were extracted.
        size: bytes of their content.
    """

    def __init__(self, folder: Path, *, max_entries: int = MAX_ENTRIES) -> None:
        self.files = 0
        self.size = 0
        self.folder = folder
        self._max_entries = max_entries
        self._entries = 0
        self._decoder = ArchiveDecoder()
        self._file: int | None = None
        self._left = self._size = 0
        self._last = ""
        self._links: list[Entry] = []
        self._tops: dict[str, None] = {}
        self._made: set[str] = set()
        self._news: dict[str, tuple[int, int]] = {}

    @property
    def names(self) -> list[str]:
        """What stands at the top of the archive, in order."""
        return list(self._tops)

    def feed(self, data: bytes) -> None:
        """Take bytes of the archive.

        Raises:
            RemoteProtocolError: the archive is malformed, too large in number, or hostile.
            OSError: the disk refuses.
        """
        for item in self._decoder.feed(data):
            if isinstance(item, Entry):
                self._begin(item)
            else:
                self._write(item)

    def finish(self, *, sealed: bool = False) -> None:
        """Check that all of it has come, and make the links.

        Args:
            sealed: whether the archive must have a seal.

        Raises:
            RemoteProtocolError: it was cut short, or altered on its way, or a link leads out.
        """
        self._decoder.finish(sealed=sealed)
        self._make_links()

    def next_archive(self) -> None:
        """Begin with another archive, once one is whole: its content goes into the same folder."""
        self._decoder.finish()
        self._decoder = ArchiveDecoder()
        self._make_links()

    def news(self) -> list[tuple[str, int, int]]:
        """Files that have grown since it was last asked: name, bytes so far, bytes in all."""
        news, self._news = self._news, {}
        return [(name, done, size) for name, (done, size) in news.items()]

    def _make_links(self) -> None:
        links, self._links = self._links, []
        for link in links:
            if not _stays_inside(link):
                raise RemoteProtocolError(
                    f"archive: the link {link.name!r} leads out of the folder; refused"
                )
            path = self.folder / link.name
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.symlink_to(link.target)
            except OSError as exc:
                raise self._clash(link, exc) from None

    def close(self) -> None:
        """Close the file that is being written."""
        if self._file is not None:
            file, self._file = self._file, None
            os.close(file)

    def __enter__(self) -> Extractor:
        return self

    def __exit__(
        self, kind: object, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _begin(self, entry: Entry) -> None:
        self.close()
        self._entries += not entry.more
        if self._entries > self._max_entries:
            raise RemoteProtocolError(
                f"archive: it has more than {self._max_entries:,} entries; "
                "download its folders one by one"
            )
        if not entry.name:
            return
        if entry.more and entry.name != self._last:
            raise RemoteProtocolError(f"archive: {entry.name!r} goes on without a beginning")
        self._last = entry.name if entry.kind == "file" else ""
        self._tops[entry.name.partition("/")[0]] = None
        if entry.kind == "symlink":
            self._links.append(entry)
            return
        path = f"{self.folder}/{entry.name}"  # pathlib would take half of the time
        try:
            folder = entry.name if entry.kind == "folder" else entry.name.rpartition("/")[0]
            if folder and folder not in self._made:
                os.makedirs(f"{self.folder}/{folder}", exist_ok=True)  # noqa: PTH103
                self._made.add(folder)
            if entry.kind == "folder":
                return
            if entry.kind == "hardlink":
                self._copy(entry, path)
            elif entry.more:
                self._file = os.open(path, _WRITE | os.O_APPEND)
            else:
                mode = 0o777 if entry.executable else 0o666
                self._file = os.open(path, _WRITE | os.O_CREAT | os.O_TRUNC, mode)
        except OSError as exc:
            raise self._clash(entry, exc) from None
        self.files += not entry.more
        self._left = self._size = entry.size
        self._news[entry.name] = (0, entry.size)
        if not self._left:
            self.close()

    def _copy(self, entry: Entry, path: str) -> None:
        try:
            source = self.folder / check_name(entry.target.removeprefix("./"))
            if not stat.S_ISREG(source.lstat().st_mode):
                raise OSError
        except (OSError, LocalProtocolError):
            raise RemoteProtocolError(
                f"archive: {entry.name!r} is a hard link to {entry.target!r}, "
                "which is no file of the archive; refused"
            ) from None
        shutil.copyfile(source, path, follow_symlinks=False)
        self.size += source.stat().st_size

    def _write(self, data: memoryview) -> None:
        if self._file is None:
            return
        view = data
        while view:
            view = view[os.write(self._file, view) :]
        self.size += len(data)
        self._left -= len(data)
        self._news[self._last] = (self._size - self._left, self._size)
        if not self._left:
            self.close()

    def _clash(self, entry: Entry, exc: OSError) -> Exception:
        """A clash inside the archive is its fault; anything else is the disk's."""
        if isinstance(exc, FileExistsError | NotADirectoryError | IsADirectoryError):
            return RemoteProtocolError(f"archive: {entry.name!r} stands in it as two things")
        return exc


def _stays_inside(link: Entry) -> bool:
    """Whether a symbolic link leads to a place below the archive's root.

    ``..`` may stand only at the beginning of the target: behind a name it would be taken from
    wherever a link of that name leads.
    """
    if not link.target or link.target.startswith("/") or "\\" in link.target:
        return False
    parts = link.target.split("/")
    climbs = 0
    while climbs < len(parts) and parts[climbs] in ("..", ".", ""):
        climbs += 1
    if ".." in parts[climbs:] or "\0" in link.target:
        return False
    where = posixpath.normpath(posixpath.join(posixpath.dirname(link.name), *parts[:climbs]))
    return where != ".." and not where.startswith("../")
