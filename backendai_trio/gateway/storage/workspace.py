"""Files of a kernel: listed, sent, received and removed, all inside its work folder."""

from __future__ import annotations

import hashlib
import os
import posixpath
import secrets
import shutil
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from ...errors import LocalProtocolError
from ...files.paths import pending_folder, place_tree, safe_join
from ...files.tar import Extractor, archive, sealed
from ...wire.archives import TAR
from ...wire.files import (
    MAX_ARCHIVE_BYTES,
    MAX_DOWNLOADS,
    FileDigest,
    FileInfo,
    Listing,
)
from ..refusals import Refused

__all__ = ["Reception", "Workspace"]

WORK = "/home/work"
"""What the work folder is called in the API, wherever it is."""
_READ_BYTES = 1024 * 1024


class Workspace:
    """A kernel's work folder as the API sees it. All of it blocks.

    Args:
        root: the folder.
        staging: one on the same file system, for what is not complete.
        also: folders beside it that links in it may lead to (mounted ones).
    """

    def __init__(self, root: Path, staging: Path, also: Sequence[Path] = ()) -> None:
        self.root = root.resolve()
        self.staging = staging
        self._also = [folder.resolve() for folder in also]

    def locate(self, name: str) -> Path:
        """Where a file is, or would be; symbolic links in its place are not followed.

        Raises:
            Refused: 500, as agents answer, when the name leads out of the work folder.
        """
        inner = name
        if inner == WORK or inner.startswith(f"{WORK}/"):
            inner = inner[len(WORK) :].lstrip("/")
        elif inner == str(self.root) or inner.startswith(f"{self.root}/"):
            inner = inner[len(str(self.root)) :].lstrip("/")
        inner = posixpath.normpath(inner) if inner else "."
        if inner == ".":
            return self.root
        try:
            return safe_join(self.root, inner, also=self._also)
        except (LocalProtocolError, OSError, RuntimeError) as exc:
            raise _refused(str(exc)) from None

    def existing(self, name: str) -> Path:
        """Where a file is that must be there, links followed.

        Raises:
            Refused: 400, it is not there; 500, it leads out of the work folder.
        """
        path = self.locate(name)
        try:
            real = path.resolve(strict=True)
        except (OSError, RuntimeError):
            raise Refused(
                400, "invalid-api-params", "The file is not found.", f"no {name!r} in the kernel"
            ) from None
        if not any(real.is_relative_to(root) for root in (self.root, *self._also)):
            raise _refused(f"{name!r} leads out of the work folder")
        return real

    def listing(self, name: str) -> Listing:
        """What is in a folder, or the entry of a single file."""
        shown = posixpath.normpath(posixpath.join(WORK, name))
        try:
            path = self.existing(name)
            if path.is_dir():
                with os.scandir(path) as entries:
                    found = [(entry.name, entry.stat(follow_symlinks=False)) for entry in entries]
            else:
                found = [(path.name, path.lstat())]
        except Refused as exc:
            if exc.problem.status != 400:
                raise
            return Listing((), shown, exc.problem.detail)
        except OSError as exc:
            return Listing((), shown, f"{name}: {exc.strerror}")
        files = (FileInfo.of(n, (s.st_mode, s.st_size, s.st_mtime)) for n, s in sorted(found))
        return Listing(tuple(files), shown)

    def digests(self, name: str) -> list[FileDigest]:
        """All regular files below a folder, with their digests; none if it is not there."""
        path = self.locate(name)
        if not path.is_dir():
            return []
        found = []
        for folder, folders, names in os.walk(self.existing(name)):
            folders.sort()
            for item in sorted(names):
                file = Path(folder, item)
                if stat.S_ISREG(file.lstat().st_mode):
                    found.append(_digest(file, file.relative_to(path.resolve()).as_posix()))
        return found

    def receive(self, name: str) -> Reception:
        """Receive an archive into a folder, which is made when all of it has come."""
        return Reception(self.locate(name), self.staging)

    def archive(self, names: Sequence[str]) -> Iterator[bytes]:
        """A sealed archive of files and folders, under the last component of their names."""
        return sealed(archive([(self.existing(name), self._name_of(name)) for name in names]))

    def multipart(self, names: Sequence[str], *, limited: bool) -> tuple[str, Iterator[bytes]]:
        """What managers send: a part for each path, an archive in each; and its media type.

        Args:
            names: the paths.
            limited: whether a manager's limits hold.

        Raises:
            Refused: 400, too many paths, one that is not there, or one that is too large.
        """
        if limited and len(names) > MAX_DOWNLOADS:
            raise Refused(400, "invalid-api-params", "Too many files", f"at most {MAX_DOWNLOADS}")
        sources = [(self.existing(name), self._name_of(name)) for name in names]
        for path, name in sources:
            if limited and _archive_size(path) > MAX_ARCHIVE_BYTES:
                raise Refused(400, "invalid-api-params", "Too large archive file", repr(name))
        boundary = secrets.token_hex(16)
        return f"multipart/mixed; boundary={boundary}", _parts(sources, boundary)

    def file(self, name: str, *, limited: bool) -> tuple[int, Iterator[bytes]]:
        """The size and the content of one regular file."""
        path = self.existing(name)
        if not path.is_file():
            raise Refused(400, "invalid-api-params", "Not a regular file", repr(name))
        size = path.stat().st_size
        if limited and size > MAX_ARCHIVE_BYTES:
            raise Refused(400, "invalid-api-params", "Too large file", repr(name))
        return size, _content(path, size)

    def remove(self, names: Sequence[str], *, recursive: bool) -> None:
        """Remove files, and folders with all in them; nothing if one of them cannot be."""
        paths = []
        for name in names:
            path = self.locate(name)
            if not os.path.lexists(path):
                raise Refused(404, "object-not-found", "No such file", repr(name))
            if path == self.root:
                raise _refused("the work folder itself stays")
            if path.is_dir() and not path.is_symlink() and not recursive:
                raise Refused(400, "invalid-api-params", "It is a folder", repr(name))
            paths.append(path)
        for path in paths:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def mkdir(self, name: str) -> None:
        """Make a folder and those above it; one that is there is fine."""
        try:
            self.locate(name).mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise Refused(400, "invalid-api-params", "No folder made", f"{exc.strerror}") from None

    def _name_of(self, name: str) -> str:
        path = self.locate(name)
        return "work" if path == self.root else path.name


