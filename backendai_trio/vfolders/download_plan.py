"""Planning a download from a virtual folder: which files there are, and where they go.

Folders are walked by their listings. Names that a server sends are not trusted: none leads out of
the local folder.
"""

from __future__ import annotations

import posixpath
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import DownloadError, LocalProtocolError
from ..files.paths import safe_join
from ..wire.files import FileInfo
from ..wire.multipart import check_name
from .pending_files import not_written

__all__ = ["Lister", "RemoteFile", "find_files", "prepare_targets"]

Lister = Callable[[str], Awaitable[list[FileInfo]]]
MAX_ENTRIES = 65_536
"""Most files and folders of one download; more count as an attack on the file system."""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file to download."""

    path: str
    """In the virtual folder."""
    name: str
    """Below the local folder."""
    size: int
    modified: float
    """Seconds since 1970; 0 if the server does not say."""


async def find_files(
    list_files: Lister, paths: Sequence[str], on_skip: Callable[[str], None] | None
) -> tuple[list[RemoteFile], list[str]]:
    """The files to download, and the names of the folders to make, as the server lists them.

    Args:
        list_files: lists a folder of the virtual folder.
        paths: files and folders, relative to the virtual folder; ``.`` for all its content.
        on_skip: is called with the path of each link or device in these folders; None refuses them.

    Raises:
        DownloadError: a path does not exist, a name leads elsewhere, or there are too many files.
        ApiError, ConnectionFailed: a folder could not be listed.
    """
    files: dict[str, RemoteFile] = {}
    folders: list[str] = []
    todo: list[tuple[str, str]] = []
    for path in paths:
        clean = path.strip("/") or "."
        if clean == ".":
            todo.append((".", ""))
            continue
        try:
            clean = check_name(clean)
        except LocalProtocolError as exc:
            raise DownloadError(path, str(exc)) from None
        parent, name = posixpath.split(clean)
        found = next((f for f in await list_files(parent or ".") if f.name == name), None)
        if found is None:
            raise DownloadError(path, "there is no such file in the virtual folder")
        todo += _add(found, parent, "", files, folders)
    while todo:
        path, prefix = todo.pop()
        for found in await list_files(path):
            if on_skip is not None and not (found.is_folder or found.mode.startswith("-")):
                on_skip(found.name if path == "." else f"{path}/{found.name}")
                continue
            todo += _add(found, "" if path == "." else path, prefix, files, folders)
            if len(files) + len(folders) > MAX_ENTRIES:
                raise DownloadError(
                    path, f"holds more than {MAX_ENTRIES:,} files; download its folders one by one"
                )
    return list(files.values()), folders


def _add(
    found: FileInfo, parent: str, prefix: str, files: dict[str, RemoteFile], folders: list[str]
) -> list[tuple[str, str]]:
    """Add an entry of a listing to the files or the folders; returns a folder that is to be listed
    next, and the prefix of its files' names."""
    path = f"{parent}/{found.name}" if parent else found.name
    if "/" in found.name or found.name in ("", ".", ".."):
        raise DownloadError(path, f"the server lists a file named {found.name!r}; refused")
    name = prefix + found.name
    if name in files or name in folders:
        raise DownloadError(
            path, "two of the paths have the same last component; download one at a time"
        )
    if found.is_folder:
        folders.append(name)
        return [(path, f"{name}/")]
    if not found.mode.startswith("-"):
        raise DownloadError(
            path,
            "is a link or a device, not a regular file; leave such out (--links skip), or download "
            "what it leads to by name",
        )
    files[name] = RemoteFile(path, name, found.size, found.modified)
    return []


def prepare_targets(
    into: Path, files: Sequence[RemoteFile], folders: Sequence[str], overwrite: bool
) -> dict[RemoteFile, Path]:
    """Make the folders, and choose the path of each file. Conflicts are found first. Blocks.

    Args:
        into: the local folder, which is created.
        files: what is to be downloaded.
        folders: names of folders to make.
        overwrite: whether existing files may be replaced.

    Raises:
        DownloadError: a file exists, a folder is in the way, or a folder cannot be made.
    """
    try:
        into.mkdir(parents=True, exist_ok=True)
        local_folders = [_join(into, name) for name in folders]
        targets = {file: _join(into, file.name) for file in files}
        for target in targets.values():
            if target.is_dir() and not target.is_symlink():
                raise DownloadError(str(target), "a folder is in the way")
            if not overwrite and (target.exists() or target.is_symlink()):
                raise DownloadError(
                    str(target),
                    "exists already; nothing was changed. Allow overwriting to replace it",
                )
        for folder in local_folders:
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise not_written(exc, into) from exc
    return targets


def _join(into: Path, name: str) -> Path:
    try:
        return safe_join(into, name)
    except LocalProtocolError as exc:
        raise DownloadError(name, str(exc)) from None
