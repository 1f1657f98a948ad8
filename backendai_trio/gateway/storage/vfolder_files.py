"""Files in a virtual folder. All functions block, and stay within the folder.

Kernels can put anything into these folders, including symbolic links and devices. No function here
follows a link that leads out of the folder, or opens anything except regular files.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO

from ...errors import LocalProtocolError
from ...files.paths import place, safe_join
from ...wire.files import FileInfo, Listing
from ...wire.vfolder_files import MakeDirectory, MoveFile, RemoveFiles
from ..refusals import Refused, refusal_of
from .held_folders import held_folder

__all__ = [
    "check_parent",
    "existing",
    "inside",
    "is_folder",
    "list_entries",
    "make_directory",
    "measure",
    "move",
    "open_file",
    "place_upload",
    "remove",
    "walk",
]


def inside(root: Path, path: str) -> Path:
    """Resolve a path in a folder; ``.`` and ``/`` are the folder itself.

    Raises:
        Refused: 400, the path leads out of the folder.
    """
    if not path.strip("/").removeprefix("."):
        return root
    try:
        # Clients send "/name" and "name/" as well; both mean "name".
        return safe_join(root, path.strip("/"))
    except (LocalProtocolError, OSError, ValueError) as exc:
        raise Refused(400, "invalid-api-params", "No such path in the folder", str(exc)) from None


def list_entries(root: Path, path: str) -> Listing:
    """List a folder, sorted by name. Symbolic links are listed as links."""
    folder = existing(root, path)
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
                continue  # was removed meanwhile
            found.append(FileInfo.of(entry.name, (state.st_mode, state.st_size, state.st_mtime)))
    return Listing(tuple(sorted(found, key=lambda file: file.name)), path)


def make_directory(root: Path, request: MakeDirectory) -> None:
    """Make a folder."""
    target = inside(root, request.path)
    if target == root:
        if not request.exist_ok:
            raise _exists(request.path)
        return
    try:
        with _held(root, target.parent, make=request.parents) as folder:
            (folder / target.name).mkdir(exist_ok=request.exist_ok)
    except FileNotFoundError:
        raise Refused(
            400,
            "vfolder-operation-failed",
            "The folder cannot be made",
            f"the parent of {request.path!r} does not exist; request that parents are made",
        ) from None
    except FileExistsError:
        raise _exists(request.path) from None
    except OSError as exc:
        raise _failed("The folder cannot be made", request.path, exc) from None


def remove(root: Path, request: RemoveFiles) -> None:
    """Remove files and folders. If one of them cannot be removed, none is."""
    targets = [(path, existing(root, path)) for path in request.files]
    for path, target in targets:
        if target == root:
            raise Refused(
                400,
                "vfolder-operation-failed",
                "The virtual folder itself cannot be removed",
                "remove its files by name, or delete the virtual folder",
            )
        if is_folder(target) and not request.recursive:
            raise Refused(
                400,
                "vfolder-operation-failed",
                "It is a folder",
                f"{path!r} is a folder; remove it recursively",
            )
    for path, target in targets:
        try:
            with _held(root, target.parent) as folder:
                if is_folder(folder / target.name):
                    shutil.rmtree(folder / target.name)
                else:
                    (folder / target.name).unlink(missing_ok=True)
        except FileNotFoundError:
            continue  # named twice, or in a folder that was removed before
        except OSError as exc:
            raise _failed("The file cannot be removed", path, exc) from None


def move(root: Path, request: MoveFile) -> None:
    """Move a file or folder. A target that is a folder gets it; one that is a file is replaced."""
    source, target = existing(root, request.source), inside(root, request.target)
    if source == root:
        raise Refused(400, "vfolder-operation-failed", "The folder itself cannot be moved")
    if is_folder(target):
        target = target / source.name
    if is_folder(target):
        raise _exists(request.target)
    if target.is_relative_to(source) and target != source:
        raise Refused(
            400, "vfolder-operation-failed", "A folder cannot be moved into itself", request.source
        )
    try:
        with _held(root, source.parent) as old, _held(root, target.parent) as new:
            (old / source.name).rename(new / target.name)
    except OSError as exc:
        raise _failed("The file cannot be moved", request.source, exc) from None


def measure(root: Path) -> tuple[int, int]:
    """The number of files in a folder and their size in bytes; links are not followed."""
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
            continue  # was removed meanwhile, or a kernel has made it unreadable
    return files, used


def check_parent(root: Path, path: str) -> None:
    """Check that the folder of a file exists.

    Raises:
        Refused: 404, it does not.
    """
    if not inside(root, path).parent.is_dir():
        raise _missing(path.rpartition("/")[0])


def place_upload(root: Path, path: str, source: Path) -> None:
    """Give a complete upload its name; missing folders are made."""
    target = inside(root, path)
    if target == root or is_folder(target):
        raise Refused(
            400, "vfolder-operation-failed", "The file cannot be stored", f"{path!r} is a folder"
        )
    try:
        with _held(root, target.parent, make=True) as folder:
            place(source, folder / target.name, overwrite=True)
    except OSError as exc:
        raise _failed("The file cannot be stored", path, exc) from None


def open_file(root: Path, path: str) -> tuple[IO[bytes], os.stat_result]:
    """Open a regular file, unbuffered.

    A link within the folder is followed; one that leads out, a device or a pipe is refused.
    """
    target = existing(root, path).resolve()
    if not target.is_relative_to(root.resolve()):
        raise _unsafe(path)
    try:
        # It was resolved, so it is not a link. If it has become a link or a pipe, it is not opened.
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


def walk(items: Sequence[Path]) -> Iterator[Path]:
    """The items that are files, and everything below those that are folders.

    Links are given as they are, and not followed.
    """
    for item in items:
        if not is_folder(item):
            yield item
            continue
        for current, folders, names in os.walk(item):
            folders.sort()
            here = Path(current)
            if here != item:
                yield here
            links = [name for name in folders if (here / name).is_symlink()]
            yield from (here / name for name in sorted([*names, *links]))


def existing(root: Path, path: str) -> Path:
    """Resolve a path in a folder, as `inside`.

    Raises:
        Refused: 404, nothing is there; 400, the path leads out of the folder.
    """
    target = inside(root, path)
    if not os.path.lexists(target):
        raise _missing(path)
    return target


def is_folder(path: Path) -> bool:
    """Whether a path is a folder, and not a link to one."""
    return path.is_dir() and not path.is_symlink()


def _held(root: Path, folder: Path, *, make: bool = False) -> AbstractContextManager[Path]:
    return held_folder(folder, [root.resolve()], make=make)


def _missing(path: str) -> Refused:
    return Refused(404, "generic-not-found", "No such file", f"{path!r} is not in the folder")


def _exists(path: str) -> Refused:
    return Refused(400, "vfolder-operation-failed", "The file exists", repr(path))


def _unsafe(path: str) -> Refused:
    detail = f"{path!r} is a device, a pipe, or a link that leads out of the folder"
    return Refused(400, "vfolder-operation-failed", "Not a regular file of the folder", detail)


def _is_a_folder(path: str) -> Refused:
    detail = f"{path!r} is a folder; request an archive of it, or its files"
    return Refused(400, "vfolder-operation-failed", "It is a folder", detail)


def _failed(title: str, path: str, exc: OSError) -> Refused:
    if exc.errno in (errno.ENOSPC, errno.EDQUOT):
        return refusal_of(exc, path)
    detail = f"{path!r}: {exc.strerror or exc}"
    return Refused(400, "vfolder-operation-failed", title, detail)
