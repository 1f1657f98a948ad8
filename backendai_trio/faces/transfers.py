"""Uploads and downloads without progress reports, which only Trio's channels can carry.

But for that, they are the methods of the Trio library, with their docstrings.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from ..files.sources import Links, Upload
from ..kernels.kernel import TrioKernel
from ..vfolders.vfolder import TrioVFolder
from .binding import without_progress

__all__ = [
    "download",
    "download_archive",
    "download_as",
    "download_from_folder",
    "upload",
    "upload_to_folder",
]


async def upload(
    kernel: TrioKernel,
    files: Iterable[str | os.PathLike[str] | Upload],
    *,
    to: str = "",
    base: Path | None = None,
    links: Links = "follow",
    preserve: bool = False,
) -> None:
    """Upload files and folders to the work folder, and replace files of these names.

    Args:
        kernel: where to upload them to.
        files: paths, folders with all their content (see `plan_uploads` for names), and planned
            uploads.
        to: folder to upload to, relative to the work folder; it is created.
        base: folder that the names of paths are relative to; None for the current one.
        links: what becomes of symbolic links in folders; see `plan_uploads`.
        preserve: whether files and folders keep their times of modification, to the second. Then
            managers get the archive, however small the files are.

    Raises:
        UploadError: a file cannot be read, was refused, or could not be unpacked in the kernel; it
            names the path. No file has been changed then.
        AuthError: the server refuses the key.
        NotFound: there is no such kernel.
        QuotaExceeded: the server takes no more requests now.

    Cancellation:
        No file has been changed, or all of them have.

    Endpoint: ``POST /session/{name}/upload`` (docs/protocol.md, section 5.1); our own gateway's
    ``PUT /session/{name}/archive`` (docs/protocol.md, section 13).
    """
    await kernel.upload(files, to=to, base=base, links=links, preserve=preserve)


@without_progress(TrioKernel.download)
async def download(
    kernel: TrioKernel,
    paths: Sequence[str],
    into: str | os.PathLike[str] = ".",
    *,
    overwrite: bool = False,
    preserve: bool = False,
    exclude: Iterable[str] = (),
) -> list[Path]:
    return await kernel.download(
        paths, into, overwrite=overwrite, preserve=preserve, exclude=exclude
    )


@without_progress(TrioKernel.download_as)
async def download_as(
    kernel: TrioKernel,
    path: str,
    target: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    preserve: bool = False,
    exclude: Iterable[str] = (),
) -> None:
    await kernel.download_as(path, target, overwrite=overwrite, preserve=preserve, exclude=exclude)


@without_progress(TrioVFolder.upload)
async def upload_to_folder(
    folder: TrioVFolder,
    files: Iterable[str | os.PathLike[str] | Upload],
    *,
    to: str = "",
    base: Path | None = None,
    links: Links = "follow",
) -> None:
    await folder.upload(files, to=to, base=base, links=links)


@without_progress(TrioVFolder.download)
async def download_from_folder(
    folder: TrioVFolder,
    paths: Sequence[str],
    into: str | os.PathLike[str] = ".",
    *,
    overwrite: bool = False,
    preserve: bool = False,
    on_skip: Callable[[str], None] | None = None,
) -> list[Path]:
    return await folder.download(
        paths, into, overwrite=overwrite, preserve=preserve, on_skip=on_skip
    )


@without_progress(TrioVFolder.download_archive)
async def download_archive(
    folder: TrioVFolder,
    paths: Sequence[str],
    target: str | os.PathLike[str],
    *,
    overwrite: bool = False,
) -> None:
    await folder.download_archive(paths, target, overwrite=overwrite)
