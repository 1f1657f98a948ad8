"""Downloads of files of a virtual folder as one ZIP archive, which the server makes.

A method of `TrioVFolder`.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Sequence
from pathlib import Path

import trio

from ..errors import BackendError, DownloadError, LocalProtocolError
from ..files.paths import link_target
from ..files.pending import PendingFile
from ..files.progress import Progress, ProgressReporter
from ..wire.http import JSON, Request
from ..wire.multipart import check_names
from ..wire.vfolder_files import ArchiveRequest, Ticket
from .pending_files import open_pending
from .reference import VFolderReference, call_since, path_of

__all__ = ["check_archive", "download_archive"]

run_sync = trio.to_thread.run_sync


async def download_archive(
    folder: VFolderReference,
    paths: Sequence[str],
    target: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    progress: trio.MemorySendChannel[Progress] | None = None,
) -> None:
    """Download files and folders as one ZIP archive.

    That is faster than `download` for many small files. It does not go on where it stopped when the
    connection breaks, and says nothing of files that the server has left out, such as links.

    Args:
        paths: relative to the virtual folder; ``.`` for all its content.
        target: the archive's local name. It appears when all of it has arrived and is readable.
        overwrite: whether an existing file may be replaced; a symbolic link is then followed.
        progress: where to send progress; it stays open.

    Raises:
        LocalProtocolError: a manager before 26.3, which makes no such archives; or `paths` is
            empty, or a single string.
        DownloadError: a path does not exist, the file exists already, could not be received or
            written, or is no archive.
        AuthError, NotFound: the folder may not be read, or does not exist.

    Cancellation:
        Nothing of it is left.

    Endpoint: ``POST /folders/{name}/request-download-archive`` and the storage proxy's ``GET``
    (manager 26.3; docs/protocol.md, sections 7.3 and 7.4).
    """
    names = tuple(check_names(paths))
    client = folder.client
    if not client.hello.archives_folders or not names:
        await trio.lowlevel.checkpoint()
        raise LocalProtocolError(
            "name what is to be in the archive"
            if client.hello.archives_folders
            else "this server makes no archives of a folder's files (managers do from 26.3 on); "
            "download the files"
        )
    local = Path(target)
    if overwrite:
        try:
            local = await run_sync(link_target, local)
        except OSError as exc:
            raise DownloadError(str(local), f"cannot be written: {exc.strerror}") from exc
    async with open_pending(local, overwrite=overwrite) as pending:
        await _receive(folder, ArchiveRequest(names, Path(target).name), pending, progress)
        await run_sync(check_archive, pending.path, str(local))


async def _receive(
    folder: VFolderReference,
    request: ArchiveRequest,
    pending: PendingFile,
    progress: trio.MemorySendChannel[Progress] | None,
) -> None:
    client, reporter, name = folder.client, ProgressReporter(progress), pending.target.name
    body = request.encode(client.hello.release)
    asked = Request("POST", path_of(folder, "request-download-archive"), (), body, JSON)
    ticket = Ticket.decode((await call_since(folder, asked, "archive files", "26.3")).body)
    to, path = ticket.place
    download = Request("GET", path, (("token", ticket.token),))
    headers = {"Accept-Encoding": "identity"}
    try:
        # The storage proxy may have many files to find before the archive begins.
        async with client.request(download, to=to, headers=headers, head_seconds=None) as reply:
            while data := await reply.receive_some():
                await run_sync(pending.write, data)
                await reporter.report(Progress(name, pending.size, None))
    except BackendError as exc:
        raise DownloadError(", ".join(request.files), f"could not be downloaded: {exc}") from exc
    await reporter.report(Progress(name, pending.size, pending.size, complete=True))


def check_archive(path: Path, name: str) -> None:
    """Refuse what is no archive, or not all of one: its directory stands at the end. Blocks.

    Args:
        path: the file.
        name: what to call it in the error.

    Raises:
        DownloadError: it is none.
    """
    try:
        complete = zipfile.is_zipfile(path)
    except zipfile.BadZipFile:  # it has the end of one on several disks
        complete = False
    if not complete:
        raise DownloadError(name, "what the server has sent is no complete ZIP archive; try again")
