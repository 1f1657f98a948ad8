"""The files of a kernel: methods of `TrioKernel`."""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import trio

from ..files.progress import Progress, ProgressReporter
from ..files.sources import Links, Upload, UploadStream
from ..files.upload_plan import plan_items
from ..wire.files import FileDigest, Listing
from ..wire.multipart import check_names
from . import remote_files
from .addressed import AddressedKernel
from .download import DownloadStream, download_file_as, download_files, open_file
from .upload import upload_items

__all__ = [
    "download",
    "download_as",
    "list_digests",
    "list_files",
    "mkdir",
    "open_download",
    "remove",
    "upload",
    "upload_stream",
]


async def upload(
    kernel: AddressedKernel,
    items: Iterable[str | os.PathLike[str] | Upload | UploadStream],
    *,
    to: str = "",
    base: Path | None = None,
    links: Links = "follow",
    preserve: bool = False,
    progress: trio.MemorySendChannel[Progress] | None = None,
) -> None:
    """Upload files, folders and streams to the work folder, and replace files of these names.

    Our own gateway takes any size in one request, checked end to end with SHA-256. Managers
    take 20 files of less than 1 MiB at a time. Larger uploads are sent to them as an archive in
    parts, which a shell command in the kernel checks and unpacks: that waits for code that runs
    there, and streams are first written to temporary files of this machine.

    Args:
        items: paths, folders with all their content (see `plan_uploads` for names), planned
            uploads, and streams, whose size may be unknown.
        to: folder to upload to, relative to the work folder; it is created.
        base: folder that the names of paths are relative to; None for the current one.
        links: what becomes of symbolic links in folders; see `plan_uploads`.
        preserve: whether files and folders keep their times of modification, to the second. Then
            managers get the archive, however small the files are.
        progress: where to send progress; it stays open. A slow receiver slows the upload.

    Raises:
        UploadError: a file cannot be read, was refused, or could not be unpacked in the kernel;
            it names the path. No file has been changed then.
        AuthError: the server refuses the key.
        NotFound: there is no such kernel.
        QuotaExceeded: the server takes no more requests now.

    Cancellation:
        No file has been changed, or all of them have. Removing the parts that a manager has
        received takes `Config.grace_seconds` at most.

    Endpoint: ``POST /session/{name}/upload`` (docs/protocol.md, section 5.1); our own gateway's
    ``PUT /session/{name}/archive`` (docs/protocol.md, section 13).
    """
    planned = await plan_items(items, base=base, links=links)
    reporter = ProgressReporter(progress)
    await upload_items(
        kernel.client, kernel.address, planned, to=to, preserve=preserve, reporter=reporter
    )


async def upload_stream(
    kernel: AddressedKernel, name: str, content: AsyncIterable[bytes], *, size: int | None = None
) -> None:
    """Write a file of the work folder with bytes as they are produced.

    Args:
        name: relative to the work folder, with forward slashes.
        content: the bytes, in chunks of any length.
        size: bytes in all, if known.

    Raises:
        UploadError: `content` has another size than `size`, or as for `upload`.
        AuthError, NotFound, QuotaExceeded: as for `upload`.

    Cancellation:
        As for `upload`.

    Endpoint: as for `upload`.
    """
    await upload(kernel, [UploadStream(content, name, size)])


async def download(
    kernel: AddressedKernel,
    paths: Sequence[str],
    into: str | os.PathLike[str] = ".",
    *,
    overwrite: bool = False,
    preserve: bool = False,
    exclude: Iterable[str] = (),
    progress: trio.MemorySendChannel[Progress] | None = None,
) -> list[Path]:
    """Download files and folders.

    They appear when all of them have arrived and been checked. Symbolic links stay links if
    they lead to a place inside what was downloaded; others fail the download.

    Args:
        paths: relative to the work folder; each arrives under its last component.
        into: a local folder; it is created.
        overwrite: whether existing files may be replaced. They keep their permissions.
        preserve: whether files and folders keep their times of modification, to the second.
        exclude: patterns of what is left out of folders, in the form of a ``.gitignore`` file.
        progress: where to send progress; it stays open.

    Returns:
        The local paths.

    Raises:
        DownloadError: a file exists already or cannot be written, or a path is too large for
            the server (managers: 1 MiB for each path).
        InvalidRequest: a path does not exist.
        RemoteProtocolError: what arrived was altered, cut short, or would leave the folder.
        AuthError, NotFound: the key is refused, or there is no such kernel.
        ConnectionFailed: the connection broke.
        ValueError: a pattern of `exclude` is malformed.

    Cancellation:
        Nothing of it is left.

    Endpoint: ``POST /session/{name}/download`` (docs/protocol.md, section 5.3); our own
    gateway's ``POST /session/{name}/archive`` (docs/protocol.md, section 13).
    """
    return await download_files(
        kernel.client,
        kernel.address,
        check_names(paths),
        Path(into),
        overwrite=overwrite,
        preserve=preserve,
        exclude=exclude,
        reporter=ProgressReporter(progress),
    )