class Reception:
    """An archive on its way into a folder. Use as a context manager; all of it blocks."""

    def __init__(self, target: Path, staging: Path) -> None:
        self._target = target
        self._pending = pending_folder(staging)

    def __enter__(self) -> Reception:
        self._folder = self._pending.__enter__()
        self._extractor = Extractor(self._folder, max_entries=1_000_000)
        return self

    def __exit__(self, *exc: object) -> None:
        self._extractor.close()
        self._pending.__exit__(None, None, None)

    def feed(self, data: bytes) -> None:
        """Take bytes of the archive."""
        self._extractor.feed(data)

    def complete(self) -> None:
        """Check the seal, and put what has come into its place.

        Raises:
            RemoteProtocolError: the archive is not whole, or altered.
            Refused: 500, it cannot be placed.
        """
        self._extractor.finish(sealed=True)
        try:
            self._target.mkdir(parents=True, exist_ok=True)
            place_tree(self._folder, self._target, overwrite=True)
        except OSError as exc:
            raise _refused(f"{exc.filename2 or exc.filename}: {exc.strerror}") from None


def _refused(detail: str) -> Refused:
    return Refused(500, "kernel-execution-failed", "The file cannot be reached", detail)


def _digest(path: Path, name: str) -> FileDigest:
    digest = hashlib.sha256()
    size = 0
    with path.open("rb", 0) as file:
        while piece := file.read(_READ_BYTES):
            digest.update(piece)
            size += len(piece)
    return FileDigest(name, size, digest.hexdigest())


def _archive_size(path: Path) -> int:
    """Bytes of an archive of it, as far as that matters for the limit."""
    size = 0
    for piece in archive([(path, "x")]):
        size += len(piece)
        if size > MAX_ARCHIVE_BYTES:
            break
    return size


def _parts(sources: Sequence[tuple[Path, str]], boundary: str) -> Iterator[bytes]:
    for source in sources:
        yield (
            f"--{boundary}\r\nContent-Type: {TAR}\r\nContent-Encoding: identity\r\n\r\n"
        ).encode()
        yield from archive([source])
        yield b"\r\n"
    yield f"--{boundary}--\r\n".encode()


def _content(path: Path, size: int) -> Iterator[bytes]:
    """As many bytes as were promised."""
    with path.open("rb", 0) as file:
        while size:
            piece = file.read(min(size, _READ_BYTES))
            if not piece:
                raise OSError(f"{path.name} became shorter while it was read")
            size -= len(piece)
            yield piece
