"""What is uploaded: files and folders, looked at before anything is sent, and streams."""

from __future__ import annotations

import os
import stat
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Literal, cast

import trio

from ..errors import LocalProtocolError, UploadError
from ..wire.archives import Entry
from ..wire.multipart import check_name, check_names

__all__ = ["Upload", "UploadStream", "plan_items", "plan_uploads"]

_CHUNK_BYTES = 1024 * 1024
_CLOSE_SECONDS = 5.0
"""How long a stream may take to clean up."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A local file or folder and the name it gets in the work folder."""

    path: Path
    name: str
    """Relative to the work folder, with forward slashes."""
    size: int
    """Bytes, when it was planned; 0 for a folder."""
    is_folder: bool = False
    """Whether it is a folder; what is in it are uploads of their own."""
    executable: bool = False
    modified: int = 0
    """Seconds since 1970."""

    @property
    def label(self) -> str:
        """What errors call it."""
        return str(self.path)

    @property
    def entry(self) -> Entry:
        """It as a member of an archive."""
        kind: Literal["file", "folder"] = "folder" if self.is_folder else "file"
        return Entry(self.name, kind, self.size, self.executable, self.modified)

    def read_at(self, offset: int, size: int) -> bytes:
        """A part of its content. Blocks.

        Raises:
            UploadError: it cannot be read, or has another size than when it was planned.
        """
        last = offset + size == self.size
        try:
            with self.path.open("rb") as file:
                file.seek(offset)
                data = file.read(size + last)
        except OSError as exc:
            raise self._unreadable(exc) from exc
        if len(data) != size:
            raise self._changed()
        return data

    def read(self) -> Iterator[bytes]:
        """Its content in pieces of 1 MiB at most. Blocks.

        Raises:
            UploadError: it cannot be read, or has another size than when it was planned.
        """
        left = self.size
        try:
            # Without a file object, small files take half of the time.
            file = os.open(self.path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
            try:
                ended = False
                while left >= 0 and not ended:
                    wanted = min(left + 1, _CHUNK_BYTES)
                    piece = os.read(file, wanted)
                    left -= len(piece)
                    ended = len(piece) < wanted
                    if piece and left >= 0:
                        yield piece
            finally:
                os.close(file)
        except OSError as exc:
            raise self._unreadable(exc) from exc
        if left:
            raise self._changed()

    def _unreadable(self, exc: OSError) -> UploadError:
        return UploadError(str(self.path), f"cannot be read: {exc.strerror}")

    def _changed(self) -> UploadError:
        return UploadError(str(self.path), "changed its size while it was uploaded; try again")


@dataclass(frozen=True, slots=True)
class UploadStream:
    """Bytes that are made while they are sent, and the name they get in the work folder."""

    content: AsyncIterable[bytes]
    """Iterated over once; sending waits for it and it waits for sending."""
    name: str
    """Relative to the work folder, with forward slashes."""
    size: int | None = None
    """Bytes, if known beforehand; another number then fails the upload."""

    @property
    def label(self) -> str:
        """What errors call it."""
        return self.name

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[AsyncIterator[bytes]]:
        """Its pieces; a generator is closed also when not all of them are wanted."""
        chunks = aiter(self.content)
        try:
            yield chunks
        finally:
            if (close := getattr(chunks, "aclose", None)) is not None:
                with trio.move_on_after(_CLOSE_SECONDS, shield=True):
                    await close()

    def check(self, done: int, *, ended: bool) -> None:
        """Compare the bytes so far, or all of them, with what was said.

        Raises:
            UploadError: it has another size.
        """
        if self.size is not None and (done != self.size if ended else done > self.size):
            raise UploadError(self.name, f"has other than the {self.size:,} bytes that were said")


async def plan_items(
    items: Iterable[str | os.PathLike[str] | Upload | UploadStream], *, base: Path | None
) -> list[Upload | UploadStream]:
    """Look at the paths among what is to be uploaded; folders go with all that is in them.

    Args:
        items: paths, and what is planned already.
        base: as for `plan_uploads`, which see for errors.
    """
    planned: list[Upload | UploadStream] = []
    for is_planned, group in groupby(check_names(items), _is_planned):
        if is_planned:
            planned += cast("Iterable[Upload | UploadStream]", group)
        else:
            paths = cast("list[str]", list(group))
            look = partial(plan_uploads, paths, base=base, recursive=True)
            planned += await trio.to_thread.run_sync(look)
    return planned


def _is_planned(item: object) -> bool:
    return isinstance(item, Upload | UploadStream)


def plan_uploads(
    paths: Iterable[str | os.PathLike[str]], *, base: Path | None = None, recursive: bool = False
) -> list[Upload]:
    """Look at files before anything is sent or created.

    A file below `base` keeps its relative path; any other goes by its last component. A symbolic
    link that is named is followed. One that is found in a folder is sent as the file it leads to
    if that is inside the folder too; any other is refused, as are devices and pipes.

    Args:
        paths: regular files, and with `recursive` folders.
        base: folder that names are relative to; default: the current one.
        recursive: whether folders are taken, with all that is in them.

    Raises:
        UploadError: one is missing, unreadable, neither file nor folder, has a name that cannot be
            sent, or two get the same name.
    """
    base = (base or Path.cwd()).resolve()
    folders: dict[str, str] = {}
    planned: dict[str, Upload] = {}
    for item in check_names(paths):
        path = item if isinstance(item, Path) else Path(item)
        try:
            for upload in _look(path, _name_below(path, base, folders), recursive=recursive):
                if upload.name in planned:
                    other = planned[upload.name].path
                    message = f"{other} would be uploaded as {upload.name!r} too"
                    raise UploadError(str(upload.path), message)
                planned[upload.name] = upload
        except (OSError, ValueError) as exc:
            reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
            at = getattr(exc, "filename", None) or path
            raise UploadError(str(at), f"cannot be uploaded: {reason}") from None
    return list(planned.values())


def _name_below(path: Path, base: Path, folders: dict[str, str]) -> str:
    """Its name; `folders` remembers what stands before the last component, for other paths."""
    if path.name in ("", ".."):
        here = path.resolve()
        return here.relative_to(base).as_posix() if here.is_relative_to(base) else here.name
    name = path.name
    folder = str(path)[: -len(name)]
    if name == base.name and Path(folder).resolve() == base.parent:
        return "."
    if (before := folders.get(folder)) is None:
        here = Path(folder).resolve()
        inner = here.relative_to(base).as_posix() if here.is_relative_to(base) else "."
        before = folders[folder] = "" if inner == "." else f"{inner}/"
    return before + name


def _look(path: Path, name: str, *, recursive: bool) -> Iterator[Upload]:
    """A file, or a folder with all in it."""
    state = path.stat()
    if not stat.S_ISDIR(state.st_mode):
        yield _upload(path, name, state)
    elif not recursive:
        raise UploadError(str(path), "cannot be uploaded: it is a folder; name regular files")
    else:
        root = path.resolve()
        # The base itself is no folder to make: what is in it stands at the top.
        if name not in (".", ""):
            yield _upload(path, name, state)
        yield from _walk(root, path, "" if name in (".", "") else f"{name}/")


def _walk(root: Path, folder: Path, prefix: str) -> Iterator[Upload]:
    todo = [(folder, prefix)]
    while todo:
        inner, before = todo.pop()
        with os.scandir(inner) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
        for entry in found:
            path = inner / entry.name
            if entry.is_symlink():
                target = path.resolve()
                if not (target.is_file() and target.is_relative_to(root)):
                    raise UploadError(
                        str(path),
                        "cannot be uploaded: it is a symbolic link to something other than a file "
                        "of the same folder; remove it, or upload what it leads to by name",
                    )
            yield _upload(path, before + entry.name, path.stat())
            if entry.is_dir(follow_symlinks=False):
                todo.append((path, f"{before}{entry.name}/"))


def _upload(path: Path, name: str, state: os.stat_result) -> Upload:
    is_folder = stat.S_ISDIR(state.st_mode)
    if not (is_folder or stat.S_ISREG(state.st_mode)):
        raise UploadError(str(path), "cannot be uploaded: it is not a regular file")
    if not os.access(path, os.R_OK):
        raise UploadError(str(path), "cannot be uploaded: no permission to read it")
    try:
        name = check_name(name)
    except LocalProtocolError as exc:
        raise UploadError(str(path), str(exc)) from None
    return Upload(
        path,
        name,
        0 if is_folder else state.st_size,
        is_folder,
        bool(state.st_mode & stat.S_IXUSR) and not is_folder,
        int(state.st_mtime),
    )
