"""Files in a kernel's work folder, as the API shows them."""

from __future__ import annotations

import errno
import hashlib
import os
import posixpath
import secrets
import shutil
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from ...errors import LocalProtocolError
from ...files.archives import Found, archive, sealed
from ...files.paths import safe_join
from ...files.pending import pending_folder
from ...files.tar import Extractor
from ...wire.archives import TAR
from ...wire.files import (
    MAX_ARCHIVE_BYTES,
    MAX_DOWNLOADS,
    FileDigest,
    FileInfo,
    Listing,
)
from ...wire.kernel_spec import WORK_FOLDER
from ..refusals import Refused
from ..shares import Share
from .held_folders import READ_ONLY, entries_of, held_folder, open_held, open_in
from .held_trees import merge_tree, walk_held

__all__ = ["ArchiveReceiver", "Workspace"]

_READ_BYTES = 1024 * 1024


class Workspace:
    """A kernel's work folder. All methods block.

    Args:
        root: the folder.
        staging: a folder on the same file system, for incomplete files, which the kernel's programs
            cannot reach.
        mounts: mounted folders, which links in `root` may lead to. Those that are read-only are not
            changed.
        is_lasting: files in it must outlive a power failure, as those of a virtual folder do.
    """

    def __init__(
        self,
        root: Path,
        staging: Path,
        mounts: Sequence[Share] = (),
        *,
        is_lasting: bool = False,
    ) -> None:
        # Not resolved itself: a program may have put a link in its place.
        self.root = root.parent.resolve() / root.name
        self.staging = staging
        self.is_lasting = is_lasting
        self._mounts = [mount.path.resolve() for mount in mounts]
        self._read_only = [mount.path.resolve() for mount in mounts if not mount.writable]

    def locate(self, name: str) -> Path:
        """The path of a file, which need not exist. If it is a symbolic link, it is not followed.

        Raises:
            Refused: 500 (this is how agents answer), the name leads out of the work folder.
        """
        inner = name
        if inner == WORK_FOLDER or inner.startswith(f"{WORK_FOLDER}/"):
            inner = inner[len(WORK_FOLDER) :].lstrip("/")
        elif inner == str(self.root) or inner.startswith(f"{self.root}/"):
            inner = inner[len(str(self.root)) :].lstrip("/")
        inner = posixpath.normpath(inner) if inner else "."
        if inner == ".":
            return self.root
        try:
            return safe_join(self.root, inner, also=self._mounts)
        except (LocalProtocolError, OSError, RuntimeError) as exc:
            raise _refused(str(exc)) from None

    def existing(self, name: str) -> Path:
        """The path of an existing file, with symbolic links resolved.

        Raises:
            Refused: 400, there is no such file; 500, it is outside of the work folder.
        """
        path = self.locate(name)
        try:
            real = path.resolve(strict=True)
        except (OSError, RuntimeError):
            raise Refused(
                400, "invalid-api-params", "No such file", f"the kernel has no {name!r}"
            ) from None
        if not any(real.is_relative_to(root) for root in (self.root, *self._mounts)):
            raise _refused(f"{name!r} leads out of the work folder")
        return real

    def listing(self, name: str) -> Listing:
        """The entries of a folder, or the entry of a single file."""
        shown = posixpath.normpath(posixpath.join(WORK_FOLDER, name))
        try:
            path = self.existing(name)
            if path.is_dir():
                with self._reading(path) as folder:
                    found = entries_of(folder)
            else:
                with self._reading(path.parent) as folder:
                    found = [(path.name, (folder / path.name).lstat())]
        except Refused as exc:
            if exc.problem.status != 400:
                raise
            return Listing((), shown, exc.problem.detail)
        except OSError as exc:
            return Listing((), shown, f"{name}: {exc.strerror}")
        files = (FileInfo.of(n, (s.st_mode, s.st_size, s.st_mtime)) for n, s in sorted(found))
        return Listing(tuple(files), shown)

    def digests(self, name: str) -> list[FileDigest]:
        """All regular files below a folder with their digests; none if there is no such folder."""
        path = self.locate(name)
        if not path.is_dir():
            return []
        folder = self.existing(name)
        return [_digest(found) for found in self._walk(folder) if stat.S_ISREG(found.state.st_mode)]

    def receive(self, name: str, *, preserve: bool = False) -> ArchiveReceiver:
        """Receive an archive into a folder, which is made when the archive is complete.

        Args:
            name: the folder.
            preserve: whether files and folders get their times of modification.

        Raises:
            Refused: 500, the folder is outside of the work folder, or read-only.
        """
        self._check_writable(name, self.locate(name))  # refused now, and not when it has arrived
        return ArchiveReceiver(self, name, preserve=preserve)

    def held(self, path: Path, *, make: bool = False) -> AbstractContextManager[Path]:
        """Hold a folder that `locate` has found, to change what is in it; see `held_folder`."""
        roots = (self.root, *self._mounts)
        return held_folder(path, roots, read_only=self._read_only, make=make)

    def check_stored(self, folder: Path, names: Iterable[str]) -> None:
        """Check that files can be stored in a folder that `locate` has found, and that need not
        exist.

        Raises:
            OSError: a file is in the place of a folder or the other way round, or the folder is
                read-only.
        """
        there = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
        with self.held(there) as held:
            if there != folder:
                return
            for name in names:
                if (held / name).is_dir() and not (held / name).is_symlink():
                    raise IsADirectoryError(errno.EISDIR, "a folder is in the way", name)

    def archive(self, names: Sequence[str]) -> Iterator[bytes]:
        """A sealed archive of files and folders, each under the last component of its name."""
        sources = [(self.existing(name), self._name_of(name)) for name in names]
        return sealed(archive(sources, self._walk))

    def multipart(self, names: Sequence[str], *, limited: bool) -> tuple[str, Iterator[bytes]]:
        """A multipart body with an archive for each path, as managers send it.

        Args:
            names: the paths.
            limited: keep a manager's limits.

        Returns:
            The media type, and the body.

        Raises:
            Refused: 400, there are too many paths, one does not exist, or one is too large.
        """
        if limited and len(names) > MAX_DOWNLOADS:
            raise Refused(400, "invalid-api-params", "Too many files", f"at most {MAX_DOWNLOADS}")
        sources = [(self.existing(name), self._name_of(name)) for name in names]
        for path, name in sources:
            if limited and self._archive_size(path) > MAX_ARCHIVE_BYTES:
                raise Refused(400, "invalid-api-params", "Too large archive file", repr(name))
        boundary = secrets.token_hex(16)
        return f"multipart/mixed; boundary={boundary}", self._parts(sources, boundary)

    def file(self, name: str, *, limited: bool) -> tuple[int, Iterator[bytes]]:
        """The size and the content of a regular file."""
        path = self.existing(name)
        if not path.is_file():
            raise Refused(400, "invalid-api-params", "Not a regular file", repr(name))
        size = path.stat().st_size
        if limited and size > MAX_ARCHIVE_BYTES:
            raise Refused(400, "invalid-api-params", "Too large file", repr(name))
        return size, self._content(path, size)

    def remove(self, names: Sequence[str], *, recursive: bool) -> None:
        """Remove files and folders. If one of them cannot be removed, none is.

        Raises:
            Refused: 404, one does not exist; 400, one is a folder and `recursive` is False; 500,
                one is the work folder, outside of it, or in a mounted folder that is read-only.
        """
        paths = []
        for name in names:
            path = self.locate(name)
            if not os.path.lexists(path):
                raise Refused(404, "object-not-found", "No such file", repr(name))
            if path == self.root:
                raise _refused("the work folder itself cannot be removed")
            self._check_writable(name, path.parent)
            if path.is_dir() and not path.is_symlink() and not recursive:
                raise Refused(400, "invalid-api-params", "It is a folder", repr(name))
            paths.append(path)
        for path in paths:
            try:
                with self.held(path.parent) as folder:
                    _remove(folder / path.name)
            except FileNotFoundError:
                continue  # named twice, or in a folder that was removed before
            except OSError as exc:
                raise _refused(f"{path.name!r}: {exc.strerror}") from None

    def mkdir(self, name: str) -> None:
        """Make a folder and its parents; it may exist."""
        try:
            with self.held(self.locate(name), make=True):
                pass
        except OSError as exc:
            raise Refused(
                400, "invalid-api-params", "The folder cannot be made", f"{name!r}: {exc.strerror}"
            ) from None

    def _reading(self, path: Path) -> AbstractContextManager[Path]:
        """Hold a folder that `existing` has found, to read in it."""
        return held_folder(path, (self.root, *self._mounts))

    def _walk(self, path: Path) -> Iterator[Found]:
        return walk_held(path, (self.root, *self._mounts), strict=True)

    def _archive_size(self, path: Path) -> int:
        """Size of an archive of a path in bytes; counting stops above the limit."""
        size = 0
        for chunk in archive([(path, "x")], self._walk):
            size += len(chunk)
            if size > MAX_ARCHIVE_BYTES:
                break
        return size

    def _parts(self, sources: Sequence[tuple[Path, str]], boundary: str) -> Iterator[bytes]:
        for source in sources:
            yield (
                f"--{boundary}\r\nContent-Type: {TAR}\r\nContent-Encoding: identity\r\n\r\n"
            ).encode()
            yield from archive([source], self._walk)
            yield b"\r\n"
        yield f"--{boundary}--\r\n".encode()

    def _content(self, path: Path, size: int) -> Iterator[bytes]:
        """The first `size` bytes of a file."""
        file, _ = open_held(path, (self.root, *self._mounts))
        with file:
            while size:
                chunk = file.read(min(size, _READ_BYTES))
                if not chunk:
                    raise OSError(f"{path.name} was truncated while it was sent")
                size -= len(chunk)
                yield chunk

    def _check_writable(self, name: str, folder: Path) -> None:
        try:
            real = folder.resolve()
        except RuntimeError as exc:  # links that lead to each other, before Python 3.13
            raise _refused(str(exc)) from None
        if any(real.is_relative_to(root) for root in self._read_only):
            raise _refused(f"{name!r}: {READ_ONLY}")

    def _name_of(self, name: str) -> str:
        path = self.locate(name)
        return "work" if path == self.root else path.name


