"""Files on their way out of a virtual folder, each by itself and each able to go on.

Folders are walked by their lists. What a server calls its files is not trusted: no name leads out
of the local folder, and nothing gets its name before all of it has come.
"""

from __future__ import annotations

import posixpath
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import trio

from .._groups import one_error
from ..config.settings import Endpoint
from ..errors import (
    ApiError,
    AuthError,
    BackendError,
    ConnectionFailed,
    DownloadError,
    LocalProtocolError,
    NotFound,
    RemoteProtocolError,
)
from ..files.paths import PendingFile, safe_join
from ..files.progress import Meter, Progress
from ..transport.client import Client
from ..transport.responses import ResponseStream
from ..wire.files import FileInfo
from ..wire.http import JSON, Request
from ..wire.multipart import check_name
from ..wire.storage_proxy import ContentRange
from ..wire.vfolders import FileRequest, Ticket

__all__ = ["download_files"]

run_sync = trio.to_thread.run_sync
Lister = Callable[[str], Awaitable[list[FileInfo]]]

_AT_ONCE = 6
_PIECE_BYTES = 512 * 1024
_PAUSES_SECONDS = (0.1, 0.5, 2.0, 5.0)
_TRY_AGAIN = frozenset({404, 408, 416, 425, 429, 500, 502, 503, 504})
MAX_ENTRIES = 65_536
"""Most files and folders of one download; more is taken for an attack on the file system."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A file to download."""

    path: str
    """In the virtual folder."""
    name: str
    """Below the local folder."""
    size: int


async def download_files(
    client: Client,
    folder: str,
    list_files: Lister,
    paths: Sequence[str],
    into: Path,
    *,
    overwrite: bool,
    meter: Meter,
) -> list[Path]:
    """Download from a folder; see `TrioVFolder.download`."""
    files, folders = await _look(list_files, paths)
    targets = await run_sync(_prepare, into, files, folders, overwrite)
    todo = iter(files)

    async def work() -> None:
        for wanted in todo:  # shared by all workers
            await _download(client, folder, wanted, targets[wanted], overwrite, meter)

    with one_error():
        async with trio.open_nursery() as nursery:
            for _ in range(_AT_ONCE):
                nursery.start_soon(work)
    return [targets[wanted] for wanted in files]


async def _look(list_files: Lister, paths: Sequence[str]) -> tuple[list[_Wanted], list[str]]:
    """The files to get and the folders to make, found in the server's lists."""
    files: dict[str, _Wanted] = {}
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
        todo += _sort(found, parent, "", files, folders)
    while todo:
        where, prefix = todo.pop()
        for found in await list_files(where):
            todo += _sort(found, "" if where == "." else where, prefix, files, folders)
            if len(files) + len(folders) > MAX_ENTRIES:
                raise DownloadError(where, f"holds more than {MAX_ENTRIES:,} files; get them apart")
    return list(files.values()), folders


def _sort(
    found: FileInfo, parent: str, prefix: str, files: dict[str, _Wanted], folders: list[str]
) -> list[tuple[str, str]]:
    """Note a file, or a folder, which is then to be looked at."""
    path = f"{parent}/{found.name}" if parent else found.name
    if "/" in found.name or found.name in ("", ".", ".."):
        raise DownloadError(path, f"the server lists a file named {found.name!r}; refused")
    name = prefix + found.name
    if name in files or name in folders:
        raise DownloadError(path, "two of the paths have the same last component")
    if found.is_folder:
        folders.append(name)
        return [(path, f"{name}/")]
    if not found.mode.startswith("-"):
        raise DownloadError(
            path, "is no regular file but a link or a device; download what it leads to by name"
        )
    files[name] = _Wanted(path, name, found.size)
    return []


def _prepare(
    into: Path, files: Sequence[_Wanted], folders: Sequence[str], overwrite: bool
) -> dict[_Wanted, Path]:
    """Where each file goes; what is in the way is found before anything is written."""
    try:
        into.mkdir(parents=True, exist_ok=True)
        made = [_join(into, name) for name in folders]
        targets = {wanted: _join(into, wanted.name) for wanted in files}
        for target in targets.values():
            if target.is_dir() and not target.is_symlink():
                raise DownloadError(str(target), "a folder is in the way")
            if not overwrite and (target.exists() or target.is_symlink()):
                raise DownloadError(
                    str(target),
                    "exists; nothing was changed. Say that it may be overwritten",
                )
        for folder in made:
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise DownloadError(
            str(exc.filename or into), f"cannot be written: {exc.strerror}"
        ) from exc
    return targets


