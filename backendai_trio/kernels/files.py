"""What can be done with the files of a kernel."""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import trio

from ..files.progress import Meter, Progress
from ..files.sources import Upload, UploadStream, plan_items
from ..transport.client import Client
from ..wire.files import FileDigest, Listing
from ..wire.multipart import check_names
from .download import DownloadStream, download, download_as, open_download
from .remote_files import list_digests, list_files, make_folder, remove_files
from .upload import send_uploads

__all__ = ["KernelFiles"]


class KernelFiles:
    """The work folder of a kernel; the part of `TrioKernel` that is about files."""

    client: Client

    @property
    def address(self) -> str:
        """What stands for the kernel in paths."""
        raise NotImplementedError

    async def upload(
        self,
        items: Iterable[str | os.PathLike[str] | Upload | UploadStream],
        *,
        to: str = "",
        base: Path | None = None,
        progress: trio.MemorySendChannel[Progress] | None = None,
    ) -> None:
        """Put files, folders and streams into the work folder; what is there is replaced.

        Args:
            items: paths, folders with all that is in them (see `plan_uploads` for names and
                links), planned uploads, and streams, whose size nobody needs to know.
            to: a folder to put them in, relative to the work folder; it is made.
            base: folder that the names of paths are relative to; default: the current one.
            progress: where to tell how far it is. A slow listener slows the upload.

        Raises:
            UploadError: a file cannot be read, was refused, or could not be put together in the
                kernel; it names the path. Nothing has been changed then.

        Cancellation:
            Nothing is left of it, or all of it is there. Removing the parts that a manager has
            got takes `Config.grace_seconds` at most.

        Our own gateway takes any size in one request, checked end to end with SHA-256. Managers
        take 20 files of under 1 MiB at a time. More than that goes in parts that a batch run in
        the kernel joins and checks; it waits for code that runs there.

        Endpoint: ``POST /session/{name}/upload`` (contract section 5.1).
        """
        planned = await plan_items(items, base=base)
        await send_uploads(self.client, self.address, planned, to=to, meter=Meter(progress))

    async def upload_stream(
        self, name: str, content: AsyncIterable[bytes], *, size: int | None = None
    ) -> None:
        """Write a file of the work folder with bytes as they come; see `upload`.

        Args:
            name: relative to the work folder, with forward slashes.
            content: the bytes, in pieces of any length.
            size: how many, if that is known.
        """
        await self.upload([UploadStream(content, name, size)])

    async def download(
        self,
        paths: Sequence[str],
        into: str | os.PathLike[str] = ".",
        *,
        overwrite: bool = False,
        progress: trio.MemorySendChannel[Progress] | None = None,
    ) -> list[Path]:
        """Get files and folders of the kernel.

        They appear when all of them have come and been checked. Symbolic links stay links if they
        lead to a place inside what was downloaded; others fail the download.

        Args:
            paths: relative to the work folder; each arrives under its last component.
            into: a local folder; it is made.
            overwrite: whether files that are there may be replaced.
            progress: where to tell how far it is.

        Returns:
            The local paths.

        Raises:
            DownloadError: something is there already, cannot be written, or is too large for the
                server (managers: 1 MiB of a path).
            InvalidRequest: there is no such file.
            RemoteProtocolError: what came was altered, cut short, or would leave the folder.

        Cancellation:
            Nothing is left of it.

        Endpoint: ``POST /session/{name}/download`` (contract section 5.3).
        """
        return await download(
            self.client,
            self.address,
            check_names(paths),
            Path(into),
            overwrite=overwrite,
            meter=Meter(progress),
        )

    async def download_as(
        self,
        path: str,
        target: str | os.PathLike[str],
        *,
        overwrite: bool = False,
        progress: trio.MemorySendChannel[Progress] | None = None,
    ) -> None:
        """Get one file or folder under another name; otherwise as `download`."""
        await download_as(
            self.client,
            self.address,
            path,
            Path(target),
            overwrite=overwrite,
            meter=Meter(progress),
        )

    def open_download(self, path: str) -> AbstractAsyncContextManager[DownloadStream]:
        """A file of the kernel as a stream: ``async with ... as stream: async for data in stream``.

        Raises:
            InvalidRequest: there is no such file.
            DownloadError: it is no regular file, or too large for the server.
        """
        return open_download(self.client, self.address, path)

    async def list_files(self, path: str = ".") -> Listing:
        """What is in a folder of the kernel.

        Returns:
            The list; `Listing.problem` tells why there is none, e.g. no such folder.

        Endpoint: ``GET /session/{name}/files`` (contract section 5.2).
        """
        return await list_files(self.client, self.address, path)

    async def list_digests(self, path: str = ".") -> list[FileDigest]:
        """Name, size and SHA-256 of all regular files below a folder; empty if it is not there."""
        return await list_digests(self.client, self.address, path)

    async def mkdir(self, path: str) -> None:
        """Make a folder and those above it; one that is there is fine."""
        await make_folder(self.client, self.address, path)

    async def remove(self, paths: Sequence[str], *, recursive: bool = False) -> None:
        """Remove files, and with `recursive` folders."""
        await remove_files(self.client, self.address, check_names(paths), recursive=recursive)
