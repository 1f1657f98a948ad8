"""Files in a virtual folder. All functions block, and stay within the folder. What they change is
on the disk when they return.

Kernels can put anything into these folders, including symbolic links and devices. No function here
follows a link that leads out of the folder, or opens anything except regular files.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO

from ...config.user_dirs import sync_folder
from ...errors import LocalProtocolError
from ...files.paths import safe_join
from ...files.placing import place
from ...wire.files import FileInfo, Listing
from ...wire.vfolder_files import MakeDirectory, MoveFile, RemoveFiles
from ..refusals import Refused, refusal_of
from .held_folders import entries_of, held_folder, open_held, resolved
from .held_trees import walk_held

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
    "sync_above",
]

_LEADS_OUT = (errno.EXDEV, errno.ELOOP)


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
    # RuntimeError: links that lead to each other, before Python 3.13.
    except (LocalProtocolError, OSError, ValueError, RuntimeError) as exc:
        raise Refused(400, "invalid-api-params", "No such path in the folder", str(exc)) from None


def list_entries(root: Path, path: str) -> Listing:
    """List a folder, sorted by name. Symbolic links are listed as links."""
    try:
        with _held(root, existing(root, path)) as folder:
            found = entries_of(folder)
    except NotADirectoryError:
        raise Refused(400, "vfolder-operation-failed", "Not a folder", repr(path)) from None
    except FileNotFoundError:
        raise _missing(path) from None
    except OSError as exc:
        if exc.errno in _LEADS_OUT:
            raise _unsafe(path) from None
        raise _failed("The folder cannot be read", path, exc) from None
    files = (FileInfo.of(n, (s.st_mode, s.st_size, s.st_mtime)) for n, s in sorted(found))
    return Listing(tuple(files), path)


def make_directory(root: Path, request: MakeDirectory) -> None:
    """Make a folder."""
    target = inside(root, request.path)
    if target == root:
        if not request.exist_ok:
            raise _exists(request.path)
        return
    try:
        with _changed(root, target.parent, make=request.parents) as folder:
            (folder / target.name).mkdir(exist_ok=request.exist_ok)
    except FileNotFoundError:
        raise Refused(
            400,
            "vfolder-operation-failed",
            "The folder cannot be made",
            f"the parent of {request.path!r} does not exist; make it as well (--parents)",
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
            with _changed(root, target.parent) as folder:
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
        with _changed(root, source.parent) as old, _changed(root, target.parent) as new:
            (old / source.name).rename(new / target.name)
    except OSError as exc:
        raise _failed("The file cannot be moved", request.source, exc) from None


def measure(root: Path) -> tuple[int, int]:
    """The number of files in a folder and their size in bytes; links are not followed."""
    root = root.resolve()
    files = used = 0
    for found in walk_held(root, [root]):
        if not found.is_folder:
            files += 1
            used += found.state.st_size
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
        with _changed(root, target.parent, make=True) as folder:
            place(source, folder / target.name, overwrite=True)
    except OSError as exc:
        raise _failed("The file cannot be stored", path, exc) from None


def open_file(root: Path, path: str) -> tuple[IO[bytes], os.stat_result]:
    """Open a regular file, unbuffered.

    A link within the folder is followed; one that leads out, a device or a pipe is refused.
    """
    target = existing(root, path)
    try:
        return open_held(resolved(target), [root.resolve()])
    except FileNotFoundError:
        raise _missing(path) from None
    except IsADirectoryError:
        raise _is_a_folder(path) from None
    except OSError as exc:
        if exc.errno in (*_LEADS_OUT, errno.ENXIO, errno.EINVAL):
            raise _unsafe(path) from None
        raise _failed("The file cannot be read", path, exc) from None


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


@contextmanager
def _changed(root: Path, folder: Path, *, make: bool = False) -> Iterator[Path]:
    """Hold a folder to change its names; they are on the disk when the block has ended."""
    makes = make and not folder.is_dir()
    with _held(root, folder, make=make) as held:
        yield held
        sync_folder(held)
    if makes:
        sync_above(root, folder)


def sync_above(root: Path, folder: Path) -> None:
    """Wait until the folders between a root and a folder are on the disk."""
    for above in folder.parents:
        sync_folder(above)
        if above in (root, root.resolve()):
            break


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