def _join(into: Path, name: str) -> Path:
    try:
        return safe_join(into, name)
    except LocalProtocolError as exc:
        raise DownloadError(name, str(exc)) from None


# -- one file -------------------------------------------------------------------------------------


async def _download(
    client: Client, folder: str, wanted: _Wanted, target: Path, overwrite: bool, meter: Meter
) -> None:
    try:
        with ExitStack() as stack:
            file = await run_sync(lambda: PendingFile(target, overwrite=overwrite))
            stack.callback(file.discard)
            await _Fetch(client, folder, wanted, file, meter).run()
            await run_sync(file.complete)
    except (DownloadError, AuthError, NotFound):
        raise
    except BackendError as exc:
        raise DownloadError(wanted.path, f"could not be downloaded: {exc}") from exc
    except OSError as exc:
        raise DownloadError(str(target), f"cannot be written: {exc.strerror}") from exc
    await meter.tell(Progress(wanted.name, file.size, file.size, complete=True))


class _Fetch:
    """Gets the content of a file, however often the connection breaks on the way."""

    def __init__(
        self, client: Client, folder: str, wanted: _Wanted, file: PendingFile, meter: Meter
    ) -> None:
        self._client = client
        self._folder = folder
        self._wanted = wanted
        self._file = file
        self._meter = meter
        self._source: tuple[Endpoint | None, Request] | None = None
        self._version = ""
        """What the server says of the content it sends: an ETag or a date."""

    async def run(self) -> None:
        failures = 0
        while True:
            before = self._file.size
            try:
                await self._receive()
                return
            except (ConnectionFailed, ApiError) as exc:
                if isinstance(exc, ApiError):
                    if exc.status not in _TRY_AGAIN or self._source is None:
                        raise
                    self._source = None  # its token may have expired
                failures = 0 if self._file.size > before else failures
                if failures == len(_PAUSES_SECONDS):
                    raise
            await trio.sleep(_PAUSES_SECONDS[failures])
            failures += 1

    async def _receive(self) -> None:
        """Get what is missing."""
        if self._source is None:
            self._source = await self._ask()
        at, request = self._source
        headers = {"Accept-Encoding": "identity"}
        if self._file.size and self._version:
            headers |= {"Range": f"bytes={self._file.size}-", "If-Range": self._version}
        async with self._client.transfer(request, at=at, headers=headers) as reply:
            size = await self._begin(reply)
            while data := await reply.receive_some():
                pieces, length = [data], len(data)
                while length < _PIECE_BYTES and (data := await reply.receive_some()):
                    pieces.append(data)
                    length += len(data)
                await run_sync(self._file.write, b"".join(pieces))
                await self._meter.tell(Progress(self._wanted.name, self._file.size, size))
        if size is not None and self._file.size != size:
            raise ConnectionFailed(
                f"{request} ended after {self._file.size:,} of {size:,} bytes; try again"
            )

    async def _begin(self, reply: ResponseStream) -> int | None:
        """Look at where the answer begins; the size of the whole file."""
        tag = reply.headers.get("etag", "")
        self._version = reply.headers.get("last-modified", "") if tag[:2] in ("", "W/") else tag
        if reply.status == 206:
            part = ContentRange.decode(reply.headers.get("content-range", ""))
            if part.start != self._file.size or part.end != part.size:
                raise RemoteProtocolError("the server sent another part than was asked for")
            return part.size
        # All of it: for the first time, or since it has changed.
        await run_sync(self._file.restart)
        length = reply.headers.get("content-length", "")
        return int(length) if length.isascii() and length.isdigit() else None

    async def _ask(self) -> tuple[Endpoint | None, Request]:
        era = self._client.era
        proxied = era.folder_transfer == "proxy"
        tail = "request-download" if proxied else "request_download"
        body = FileRequest(self._wanted.path).encode(era)
        path = era.folder_path(self._folder, tail)
        reply = await self._client.call(Request("POST", path, (), body, JSON))
        ticket = Ticket.decode(reply.body)
        query = (("token", ticket.token),)
        if not ticket.url:
            return None, Request("GET", era.path("folders", "_", "download_with_token"), query)
        at, path = ticket.place
        return at, Request("GET", path, query)
