"""Downloads from a virtual folder: each file by itself, and each resumed after a broken connection.

No file gets its name before all of it has arrived.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import trio

from .._groups import one_error
from ..errors import (
    ApiError,
    AuthError,
    BackendError,
    ConnectionFailed,
    DownloadError,
    NotFound,
    QuotaExceeded,
    RemoteProtocolError,
)
from ..files.chunks import CHUNK_SIZE
from ..files.pending import PendingFile
from ..files.progress import Progress, ProgressReporter
from ..transport.client import Client, Destination
from ..transport.responses import ResponseStream
from ..transport.retry import backoff, is_rate_limit, is_transient
from ..wire.content_coding import ContentDecoder
from ..wire.download_parts import PartsDecoder
from ..wire.files import PathsRequest
from ..wire.http import JSON, Request
from ..wire.storage_proxy import ContentRange
from ..wire.vfolder_files import FileRequest, Ticket
from .download_plan import Lister, RemoteFile, find_files, prepare_targets
from .pending_files import open_pending

__all__ = ["download_files"]

run_sync = trio.to_thread.run_sync

_WORKERS = 6
_RETRIES = 7
"""Attempts that may fail one after another without any progress."""
_ALSO_TRANSIENT = frozenset({404, 416, 500})


async def download_files(
    client: Client,
    folder: str,
    list_files: Lister,
    paths: Sequence[str],
    into: Path,
    *,
    overwrite: bool,
    preserve: bool,
    reporter: ProgressReporter,
    on_skip: Callable[[str], None] | None = None,
) -> list[Path]:
    """Download from a virtual folder; see `TrioVFolder.download`."""
    files, folders = await find_files(list_files, paths, on_skip)
    targets = await run_sync(prepare_targets, into, files, folders, overwrite)
    queue = iter(files)

    async def work() -> None:
        for file in queue:  # shared by all workers
            await _download(client, folder, file, targets[file], overwrite, preserve, reporter)

    with one_error():
        async with trio.open_nursery() as nursery:
            for _ in range(min(_WORKERS, len(files))):
                nursery.start_soon(work)
    return [targets[file] for file in files]


async def _download(
    client: Client,
    folder: str,
    file: RemoteFile,
    target: Path,
    overwrite: bool,
    preserve: bool,
    reporter: ProgressReporter,
) -> None:
    try:
        modified = file.modified if preserve else 0
        async with open_pending(target, overwrite=overwrite, modified=modified) as pending:
            await _Transfer(client, folder, file, pending, reporter).run()
    except (DownloadError, AuthError, NotFound, QuotaExceeded):
        raise
    except BackendError as exc:
        raise DownloadError(file.path, f"could not be downloaded: {exc}") from exc
    await reporter.report(Progress(file.name, pending.size, pending.size, complete=True))


class _Transfer:
    """Receives the content of a file, and goes on when the connection breaks on the way."""

    def __init__(
        self,
        client: Client,
        folder: str,
        file: RemoteFile,
        pending: PendingFile,
        reporter: ProgressReporter,
    ) -> None:
        self._client = client
        self._folder = folder
        self._file = file
        self._pending = pending
        self._reporter = reporter
        self._source: tuple[Destination, Request] | None = None
        self._version = ""
        """The server's name for this version of the content: an ETag or a date."""

    async def run(self) -> None:
        """Receive all of it."""
        pauses = backoff(0.1, retries=_RETRIES)
        while True:
            before = self._pending.size
            try:
                await self._receive()
                return
            except (ConnectionFailed, ApiError) as exc:
                also = _ALSO_TRANSIENT if self._source is not None else ()
                if is_rate_limit(exc) or not is_transient(exc, also=also):
                    raise
                if isinstance(exc, ApiError):
                    self._source = None  # its token may have expired
                if self._pending.size > before:
                    pauses = backoff(0.1, retries=_RETRIES)
                if (pause := next(pauses, None)) is None:
                    raise
            await trio.sleep(pause)

    async def _receive(self) -> None:
        """Receive the bytes that are missing."""
        if self._source is None:
            self._source = await self._request_download()
        to, request = self._source
        headers = {"Accept-Encoding": "identity"}
        if self._pending.size and self._version:
            headers |= {"Range": f"bytes={self._pending.size}-", "If-Range": self._version}
        async with self._client.request(request, to=to, headers=headers, decode=False) as reply:
            size = await self._begin(reply)
            content = _Content(reply, self._file, size, in_parts=bool(request.body))
            if not content.is_identity:
                self._version, size = "", None  # bytes of the file cannot be counted in the reply
            self._check_size(size, reply)
            while data := await reply.receive_some():
                received, length = [data], len(data)
                while length < CHUNK_SIZE and (data := await reply.receive_some()):
                    received.append(data)
                    length += len(data)
                for piece in content.feed(b"".join(received)):
                    await run_sync(self._pending.write, piece)
                    await self._reporter.report(Progress(self._file.name, self._pending.size, size))
            content.finish()
        if size is not None and self._pending.size != size:
            raise ConnectionFailed(
                f"{request} ended after {self._pending.size:,} of {size:,} bytes; try again"
            )

    async def _begin(self, reply: ResponseStream) -> int | None:
        """Check where the reply begins; returns the bytes of the whole file, if known."""
        tag = reply.headers.get("etag", "")
        self._version = reply.headers.get("last-modified", "") if tag[:2] in ("", "W/") else tag
        if reply.status == 206:
            part = ContentRange.decode(reply.headers.get("content-range", ""))
            if part.start != self._pending.size or part.end != part.size:
                raise RemoteProtocolError("the server sent another range than was requested")
            return part.size
        # All of it: this is the first attempt, or the file has changed since.
        await run_sync(self._pending.restart)
        length = reply.headers.get("content-length", "")
        return int(length) if length.isascii() and length.isdigit() else None

    def _check_size(self, size: int | None, reply: ResponseStream) -> None:
        """Refuse what is not the file that was listed. One that has grown since is fine.

        Raises:
            RemoteProtocolError: it is a web page, such as the login page of a network, or shorter.
        """
        if size is None or size == self._file.size:
            return
        if size < self._file.size or reply.content_type == "text/html":
            raise RemoteProtocolError(
                f"it was listed with {self._file.size:,} bytes, and {size:,} come, as "
                f"{reply.content_type}: it has changed meanwhile, or something on the way answers "
                "in the server's place; try again"
            )

    async def _request_download(self) -> tuple[Destination, Request]:
        """The request for the content, and where to send it."""
        era = self._client.era
        if era.folder_files_in_parts:
            path = era.folder_path(self._folder, "download")
            return "api", PathsRequest((self._file.path,)).request("GET", path, "files")
        tail = "request-download" if era.folder_transfer == "proxy" else "request_download"
        body = FileRequest(self._file.path).encode(era)
        path = era.folder_path(self._folder, tail)
        reply = await self._client.call(Request("POST", path, (), body, JSON))
        ticket = Ticket.decode(reply.body)
        query = (("token", ticket.token),)
        if not ticket.url:
            return "api", Request("GET", era.path("folders", "_", "download_with_token"), query)
        to, path = ticket.place
        return to, Request("GET", path, query)