class ArchiveReceiver:
    """Unpacks an archive that arrives in chunks. A context manager; all methods block."""

    def __init__(self, workspace: Workspace, name: str, *, preserve: bool) -> None:
        self._workspace = workspace
        self._name = name
        self._preserve = preserve
        self._pending = pending_folder(workspace.staging)

    def __enter__(self) -> ArchiveReceiver:
        self._folder = self._pending.__enter__()
        self._extractor = Extractor(self._folder, max_entries=1_000_000, preserve=self._preserve)
        return self

    def __exit__(self, *exc: object) -> None:
        self._extractor.close()
        self._pending.__exit__(None, None, None)

    def feed(self, data: bytes) -> None:
        """Unpack the next bytes of the archive."""
        self._extractor.feed(data)

    def complete(self) -> None:
        """Check the seal, and move the files into place.

        Raises:
            RemoteProtocolError: the archive is incomplete or was altered.
            Refused: 500, a file cannot be moved into place.
        """
        self._extractor.finish(sealed=True)
        workspace = self._workspace
        try:
            # Located again: it has taken a while.
            with workspace.held(workspace.locate(self._name), make=True) as target:
                merge_tree(self._folder, target)
        except OSError as exc:
            raise _refused(f"{exc.filename2 or exc.filename}: {exc.strerror}") from None


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _refused(detail: str) -> Refused:
    return Refused(500, "kernel-execution-failed", "The file cannot be reached", detail)


def _digest(found: Found) -> FileDigest:
    digest = hashlib.sha256()
    size = 0
    file, _ = open_in(found.folder, found.name)
    with file:
        while data := file.read(_READ_BYTES):
            digest.update(data)
            size += len(data)
    return FileDigest(found.inner, size, digest.hexdigest())
