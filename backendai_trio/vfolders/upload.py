"""Uploads to a virtual folder.

Storage proxies (20.09 and later) and managers of late 19.09 and 20.03 take a file in several
requests (tus), and say how far it is when a connection broke. Older managers take a form.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import trio

from .._groups import one_error
from ..errors import (
    ApiError,
    BackendError,
    InvalidRequest,
    LocalProtocolError,
    NotFound,
    RemoteProtocolError,
    UploadError,
)
from ..files.chunks import chunk_ranges
from ..files.progress import Progress, ProgressReporter
from ..files.sources import Upload
from ..files.upload_errors import upload_errors
from ..transport.client import Client, Destination
from ..transport.retry import backoff, is_rate_limit, is_transient
from ..wire.http import JSON, UNKNOWN_ROUTE, Request
from ..wire.multipart import check_name, encode_part_head, multipart_type, part_end
from ..wire.storage_proxy import CHECKSUM_MISMATCH, TUS_CHECKSUM, PatchHead, TusState
from ..wire.vfolder_files import FileRequest, MakeDirectory, Ticket

__all__ = ["make_folder", "upload_files"]

_WORKERS = 6
_WORKERS_ON_MANAGERS = 2
"""A storage proxy keeps a thread for each file that arrives, and needs another one for each piece
of it, of as many as it has CPUs and four: six files at once stop one with two CPUs for good
(docs/protocol.md, section 7.4)."""
_PATCH_SIZE = 16 * 1024 * 1024
"""Bytes of one request. Official clients send as much, so proxies on the way let it pass."""
_RETRIES = 7
"""Attempts that may fail one after another without any progress."""
_ALSO_TRANSIENT = frozenset({409, 500, CHECKSUM_MISMATCH})
_RACE_RETRIES = 6
"""Attempts to begin an upload while others begin and end: about 3 s."""


async def upload_files(
    client: Client,
    folder: str,
    uploads: Sequence[Upload],
    *,
    to: str,
    reporter: ProgressReporter,
    patch_size: int = _PATCH_SIZE,
) -> None:
    """Upload to a virtual folder; see `TrioVFolder.upload`.

    Args:
        client: of the folder's server.
        folder: its name.
        uploads: the files, with names relative to `to`.
        to: a folder, relative to the virtual folder.
        reporter: where progress goes.
        patch_size: bytes of a file that are sent in one request.
    """
    to = "" if to.strip("/") == "." else to.strip("/")
    names = {upload: _remote_name(to, upload) for upload in uploads}
    sender = _Sender(client, folder, reporter, patch_size)
    await _make_folders(client, folder, uploads, names)
    files = [upload for upload in uploads if not upload.is_folder]
    queue = iter(files)

    async def work() -> None:
        for file in queue:  # shared by all workers
            with upload_errors([file.error_path]):
                if client.era.folder_transfer == "form":
                    await sender.send_form(names[file], file)
                else:
                    await sender.send_resumable(names[file], file)
            await reporter.report(Progress(file.name, file.size, file.size, complete=True))

    workers = _WORKERS if client.hello.features else _WORKERS_ON_MANAGERS
    with one_error():
        async with trio.open_nursery() as nursery:
            for _ in range(min(workers, len(files))):
                nursery.start_soon(work)


def _remote_name(to: str, upload: Upload) -> str:
    if upload.link:
        raise UploadError(
            upload.error_path,
            "is a symbolic link, and virtual folders take none; upload what it leads to "
            "(links='follow'), or leave it out (links='skip')",
        )
    try:
        return check_name(f"{to}/{upload.name}" if to else upload.name)
    except LocalProtocolError as exc:
        raise UploadError(upload.error_path, str(exc)) from None


async def make_folder(
    client: Client, folder: str, path: str, *, parents: bool, exist_ok: bool
) -> None:
    """Make a folder in a virtual folder; see `TrioVFolder.mkdir`."""
    body = MakeDirectory(path, parents, exist_ok).encode(client.era)
    try:
        await client.call(Request("POST", client.era.folder_path(folder, "mkdir"), (), body, JSON))
    except InvalidRequest as exc:
        # Managers of 20.03 refuse an existing one, and have no option against that.
        old = client.era.folder_transfer == "manager"
        if not (old and exist_ok and "exists" in f"{exc.title} {exc.detail}"):
            raise


async def _make_folders(
    client: Client, folder: str, uploads: Sequence[Upload], names: dict[Upload, str]
) -> None:
    """Make the folders that no file brings into being."""
    parents = {name.rpartition("/")[0] for name in names.values()}
    for upload in uploads:
        if not upload.is_folder or names[upload] in parents:
            continue
        if client.era.folder_transfer == "form":
            raise UploadError(
                upload.error_path,
                "is an empty folder, and this server cannot make one; leave it out",
            )
        with upload_errors([upload.error_path]):
            await make_folder(client, folder, names[upload], parents=True, exist_ok=True)
    if client.era.folder_transfer == "manager":
        # Storage proxies make the folder of a file. Managers that take tus themselves fail where
        # it is missing, after the whole file has arrived (measured: 20.03.19).
        for parent in sorted(parents - {""}):
            if not any(other.startswith(f"{parent}/") for other in parents):
                await make_folder(client, folder, parent, parents=True, exist_ok=True)


class _Sender:
    """Sends files to a virtual folder."""

    def __init__(
        self, client: Client, folder: str, reporter: ProgressReporter, patch_size: int
    ) -> None:
        self._client = client
        self._folder = folder
        self._reporter = reporter
        self._patch_size = patch_size

    async def send_resumable(self, name: str, upload: Upload) -> None:
        """Send a file in requests of `patch_size` (docs/protocol.md, section 7.4)."""
        try:
            tus = await self._begin(name, upload.size)
        except NotFound as exc:
            # Managers from 1.4 to about 19.09.10 take only forms, and their
            # version is that of later ones.
            if self._client.era.folder_transfer != "manager" or exc.kind not in UNKNOWN_ROUTE:
                raise
            await self.send_form(name, upload)
            return
        offset = 0
        offset_known = True
        complete = False
        pauses = backoff(0.1, retries=_RETRIES)
        while not complete:
            try:
                before = offset
                offset = await (
                    tus.send(upload, offset, self._patch_size) if offset_known else tus.offset()
                )
                # Only the reply to a PATCH says that the file is in its place. When HEAD says that
                # all bytes have arrived, an empty PATCH asks for that.
                complete = offset == upload.size and offset_known
                offset_known = True
                if offset > before:
                    pauses = backoff(0.1, retries=_RETRIES)
                await self._reporter.report(Progress(upload.name, offset, upload.size))
            except BackendError as exc:
                forgotten = isinstance(exc, NotFound)
                transient = forgotten or is_transient(exc, also=_ALSO_TRANSIENT)
                if is_rate_limit(exc) or not transient:  # the former was waited out
                    raise
                if (pause := next(pauses, None)) is None:
                    raise
                await trio.sleep(pause)
                offset_known = False
                if forgotten:  # the upload, with all bytes that had arrived
                    tus, offset, offset_known = await self._begin(name, upload.size), 0, True

    async def _begin(self, name: str, size: int) -> _Tus:
        """Ask for a token. Nothing has been sent yet, so this may be repeated."""
        proxied = self._client.era.folder_transfer == "proxy"
        tail = "request-upload" if proxied else "create_upload_session"
        body = FileRequest(name, size).encode(self._client.era)
        request = Request("POST", self._client.era.folder_path(self._folder, tail), (), body, JSON)
        pauses = backoff(0.1, retries=_RETRIES)
        races = backoff(0.05, retries=_RACE_RETRIES)
        while True:
            try:
                reply = await self._client.call(request)
                return _Tus(self._client, Ticket.decode(reply.body))
            except BackendError as exc:
                if is_rate_limit(exc) or not (_raced(exc) or is_transient(exc)):
                    raise
                if (pause := next(races if _raced(exc) else pauses, None)) is None:
                    raise
            await trio.sleep(pause)

    async def send_form(self, name: str, upload: Upload) -> None:
        """Send a file of any size in one request (docs/protocol.md, sections 7.1 and 7.2)."""
        boundary = f"backendai-{secrets.token_hex(16)}"
        head, tail = encode_part_head(name, boundary), part_end(boundary, last=True)

        async def form() -> AsyncGenerator[bytes, None]:
            yield head
            for offset, size in chunk_ranges(0, upload.size):
                yield await trio.to_thread.run_sync(upload.read_at, offset, size)
                done = offset + size
                await self._reporter.report(Progress(upload.name, done, upload.size))
            yield tail

        request = Request(
            "POST",
            self._client.era.folder_path(self._folder, "upload"),
            content_type=multipart_type(boundary),
        )
        length = len(head) + upload.size + len(tail)

        async def send() -> None:
            async with aclosing(form()) as body:
                await self._client.call(
                    request, content=body, content_length=length, head_seconds=None
                )

        await self._client.sender.wait_out(send)


def _raced(exc: BackendError) -> bool:
    """Whether the beginning of an upload may have met the end of another one.

    The folder of open uploads is made with the first of them and removed with the last, without a
    lock: 400 from storage proxies, 500 from managers that take files themselves (docs/protocol.md,
    sections 7.2 and 7.3).
    """
    return isinstance(exc, ApiError) and (
        exc.status == 500 or exc.kind == "vfolder-operation-failed"
    )


class _Tus:
    """The upload of one file, on the server."""

    def __init__(self, client: Client, ticket: Ticket) -> None:
        self._client = client
        self._to: Destination = "api"
        self._query: tuple[tuple[str, str], ...] = ()
        if ticket.url:
            self._to, self._path = ticket.place
            self._query = (("token", ticket.token),)
        else:
            self._path = client.era.path("folders", "_", "tus", "upload", ticket.token)

    async def offset(self) -> int:
        """How many bytes the server has."""
        request = Request("HEAD", self._path, self._query)
        async with self._client.request(request, to=self._to) as reply:
            return TusState.decode(reply.headers).offset

    async def send(self, upload: Upload, offset: int, size: int) -> int:
        """Send `size` bytes from `offset` on; returns the offset of those that come next."""
        end = min(offset + size, upload.size)
        digest: bytes | None = None
        if self._client.has(TUS_CHECKSUM):
            digest = await trio.to_thread.run_sync(_digest, upload, offset, end)
        head = PatchHead(offset, digest).encode()
        request = Request(
            "PATCH",
            self._path,
            self._query,
            content_type=head.pop("Content-Type"),
        )
        head |= {"Content-Type": request.content_type}

        async def patch() -> int:
            async with (
                aclosing(_read(upload, offset, end)) as body,
                self._client.request(
                    request, to=self._to, headers=head, content=body, content_length=end - offset
                ) as reply,
            ):
                return TusState.decode(reply.headers).offset

        reached = await self._client.sender.wait_out(patch)
        if not offset <= reached <= upload.size or (end > offset and reached == offset):
            raise RemoteProtocolError(f"the server is at byte {reached} after {end} were sent")
        return reached


async def _read(upload: Upload, start: int, end: int) -> AsyncGenerator[bytes, None]:
    """Read part of a file as it is sent: memory does not grow with the file."""
    for offset, size in chunk_ranges(start, end):
        yield await trio.to_thread.run_sync(upload.read_at, offset, size)


def _digest(upload: Upload, start: int, end: int) -> bytes:
    digest = hashlib.sha256()
    for offset, size in chunk_ranges(start, end):
        digest.update(upload.read_at(offset, size))
    return digest.digest()
