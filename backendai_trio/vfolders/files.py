"""The files in a virtual folder: methods of `TrioVFolder`."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

import trio

from ..errors import LocalProtocolError
from ..files.progress import Progress, ProgressReporter
from ..files.sources import Links, Upload
from ..files.upload_plan import plan_items
from ..wire.files import FileInfo, Listing, PathsRequest
from ..wire.http import JSON, Request
from ..wire.multipart import check_names
from ..wire.storage_proxy import TUS_CHECKSUM
from ..wire.vfolder_files import MoveFile, RemoveFiles, RenameFile
from .download import download_files
from .reference import VFolderReference, call_since, check_era, path_of, unsupported
from .upload import make_folder, upload_files

__all__ = ["download", "list_files", "mkdir", "move", "remove", "rename_file", "upload"]

_UPLOADS = ".upload"
"""Where storage proxies keep the pieces of uploads, in the virtual folder itself (docs/protocol.md,
section 7.4)."""
_MOVES_SINCE = (6, "20220315")
"""API version of managers 22.03; earlier ones can only give a file another name."""


async def list_files(folder: VFolderReference, path: str = ".") -> list[FileInfo]:
    """List a folder in the virtual folder.

    Args:
        path: relative to the virtual folder.

    Returns:
        Its files and folders, by name. What storage proxies keep of uploads is left out.

    Raises:
        LocalProtocolError: a manager before 1.4, which cannot list files.
        ApiError, ConnectionFailed: the request failed; for a path that does not exist, servers
            differ in the status.

    Endpoint: ``GET /folders/{name}/files`` (manager 1.4; docs/protocol.md, section 7.3).
    """
    await check_era(folder, "list files", in_kernels=True)
    endpoint = path_of(folder, "files")
    reply = await folder.client.call(PathsRequest((path,)).request("GET", endpoint, "path"))
    found = Listing.decode(reply.body).files
    if posixpath.normpath(path) in (".", "/") and not folder.client.has(TUS_CHECKSUM):
        found = tuple(file for file in found if file.name != _UPLOADS)
    return sorted(found, key=lambda file: file.name)


async def mkdir(
    folder: VFolderReference, path: str, *, parents: bool = True, exist_ok: bool = False
) -> None:
    """Make a folder in the virtual folder.

    Args:
        path: relative to the virtual folder.
        parents: whether folders above it are made; managers before 20.09 always make them.
        exist_ok: whether it may exist; managers before 20.03 never object.

    Raises:
        InvalidRequest: it exists, or the folder above it does not.
        LocalProtocolError: a manager before 1.4, which cannot make folders.
        ApiError, ConnectionFailed: the request failed.

    Endpoint: ``POST /folders/{name}/mkdir`` (manager 1.4; docs/protocol.md, section 7.3).
    """
    await check_era(folder, "make folders", in_kernels=True)
    await make_folder(folder.client, folder.name, path, parents=parents, exist_ok=exist_ok)


async def move(folder: VFolderReference, source: str, target: str) -> None:
    """Rename a file or folder in the virtual folder; a file of the target's name is replaced.

    Args:
        source: relative to the virtual folder.
        target: relative to the virtual folder; if it is a folder, `source` moves into it.

    Raises:
        LocalProtocolError: a manager before 22.03, which cannot move files.
        ApiError, ConnectionFailed: the request failed, e.g. since `source` does not exist.

    Endpoint: ``POST /folders/{name}/move-file`` (manager 22.03; docs/protocol.md,
    section 7.3).
    """
    if not (folder.client.hello.key >= _MOVES_SINCE or folder.client.has(TUS_CHECKSUM)):
        await trio.lowlevel.checkpoint()
        raise unsupported(folder, "move files", "22.03", in_kernels=True)
    body = MoveFile(source, target).encode()
    request = Request("POST", path_of(folder, "move-file"), (), body, JSON)
    await call_since(folder, request, "move files", "22.03", in_kernels=True)


async def rename_file(folder: VFolderReference, path: str, name: str) -> None:
    """Give a file or folder in the virtual folder another name; it stays in its folder.

    Args:
        path: relative to the virtual folder.
        name: the new name, without a slash.

    Raises:
        LocalProtocolError: a manager before 19.09, which cannot rename files; or the name is that
            of another folder.
        ApiError, ConnectionFailed: the request failed, e.g. since `path` does not exist.

    Endpoint: ``POST /folders/{name}/rename_file`` (manager 19.09; docs/protocol.md, section 7.3).
    """
    body = RenameFile(path, name).encode()
    # The older spelling is known to all releases.
    request = Request("POST", path_of(folder, "rename_file"), (), body, JSON)
    if folder.client.era.folder_files_in_parts:
        await trio.lowlevel.checkpoint()
        raise unsupported(folder, "rename files", "19.09", in_kernels=True)
    await call_since(folder, request, "rename files", "19.09", in_kernels=True)


async def remove(
    folder: VFolderReference, paths: Sequence[str], *, recursive: bool = False
) -> None:
    """Remove files from the virtual folder; on our gateway all of them or none.

    Args:
        paths: relative to the virtual folder.
        recursive: whether folders may be removed, with all their content.

    Raises:
        LocalProtocolError: `paths` is a single string; or a manager before 1.4, which cannot
            remove files.
        ApiError, ConnectionFailed: the request failed, e.g. since a path does not exist.

    Endpoint: ``DELETE /folders/{name}/delete-files`` (manager 1.4; docs/protocol.md,
    section 7.3).
    """
    await check_era(folder, "remove files", in_kernels=True)
    proxied = folder.client.era.folder_transfer == "proxy"
    endpoint = path_of(folder, "delete-files" if proxied else "delete_files")
    body = RemoveFiles(tuple(check_names(paths)), recursive).encode()
    await folder.client.call(Request("DELETE", endpoint, (), body, JSON))


async def upload(
    folder: VFolderReference,
    files: Iterable[str | os.PathLike[str] | Upload],
    *,
    to: str = "",
    base: Path | None = None,
    links: Links = "follow",
    progress: trio.MemorySendChannel[Progress] | None = None,
) -> None:
    """Upload files and folders, several files at a time.

    Each file appears under its name when all of it has arrived, and replaces a file of that
    name. When a connection breaks, its file goes on where it stopped (managers 20.09 and later,
    and our gateway). The first failure ends the other uploads.

    Args:
        files: paths, folders with all their content (see `plan_uploads` for names), and
            planned uploads.
        to: folder to upload to, relative to the virtual folder; it is created.
        base: folder that the names of paths are relative to; None for the current one.
        links: ``"follow"`` or ``"skip"`` symbolic links in folders; see `plan_uploads`.
        progress: where to send progress; it stays open.

    Raises:
        UploadError: a file cannot be read, and nothing was sent; or it did not arrive, and
            others may have. It names the path.
        LocalProtocolError: one of `files` is a stream.
        QuotaExceeded: the folder has no room.
        AuthError, NotFound: the folder may not be written to, or does not exist.

    Cancellation:
        Files that were complete have arrived, others have not.

    Endpoint: ``POST /folders/{name}/request-upload`` and the storage proxy's ``PATCH /upload``
    (manager 20.09; docs/protocol.md, section 7.4); a form to ``/folders/{name}/upload`` in the
    seed era (docs/protocol.md, section 7.1).
    """
    planned = await plan_items(files, base=base, links=links)
    uploads = [item for item in planned if isinstance(item, Upload)]
    if len(uploads) < len(planned):
        raise LocalProtocolError(
            "virtual folders take no streams; write the stream to a file, and upload that"
        )
    reporter = ProgressReporter(progress)
    await upload_files(folder.client, folder.name, uploads, to=to, reporter=reporter)


async def download(
    folder: VFolderReference,
    paths: Sequence[str],
    into: str | os.PathLike[str] = ".",
    *,
    overwrite: bool = False,
    preserve: bool = False,
    on_skip: Callable[[str], None] | None = None,
    progress: trio.MemorySendChannel[Progress] | None = None,
) -> list[Path]:
    """Download files and folders, several files at a time.

    Conflicts with local files are found before anything is written. Each file appears under
    its name when all of it has arrived. When a connection breaks, its file goes on where it
    stopped. No name that the server sends leads out of `into`.

    Args:
        paths: relative to the virtual folder; ``.`` for all its content.
        into: local folder, created if it is missing. Each path arrives under its last
            component.
        overwrite: whether existing files may be replaced. They keep their permissions.
        preserve: whether files keep their times of modification, as far as the server lists them.
        on_skip: called with the path of each symbolic link and device in a folder, which are left
            out then; without it, they are refused.
        progress: where to send progress; it stays open.

    Returns:
        The files that were written.

    Raises:
        DownloadError: a file does not exist, exists already on this side, or could not be
            received; it names the path.
        LocalProtocolError: a manager before 1.4, which cannot send files.
        AuthError, NotFound: the folder may not be read, or does not exist.
        QuotaExceeded: the key pair has sent too many requests.

    Cancellation:
        Files that were complete have arrived, others have not.

    Endpoint: ``POST /folders/{name}/request-download`` and the storage proxy's
    ``GET /download`` (manager 20.09; docs/protocol.md, section 7.4); managers from 1.4 on
    likewise (docs/protocol.md, section 7.2).
    """
    await check_era(folder, "send the files of a folder", in_kernels=True)
    return await download_files(
        folder.client,
        folder.name,
        partial(list_files, folder),
        check_names(paths),
        Path(into),
        overwrite=overwrite,
        preserve=preserve,
        on_skip=on_skip,
        reporter=ProgressReporter(progress),
    )
