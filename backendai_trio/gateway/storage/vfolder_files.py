"""What is in a virtual folder. Everything here blocks, and stays below the folder it is given.

Kernels write into these folders what they like, symbolic links and devices among it. Nothing here
follows a link that leads out, or opens what is no regular file.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO
from zipfile import ZIP_STORED, ZipFile, ZipInfo

from ...errors import LocalProtocolError
from ...files.paths import place, safe_join
from ...wire.files import FileInfo, Listing
from ...wire.vfolders import MakeDirectory, MoveFile, RemoveFiles
from ..refusals import Refused

__all__ = [
    "inside",
    "list_entries",
    "make_directory",
    "measure",
    "move",
    "open_file",
    "place_upload",
    "remove",
    "zip_pieces",
]

_PIECE_BYTES = 1024 * 1024


def inside(root: Path, path: str) -> Path:
    """The place of a path in a folder; ``.`` and ``/`` are the folder itself.

    Raises:
        Refused: 400, it leads out.
    """
    if not path.strip("/").removeprefix("."):
        return root
    try:
        # Clients of all ages write "/name" and "name/" too; both mean what is in the folder.
        return safe_join(root, path.strip("/"))
    except (LocalProtocolError, OSError, ValueError) as exc:
        raise Refused(400, "invalid-api-params", "No such path in the folder", str(exc)) from None


def list_entries(root: Path, path: str) -> Listing:
    """What is in a folder, by name. Links are told as links, with their own size."""
    folder = _existing(root, path)
    if folder.is_symlink() and not folder.resolve().is_relative_to(root.resolve()):
        raise _unsafe(path)
    if not folder.is_dir():
        raise Refused(400, "vfolder-operation-failed", "Not a folder", repr(path))
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                state = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue  # gone meanwhile
            found.append(FileInfo.of(entry.name, (state.st_mode, state.st_size, state.st_mtime)))
    return Listing(tuple(sorted(found, key=lambda file: file.name)), path)


def make_directory(root: Path, wanted: MakeDirectory) -> None:
    """Make a folder."""
    target = inside(root, wanted.path)
    if target == root and not wanted.exist_ok:
        raise _exists(wanted.path)
    try:
        target.mkdir(parents=wanted.parents, exist_ok=wanted.exist_ok)
    except FileNotFoundError:
        raise Refused(
            400,
            "vfolder-operation-failed",
            "The folder cannot be made",
            f"the parent of {wanted.path!r} does not exist; ask for parents to be made",
        ) from None
    except FileExistsError:
        raise _exists(wanted.path) from None
    except OSError as exc:
        raise _failed("The folder cannot be made", wanted.path, exc) from None


def remove(root: Path, wanted: RemoveFiles) -> None:
    """Remove files; unless all of them can be, none is."""
    targets = [(path, _existing(root, path)) for path in wanted.files]
    for path, target in targets:
        if target == root:
            raise Refused(
                400,
                "vfolder-operation-failed",
                "The folder itself stays",
                "remove what is in it by name, or delete the virtual folder",
            )
        if _is_folder(target) and not wanted.recursive:
            raise Refused(
                400,
                "vfolder-operation-failed",
                "It is a folder",
                f"{path!r} is a folder; ask for it to be removed recursively",
            )
    for path, target in targets:
        try:
            if _is_folder(target):
                shutil.rmtree(target)
            else:
                target.unlink(missing_ok=True)
        except FileNotFoundError:
            continue  # named twice, or below another that was named
        except OSError as exc:
            raise _failed("The file cannot be removed", path, exc) from None


def move(root: Path, wanted: MoveFile) -> None:
    """Rename a file or folder; into the target if that is a folder, in place of it if a file."""
    source, target = _existing(root, wanted.source), inside(root, wanted.target)
    if source == root:
        raise Refused(400, "vfolder-operation-failed", "The folder itself cannot be moved")
    if _is_folder(target):
        target = target / source.name
    if _is_folder(target):
        raise _exists(wanted.target)
    if target.is_relative_to(source) and target != source:
        raise Refused(
            400, "vfolder-operation-failed", "A folder cannot be moved into itself", wanted.source
        )
    try:
        source.rename(target)
    except OSError as exc:
        raise _failed("The file cannot be moved", wanted.source, exc) from None


def measure(root: Path) -> tuple[int, int]:
    """How many files there are, and their bytes; links count as what they are."""
    files = used = 0
    todo = [root]
    while todo:
        try:
            with os.scandir(todo.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        todo.append(Path(entry.path))
                    else:
                        files += 1
                        used += entry.stat(follow_symlinks=False).st_size
        except OSError:
            continue  # gone meanwhile, or closed to us by a kernel
    return files, used


def check_parent(root: Path, path: str) -> None:
    """Refuse the name of a file whose folder does not exist."""
    if not inside(root, path).parent.is_dir():
        raise _missing(path.rpartition("/")[0])


def place_upload(root: Path, path: str, source: Path) -> None:
    """Give a file that has arrived whole its name; its folders are made."""
    target = inside(root, path)
    if target == root or _is_folder(target):
        raise Refused(
            400, "vfolder-operation-failed", "The file cannot be stored", f"{path!r} is a folder"
        )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # Looked at again, now that its folders exist: a kernel may have put a link there.
        place(source, inside(root, path), overwrite=True)
    except OSError as exc:
        raise _failed("The file cannot be stored", path, exc) from None


def open_file(root: Path, path: str) -> tuple[IO[bytes], os.stat_result]:
    """Open a regular file, unbuffered.

    A link within the folder is followed; one that leads out, a device or a pipe is refused.
    """
    target = _existing(root, path).resolve()
    if not target.is_relative_to(root.resolve()):
        raise _unsafe(path)
    try:
        # Resolved before, it is no link; should it have become one, or a pipe, it is not opened.
        file = os.fdopen(os.open(target, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb", 0)
    except FileNotFoundError:
        raise _missing(path) from None
    except OSError as exc:
        if stat.S_ISDIR(target.lstat().st_mode):
            raise _is_a_folder(path) from None
        raise _failed("The file cannot be read", path, exc) from None
    state = os.fstat(file.fileno())
    if not stat.S_ISREG(state.st_mode):
        file.close()
        raise _is_a_folder(path) if stat.S_ISDIR(state.st_mode) else _unsafe(path)
    return file, state


def zip_pieces(root: Path, path: str) -> Iterator[bytes]:
    """A folder as a ZIP archive, uncompressed, piece by piece; links and devices are left out."""
    folder = _existing(root, path)
    if not _is_folder(folder):
        raise Refused(400, "vfolder-operation-failed", "Not a folder", repr(path))
    return _zip(folder, root)


def _zip(folder: Path, root: Path) -> Iterator[bytes]:
    sink = _Sink()
    with ZipFile(sink, "w", ZIP_STORED, allowZip64=True) as archive:  # type: ignore[call-overload]
        for place_of, folders, names in os.walk(folder):
            folders.sort()
            here = Path(place_of)
            prefix = here.relative_to(folder).as_posix()
            prefix = "" if prefix == "." else f"{prefix}/"
            if prefix:
                archive.writestr(ZipInfo(prefix), b"")
            for name in sorted(names):
                try:
                    file, _ = open_file(root, (here / name).relative_to(root).as_posix())
                except (Refused, OSError):
                    continue
                with file, archive.open(ZipInfo(prefix + name), "w", force_zip64=True) as entry:
                    while piece := file.read(_PIECE_BYTES):
                        entry.write(piece)
                        yield sink.take()
    yield sink.take()


class _Sink:
    """What `ZipFile` writes to: a stream that cannot seek, taken piece by piece."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._pieces.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        pass

    def take(self) -> bytes:
        taken, self._pieces = b"".join(self._pieces), []
        return taken


def _existing(root: Path, path: str) -> Path:
    target = inside(root, path)
    if not os.path.lexists(target):
        raise _missing(path)
    return target


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _missing(path: str) -> Refused:
    return Refused(404, "generic-not-found", "No such file", f"{path!r} is not in the folder")


def _exists(path: str) -> Refused:
    return Refused(400, "vfolder-operation-failed", "It exists already", repr(path))


def _unsafe(path: str) -> Refused:
    detail = f"{path!r} is a device, a pipe, or a link that leads out of the folder"
    return Refused(400, "vfolder-operation-failed", "Not a file of the folder", detail)


def _is_a_folder(path: str) -> Refused:
    detail = f"{path!r} is a folder; ask for an archive of it, or for its files"
    return Refused(400, "vfolder-operation-failed", "It is a folder", detail)


def _failed(title: str, path: str, exc: OSError) -> Refused:
    if exc.errno in (errno.ENOSPC, errno.EDQUOT):
        return Refused(507, "storage-full", "The gateway's disk is full", repr(path))
    detail = f"{path!r}: {exc.strerror or exc}"
    return Refused(400, "vfolder-operation-failed", title, detail)
