"""Sources of an upload: files and folders, planned before anything is sent, and streams."""

from __future__ import annotations

import os
import stat
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Iterable,
    Iterator,
    Sequence,
)
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Literal, cast, get_args

import trio

from ..errors import LocalProtocolError, UploadError
from ..wire.archives import Entry
from ..wire.multipart import check_name, check_names
from .chunks import CHUNK_SIZE

__all__ = ["Links", "Upload", "UploadStream", "plan_items", "plan_uploads"]

Links = Literal["follow", "keep", "skip"]
"""What becomes of symbolic links in a folder: their targets are uploaded, the links themselves are,
or neither."""
_CLOSE_SECONDS = 5.0
"""How long a stream may take to clean up."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A local file, folder or symbolic link, and its name in the work folder."""

    path: Path
    name: str
    """Relative to the work folder, with forward slashes."""
    size: int
    """Bytes at the time of planning; 0 for folders and links."""
    is_folder: bool = False
    """Whether this is a folder. Each file in it is an upload of its own."""
    executable: bool = False
    modified: int = 0
    """Seconds since 1970."""
    link: str = ""
    """Target of a symbolic link that is uploaded as one; empty for files and folders."""

    @property
    def error_path(self) -> str:
        """`UploadError.path` of its errors."""
        return str(self.path)

    @property
    def entry(self) -> Entry:
        """The header of this upload in an archive."""
        if self.link:
            return Entry(self.name, "symlink", modified=self.modified, target=self.link)
        kind: Literal["file", "folder"] = "folder" if self.is_folder else "file"
        return Entry(self.name, kind, self.size, self.executable, self.modified)

    def read_at(self, offset: int, size: int) -> bytes:
        """Read part of the content. Blocks.

        Args:
            offset: first byte.
            size: how many bytes.

        Raises:
            UploadError: the file cannot be read, or its size is not the planned one any more.
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
        """Iterate over the content, in chunks of `CHUNK_SIZE` at most. Blocks.

        Raises:
            UploadError: the file cannot be read, or its size is not the planned one any more.
        """
        left = self.size
        try:
            # Without a file object, small files take half of the time.
            file = os.open(self.path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
            try:
                ended = False
                while left >= 0 and not ended:
                    limit = min(left + 1, CHUNK_SIZE)
                    chunk = os.read(file, limit)
                    left -= len(chunk)
                    ended = len(chunk) < limit
                    if chunk and left >= 0:
                        yield chunk
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
    """Bytes that are produced while they are sent, and their file's name in the work folder."""

    content: AsyncIterable[bytes]
    """Iterated over once. A slow receiver slows it."""
    name: str
    """Relative to the work folder, with forward slashes."""
    size: int | None = None
    """Bytes, if known beforehand; the upload fails when the content has another size."""

    @property
    def error_path(self) -> str:
        """`UploadError.path` of its errors."""
        return self.name

    @asynccontextmanager
    async def open(self) -> AsyncIterator[AsyncIterator[bytes]]:
        """Iterate over the content. A generator is closed in the end, exhausted or not.

        Raises:
            UploadError: at the end of the iteration, or before: the content has another size than
                `size`.
        """
        chunks = aiter(self.content)
        checked = self._checked(chunks)
        try:
            yield checked
        finally:
            with trio.move_on_after(_CLOSE_SECONDS, shield=True):
                await checked.aclose()
                if (close := getattr(chunks, "aclose", None)) is not None:
                    await close()

    async def _checked(self, chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        done = 0
        async for chunk in chunks:
            done += len(chunk)
            if self.size is not None and done > self.size:
                raise self._other_size()
            yield chunk
        if self.size is not None and done != self.size:
            raise self._other_size()

    def _other_size(self) -> UploadError:
        return UploadError(self.name, f"has another size than the {self.size:,} bytes announced")


async def plan_items(
    items: Iterable[str | os.PathLike[str] | Upload | UploadStream],
    *,
    base: Path | None,
    links: Links = "follow",
) -> list[Upload | UploadStream]:
    """Plan the paths among the items of an upload; folders are uploaded with all their content.

    Args:
        items: paths, planned uploads and streams.
        base: as for `plan_uploads`.
        links: as for `plan_uploads`.

    Raises:
        UploadError: as for `plan_uploads`.
    """
    planned: list[Upload | UploadStream] = []
    for is_planned, group in groupby(check_names(items), _is_planned):
        if is_planned:
            planned += cast("Iterable[Upload | UploadStream]", group)
        else:
            paths = cast("list[str]", list(group))
            plan = partial(plan_uploads, paths, base=base, recursive=True, links=links)
            planned += await trio.to_thread.run_sync(plan)
    return planned


def _is_planned(item: object) -> bool:
    return isinstance(item, Upload | UploadStream)


def plan_uploads(
    paths: Iterable[str | os.PathLike[str]],
    *,
    base: Path | None = None,
    recursive: bool = False,
    links: Links = "follow",
) -> list[Upload]:
    """Plan an upload: look at all files before anything is sent or created. Blocks.

    A path below `base` keeps its relative name; any other gets its last component as its name. A
    symbolic link that is named in `paths` is followed. Devices, pipes and sockets are refused.

    Args:
        paths: regular files, and with `recursive` folders.
        base: folder that names are relative to; None for the current one.
        recursive: whether folders are uploaded, with all their content.
        links: what becomes of symbolic links in these folders. ``"follow"`` uploads the file or
            the folder that a link leads to, if that is inside the same folder, and refuses others.
            ``"keep"`` uploads the links (kernels take them, virtual folders do not), and refuses
            those that lead out of the folder. ``"skip"`` leaves all of them out.

    Returns:
        The files, and the folders before their content.

    Raises:
        UploadError: a path is missing, unreadable, or not a file or folder; a name cannot be sent;
            two paths get the same name; a link is refused.
        ValueError: `links` is none of the three words.
    """
    if links not in get_args(Links):
        raise ValueError(f"links must be 'follow', 'keep' or 'skip', not {links!r}")
    base = (base or Path.cwd()).resolve()
    folders: dict[str, str] = {}
    planned: dict[str, Upload] = {}
    for item in check_names(paths):
        path = item if isinstance(item, Path) else Path(item)
        try:
            name = _name_below(path, base, folders)
            for upload in _plan(path, name, recursive=recursive, links=links):
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
    """The remote name of a path. `folders` caches the remote names of the paths' folders."""
    if path.name in ("", ".."):
        resolved = path.resolve()
        if resolved.is_relative_to(base):
            return resolved.relative_to(base).as_posix()
        return resolved.name
    name = path.name
    folder = str(path)[: -len(name)]
    if name == base.name and Path(folder).resolve() == base.parent:
        return "."
    if (prefix := folders.get(folder)) is None:
        resolved = Path(folder).resolve()
        inner = resolved.relative_to(base).as_posix() if resolved.is_relative_to(base) else "."
        prefix = folders[folder] = "" if inner == "." else f"{inner}/"
    return prefix + name


def _plan(path: Path, name: str, *, recursive: bool, links: Links) -> Iterator[Upload]:
    """The uploads of a file, or of a folder and its content."""
    state = path.stat()
    if not stat.S_ISDIR(state.st_mode):
        yield _upload(path, name, state)
    elif not recursive:
        raise UploadError(str(path), "cannot be uploaded: it is a folder; name regular files")
    else:
        # The base itself is not created: its content goes to the top.
        if name not in (".", ""):
            yield _upload(path, name, state)
        yield from _walk(path, "" if name in (".", "") else f"{name}/", links)


def _walk(top: Path, prefix: str, links: Links) -> Iterator[Upload]:
    """The uploads of a folder's content."""
    root = top.resolve()
    # Beside each folder: the folders of the links that were followed to it.
    todo: list[tuple[Path, str, tuple[Path, ...]]] = [(top, prefix, ())]
    while todo:
        folder, before, crossed = todo.pop()
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
        for entry in found:
            path, name = folder / entry.name, before + entry.name
            inner = crossed
            if not entry.is_symlink():
                state = path.lstat()
            elif links == "skip":
                continue
            elif links == "keep":
                yield _link(path, name, root)
                continue
            else:
                inner = (*crossed, path.parent.resolve())
                state = _followed(path, root, inner)
            yield _upload(path, name, state)
            if stat.S_ISDIR(state.st_mode):
                todo.append((path, f"{name}/", inner))


def _followed(path: Path, root: Path, inside: Sequence[Path]) -> os.stat_result:
    """The state of what a link leads to: it must be in `root`, and not hold one of `inside`."""
    target = path.resolve()
    if not (
        target.is_relative_to(root)
        and (target.is_file() or target.is_dir())
        and not any(folder.is_relative_to(target) for folder in inside)
    ):
        raise UploadError(
            str(path),
            "cannot be uploaded: it is a symbolic link to something other than a file or folder of "
            "the same folder; remove it, leave links out, or upload what it leads to by name",
        )
    return target.stat()


def _link(path: Path, name: str, root: Path) -> Upload:
    """A link that is uploaded as one."""
    target = os.readlink(path)  # noqa: PTH115 (as it is written, not as pathlib normalises it)
    if target.startswith("/") or not path.resolve().is_relative_to(root):
        raise UploadError(
            str(path),
            "cannot be uploaded: it is a symbolic link that leads out of the folder; remove it, or "
            "leave links out",
        )
    return Upload(path, _checked_name(path, name), 0, link=target)


def _upload(path: Path, name: str, state: os.stat_result) -> Upload:
    is_folder = stat.S_ISDIR(state.st_mode)
    if not (is_folder or stat.S_ISREG(state.st_mode)):
        raise UploadError(str(path), "cannot be uploaded: it is not a regular file")
    if not os.access(path, os.R_OK):
        raise UploadError(str(path), "cannot be uploaded: no permission to read it")
    return Upload(
        path,
        _checked_name(path, name),
        0 if is_folder else state.st_size,
        is_folder,
        bool(state.st_mode & stat.S_IXUSR) and not is_folder,
        int(state.st_mtime),
    )


def _checked_name(path: Path, name: str) -> str:
    try:
        return check_name(name)
    except LocalProtocolError as exc:
        raise UploadError(str(path), str(exc)) from None