async def download_as(
    kernel: AddressedKernel,
    path: str,
    target: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    preserve: bool = False,
    exclude: Iterable[str] = (),
    progress: trio.MemorySendChannel[Progress] | None = None,
) -> None:
    """Download one file or folder under a name of one's own.

    Args:
        path: relative to the work folder.
        target: the local name. With `overwrite`, a symbolic link is followed; a device, a pipe
            or a socket is never replaced.
        overwrite: whether an existing file may be replaced. It keeps its permissions.
        preserve: whether files and folders keep their times of modification, to the second.
        exclude: patterns of what is left out of folders, in the form of a ``.gitignore`` file.
        progress: where to send progress; it stays open.

    Raises:
        DownloadError: as for `download`.
        InvalidRequest, RemoteProtocolError, AuthError, NotFound, ConnectionFailed: as for
            `download`.
        ValueError: as for `download`.

    Cancellation:
        Nothing of it is left.

    Endpoint: as for `download`.
    """
    await download_file_as(
        kernel.client,
        kernel.address,
        path,
        Path(target),
        overwrite=overwrite,
        preserve=preserve,
        exclude=exclude,
        reporter=ProgressReporter(progress),
    )


def open_download(
    kernel: AddressedKernel, path: str
) -> AbstractAsyncContextManager[DownloadStream]:
    """Open a file of the kernel as a stream of bytes.

    Usage: ``async with kernel.open_download("log") as stream: async for data in stream: ...``

    Args:
        path: relative to the work folder.

    Raises:
        InvalidRequest: there is no such file.
        DownloadError: it is not a regular file, or too large for the server.
        AuthError, NotFound, ConnectionFailed: as for `download`.

    Endpoint: as for `download`.
    """
    return open_file(kernel.client, kernel.address, path)


async def list_files(kernel: AddressedKernel, path: str = ".") -> Listing:
    """List a folder.

    Args:
        path: relative to the work folder.

    Returns:
        The files; `Listing.problem` says why there are none, e.g. no such folder.

    Raises:
        LocalProtocolError: a manager before 1.4, which cannot list files.
        ApiError, ConnectionFailed: the request failed.

    Endpoint: ``GET /session/{name}/files`` (docs/protocol.md, section 5.2).
    """
    return await remote_files.list_files(kernel.client, kernel.address, path)


async def list_digests(kernel: AddressedKernel, path: str = ".") -> list[FileDigest]:
    """List all regular files below a folder, with sizes and SHA-256 digests.

    On managers this is a shell command in the kernel: it waits for code that runs there.

    Args:
        path: relative to the work folder.

    Returns:
        The files; none if there is no such folder.

    Raises:
        ExecutionError: the command failed, e.g. since the kernel has no shell.
        RemoteProtocolError: its output is malformed.
        ApiError, ConnectionFailed: the request failed.

    Endpoint: our own gateway's ``POST /session/{name}/files/digests`` (docs/protocol.md,
    section 13); managers: a run (docs/protocol.md, section 4.1).
    """
    return await remote_files.list_digests(kernel.client, kernel.address, path)


async def mkdir(kernel: AddressedKernel, path: str) -> None:
    """Make a folder and those above it; an existing one is fine.

    On managers this is a shell command in the kernel: it waits for code that runs there.

    Args:
        path: relative to the work folder.

    Raises:
        ExecutionError: the command failed, e.g. since a file is in the way.
        ApiError, ConnectionFailed: the request failed.

    Endpoint: our own gateway's ``POST /session/{name}/files/mkdir`` (docs/protocol.md,
    section 13); managers: a run (docs/protocol.md, section 4.1).
    """
    await remote_files.make_folder(kernel.client, kernel.address, path)


async def remove(kernel: AddressedKernel, paths: Sequence[str], *, recursive: bool = False) -> None:
    """Remove files, and with `recursive` folders with all their content.

    On managers this is a shell command in the kernel: it waits for code that runs there.

    Args:
        paths: relative to the work folder.
        recursive: whether folders may be removed.

    Raises:
        ExecutionError: a path does not exist or cannot be removed (managers).
        InvalidRequest: likewise (our own gateway).
        LocalProtocolError: `paths` is a single string.
        ApiError, ConnectionFailed: the request failed.

    Endpoint: our own gateway's ``POST /session/{name}/files/remove`` (docs/protocol.md,
    section 13); managers: a run (docs/protocol.md, section 4.1).
    """
    await remote_files.remove_files(
        kernel.client, kernel.address, check_names(paths), recursive=recursive
    )
