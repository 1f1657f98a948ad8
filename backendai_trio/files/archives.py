"""Tar archives, made of files chunk by chunk. Memory does not grow with the archive.

Everything here blocks; asynchronous callers use threads.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

from ..wire.archives import BLOCK, END, Entry, encode_entry, encode_seal, padding
from .chunks import CHUNK_SIZE

__all__ = ["Found", "archive", "sealed", "walk_tree"]


class Found(NamedTuple):
    """A file or folder that a walk has found."""

    inner: str
    """Its path below the one where the walk began; empty for that one."""
    folder: int | None
    """Descriptor of the folder that it is in, open until the walk goes on; None for none."""
    name: str
    """Its name in that folder (``.`` is the folder itself); its path if there is no descriptor."""
    state: os.stat_result
    """Links are not followed."""

    @property
    def is_folder(self) -> bool:
        """Whether it was a folder."""
        return stat.S_ISDIR(self.state.st_mode)

    @property
    def is_link(self) -> bool:
        """Whether it was a symbolic link."""
        return stat.S_ISLNK(self.state.st_mode)


def walk_tree(path: Path) -> Iterator[Found]:
    """A file or folder and everything below it, sorted by name; each folder before its content.

    Args:
        path: the file or folder.

    Raises:
        OSError: something cannot be examined or listed.
    """
    todo = [""]
    while todo:
        inner = todo.pop()
        name = f"{path}/{inner}" if inner else str(path)  # pathlib would take half of the time
        found = Found(inner, None, name, os.lstat(name))
        yield found
        if found.is_folder:
            prefix = f"{inner}/" if inner else ""
            todo += [prefix + child for child in sorted(os.listdir(name), reverse=True)]  # noqa: PTH208


def archive(
    sources: Iterable[tuple[Path, str]], walk: Callable[[Path], Iterator[Found]] = walk_tree
) -> Iterator[bytes]:
    """Make a tar archive of files and folders, in chunks of about `CHUNK_SIZE` at most.

    Symbolic links stay links; devices, pipes and sockets are left out.

    Args:
        sources: paths, each with its name in the archive.
        walk: finds what is below a path.

    Raises:
        OSError: a file cannot be read, or becomes shorter meanwhile.
        LocalProtocolError: a name cannot be in an archive.
    """
    for path, name in sources:
        for found in walk(path):
            yield from _member(found, f"{name}/{found.inner}" if found.inner else name)
    yield END


def sealed(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Append its seal to an archive.

    Args:
        chunks: the archive, its end mark included.
    """
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
        yield chunk
    yield encode_seal(digest.hexdigest())


def _member(found: Found, name: str) -> Iterator[bytes]:
    modified = int(found.state.st_mtime)
    if found.is_folder:
        yield encode_entry(Entry(name, "folder", modified=modified))
    elif found.is_link:
        target = os.readlink(found.name, dir_fd=found.folder)
        yield encode_entry(Entry(name, "symlink", modified=modified, target=target))
    elif stat.S_ISREG(found.state.st_mode):
        yield from _file(found, name)


def _file(found: Found, name: str) -> Iterator[bytes]:
    # A link or a pipe that has replaced the file meanwhile is not opened.
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    flags |= getattr(os, "O_BINARY", 0)
    with os.fdopen(os.open(found.name, flags, dir_fd=found.folder), "rb", 0) as file:
        state = os.fstat(file.fileno())
        size = left = state.st_size
        executable = bool(state.st_mode & stat.S_IXUSR)
        head = encode_entry(Entry(name, "file", size, executable, int(state.st_mtime)))
        if size <= CHUNK_SIZE // 16:  # a small file in one chunk
            yield head + _exactly(file, size, found.name) + padding(size)
            return
        yield head
        while left:
            chunk = _exactly(file, min(left, CHUNK_SIZE), found.name)
            left -= len(chunk)
            yield chunk
        if size % BLOCK:
            yield padding(size)


def _exactly(file: IO[bytes], size: int, name: str) -> bytes:
    data = file.read(size)
    while len(data) < size:
        more = file.read(size - len(data))
        if not more:
            raise OSError(errno.EIO, "it became shorter while it was read", name)
        data += more
    return data