class _Content:
    """The content of a file, out of the body of a reply.

    Args:
        reply: the reply, with its body as it came.
        file: what was requested.
        size: bytes of the whole body, if known.
        in_parts: whether the body is multipart, with the file as its only part.

    Attributes:
        is_identity: whether the body is the file as it stands.

    Raises:
        RemoteProtocolError: the body is in a form that is not known.
    """

    def __init__(
        self, reply: ResponseStream, file: RemoteFile, size: int | None, *, in_parts: bool
    ) -> None:
        self._file = file
        coding = reply.headers.get("content-encoding", "")
        if not in_parts and size == file.size:
            # The file itself, which is stored in this coding (docs/protocol.md, section 7.4).
            coding = ""
        self._decoder = ContentDecoder(coding, f"download of {file.path!r}")
        self._parts = PartsDecoder(reply.headers.get("content-type", "")) if in_parts else None
        self.is_identity = self._parts is None and self._decoder.is_identity

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take bytes of the body in, and yield pieces of the content.

        Raises:
            RemoteProtocolError: they are not what the reply's headers announce.
        """
        for piece in self._decoder.feed(data):
            if self._parts is None:
                yield piece
            else:
                yield from (content for _, content in self._parts.feed(piece))

    def finish(self) -> None:
        """Check that all of the file has come.

        Raises:
            RemoteProtocolError: it was cut short, or is not the only one.
        """
        self._decoder.finish()
        if self._parts is not None and self._parts.finish() != 1:
            raise RemoteProtocolError(
                f"the server sent other files with {self._file.path!r}, or nothing"
            )
