"""ZIP archives of what is in virtual folders. All functions block."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import IO
from zipfile import ZIP_STORED, ZipFile, ZipInfo

from ...files.archives import Found
from ..refusals import Refused
from .held_folders import open_in
from .held_trees import is_left_out, walk_held
from .vfolder_files import existing, is_folder, open_file

__all__ = ["outermost", "zip_chunks", "zip_paths"]

_CHUNK_BYTES = 1024 * 1024


def zip_chunks(root: Path, path: str) -> Iterator[bytes]:
    """An uncompressed ZIP archive of a folder, in chunks.

    Devices, and links that lead out of the virtual folder, are left out.
    """
    root = root.resolve()
    folder = existing(root, path)
    if not is_folder(folder):
        raise Refused(400, "vfolder-operation-failed", "Not a folder", repr(path))
    return _zip([folder], folder, root)


def zip_paths(root: Path, paths: Sequence[str]) -> Iterator[bytes]:
    """The same of files and folders, which are named by their paths in the virtual folder."""
    root = root.resolve()
    found = [existing(root, path) for path in paths]
    for item, path in zip(found, paths, strict=True):
        if not is_folder(item):
            open_file(root, path)[0].close()  # whether it may be read
    return _zip(found, root, root)


def outermost(paths: Sequence[str]) -> tuple[str, ...]:
    """Those of some paths that lie below no other one, each once."""
    found = {PurePosixPath(path.strip("/") or "."): path for path in paths}
    return tuple(path for key, path in found.items() if found.keys().isdisjoint(key.parents))


def _zip(items: Sequence[Path], base: Path, root: Path) -> Iterator[bytes]:
    """An archive of files and folders, each named by its path below `base`."""
    sink = _ChunkSink()
    with ZipFile(sink, "w", ZIP_STORED, allowZip64=True) as archive:  # type: ignore[call-overload]
        for item in items:
            for found in walk_held(item, [root]):
                path = item / found.inner
                name = path.relative_to(base).as_posix()
                if found.is_folder:
                    if found.inner:
                        archive.writestr(ZipInfo(f"{name}/"), b"")
                    continue
                if (file := _opened(found, path, root)) is None:
                    continue
                with file, archive.open(ZipInfo(name), "w", force_zip64=True) as entry:
                    while data := file.read(_CHUNK_BYTES):
                        entry.write(data)
                        yield sink.take()
    yield sink.take()


def _opened(found: Found, path: Path, root: Path) -> IO[bytes] | None:
    """Open a file; None for what is left out. A link within the virtual folder is followed."""
    try:
        if found.is_link:
            return open_file(root, path.relative_to(root).as_posix())[0]
        return open_in(found.folder, found.name)[0]
    except Refused:
        return None
    except OSError as exc:
        if is_left_out(exc):
            return None
        raise


class _ChunkSink:
    """A file that `ZipFile` writes to: not seekable, and emptied after each write."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._chunks.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        pass

    def take(self) -> bytes:
        """Take everything that was written since the last call."""
        data, self._chunks = b"".join(self._chunks), []
        return data
