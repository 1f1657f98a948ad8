"""Files on their way into a virtual folder.

From 20.09 on a storage proxy takes them in pieces (tus), and tells how far it is when a connection
broke; managers of late 19.09 and 20.03 do so themselves. Older servers take a form.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager

import trio

from .._groups import one_error
from ..config.settings import Endpoint
from ..errors import (
    ApiError,
    AuthError,
    BackendError,
    ConnectionFailed,
    InvalidRequest,
    LocalProtocolError,
    NotFound,
    QuotaExceeded,
    RemoteProtocolError,
    UploadError,
)
from ..files.progress import Meter, Progress
from ..files.sources import Upload
from ..transport.client import Client
from ..wire.http import JSON, Request
from ..wire.multipart import check_name, encode_part_head, multipart_type, part_end
from ..wire.storage_proxy import CHECKSUM_MISMATCH, TUS_CHECKSUM, PatchHead, TusState
from ..wire.vfolders import FileRequest, MakeDirectory, Ticket

__all__ = ["make_folder", "send_files"]

_AT_ONCE = 6
_PATCH_BYTES = 16 * 1024 * 1024
"""Bytes of one request: what official clients send, so that proxies on the way let it pass."""
_READ_BYTES = 1024 * 1024
_PAUSES_SECONDS = (0.1, 0.5, 2.0, 5.0)
"""Before each new attempt; what has got on in between may fail as often again."""
_UNKNOWN_ROUTE = frozenset({"", "generic-not-found", "url-not-found"})
_TRY_AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504, CHECKSUM_MISMATCH})


async def send_files(
    client: Client, folder: str, uploads: Sequence[Upload], *, to: str, meter: Meter
) -> None:
    """Upload to a folder; see `TrioVFolder.upload`."""
    to = "" if to.strip("/") == "." else to.strip("/")
    names = {upload: _name_in(to, upload) for upload in uploads}
    send = _send_form if client.era.folder_transfer == "form" else _send_in_pieces
    await _make_folders(client, folder, uploads, names)
    files = iter([upload for upload in uploads if not upload.is_folder])

    async def work() -> None:
        for upload in files:  # shared by all workers
            with _naming(upload):
                await send(client, folder, names[upload], upload, meter)
            await meter.tell(Progress(upload.name, upload.size, upload.size, complete=True))

    with one_error():
        async with trio.open_nursery() as nursery:
            for _ in range(_AT_ONCE):
                nursery.start_soon(work)


def _name_in(to: str, upload: Upload) -> str:
    try:
        return check_name(f"{to}/{upload.name}" if to else upload.name)
    except LocalProtocolError as exc:
        raise UploadError(str(upload.path), str(exc)) from None


async def make_folder(
    client: Client, folder: str, path: str, *, parents: bool, exist_ok: bool
) -> None:
    """Make a folder in a folder; see `TrioVFolder.mkdir`."""
    body = MakeDirectory(path, parents, exist_ok).encode(client.era)
    try:
        await client.call(Request("POST", client.era.folder_path(folder, "mkdir"), (), body, JSON))
    except InvalidRequest as exc:
        # Managers of 20.03 cannot be told that it may exist.
        old = client.era.folder_transfer == "manager"
        if not (old and exist_ok and "exists" in f"{exc.title} {exc.detail}"):
            raise


async def _make_folders(
    client: Client, folder: str, uploads: Sequence[Upload], names: dict[Upload, str]
) -> None:
    """Make those that do not come into being with a file in them."""
    parents = {name.rpartition("/")[0] for name in names.values()}
    for upload in uploads:
        if not upload.is_folder or names[upload] in parents:
            continue
        if client.era.folder_transfer == "form":
            raise UploadError(
                str(upload.path), "is an empty folder, and this server makes none; leave it out"
            )
        with _naming(upload):
            await make_folder(client, folder, names[upload], parents=True, exist_ok=True)
    # Storage proxies make those of a file; managers that take tus themselves fail where one is
    # missing, after all of the file has come (seen in 20.03.19).
    for parent in sorted(parents - {""}) if client.era.folder_transfer == "manager" else ():
        if not any(other.startswith(f"{parent}/") for other in parents):
            await make_folder(client, folder, parent, parents=True, exist_ok=True)


@contextmanager
def _naming(upload: Upload) -> Iterator[None]:
    """Turn errors into ones that name the file, unless they are no fault of it."""
    try:
        yield
    except (UploadError, AuthError, NotFound, QuotaExceeded):
        raise
    except BackendError as exc:
        raise UploadError(str(upload.path), f"could not be uploaded: {exc}") from exc


# -- in pieces ------------------------------------------------------------------------------------


async def _send_in_pieces(
    client: Client, folder: str, name: str, upload: Upload, meter: Meter
) -> None:
    try:
        tus = await _begin(client, folder, name, upload.size)
    except NotFound as exc:
        # Managers from 1.4 to 19.09.10 or so take forms alone; no version tells them from later
        # ones.
        if client.era.folder_transfer != "manager" or exc.kind not in _UNKNOWN_ROUTE:
            raise
        await _send_form(client, folder, name, upload, meter)
        return
    offset = failures = 0
    unsure = False
    complete = False
    while not complete:
        try:
            before = offset
            offset = await (tus.offset() if unsure else tus.send(upload, offset))
            # The answer to a piece alone says that the file is in its place: one of which HEAD
            # tells that all of it has come is waiting for that, and gets an empty piece.
            complete = offset == upload.size and not unsure
            failures, unsure = (0 if offset > before else failures), False
            await meter.tell(Progress(upload.name, offset, upload.size))
        except (ConnectionFailed, ApiError) as exc:
            lost = isinstance(exc, NotFound)
            passing = not isinstance(exc, ApiError) or exc.status in _TRY_AGAIN
            if failures == len(_PAUSES_SECONDS) or not (lost or passing):
                raise
            await trio.sleep(_PAUSES_SECONDS[failures])
            failures, unsure = failures + 1, True
            if lost:
                # The server has forgotten the upload, with all that had come.
                tus, offset, unsure = await _begin(client, folder, name, upload.size), 0, False


async def _begin(client: Client, folder: str, name: str, size: int) -> _Tus:
    proxied = client.era.folder_transfer == "proxy"
    tail = "request-upload" if proxied else "create_upload_session"
    request = Request(
        "POST",
        client.era.folder_path(folder, tail),
        (),
        FileRequest(name, size).encode(client.era),
        JSON,
    )
    try:
        reply = await client.call(request)
    except ConnectionFailed:
        # Nothing has begun, or is forgotten in time; asking again does no harm.
        await trio.sleep(_PAUSES_SECONDS[0])
        reply = await client.call(request)
    return _Tus(client, Ticket.decode(reply.body))


class _Tus:
    """One file's upload on the server."""

    def __init__(self, client: Client, ticket: Ticket) -> None:
        self._client = client
        self._at: Endpoint | None = None
        self._query: tuple[tuple[str, str], ...] = ()
        if ticket.url:
            self._at, self._path = ticket.place
            self._query = (("token", ticket.token),)
        else:
            self._path = client.era.path("folders", "_", "tus", "upload", ticket.token)

    async def offset(self) -> int:
        """How far it is."""
        request = Request("HEAD", self._path, self._query)
        async with self._client.transfer(request, at=self._at) as reply:
            return TusState.decode(reply.headers).offset

    async def send(self, upload: Upload, offset: int) -> int:
        """Send a piece; the offset of the next one."""
        size = min(_PATCH_BYTES, upload.size - offset)
        digest: bytes | None = None
        if self._client.has(TUS_CHECKSUM):
            digest = await trio.to_thread.run_sync(_digest, upload, offset, size)
        head = PatchHead(offset, digest).encode()
        request = Request("PATCH", self._path, self._query, content_type=head.pop("Content-Type"))
        head |= {"Content-Type": request.content_type}
        async with self._client.transfer(
            request,
            at=self._at,
            headers=head,
            content=_pieces(upload, offset, size),
            content_length=size,
        ) as reply:
            found = TusState.decode(reply.headers).offset
        if not offset <= found <= upload.size or (size and found == offset):
            raise RemoteProtocolError(f"the server is at byte {found} after {offset + size}")
        return found


async def _pieces(upload: Upload, offset: int, size: int) -> AsyncIterator[bytes]:
    """Part of a file, read as it is sent: memory does not grow with it."""
    end = offset + size
    while offset < end:
        step = min(_READ_BYTES, end - offset)
        yield await trio.to_thread.run_sync(upload.read_at, offset, step)
        offset += step


def _digest(upload: Upload, offset: int, size: int) -> bytes:
    digest = hashlib.sha256()
    for start in range(offset, offset + size, _READ_BYTES):
        digest.update(upload.read_at(start, min(_READ_BYTES, offset + size - start)))
    return digest.digest()


# -- as a form ------------------------------------------------------------------------------------


async def _send_form(client: Client, folder: str, name: str, upload: Upload, meter: Meter) -> None:
    """What seed servers take: no limits, and no going on (section 7.1); later ones 10 files."""
    boundary = f"backendai-{secrets.token_hex(16)}"
    head, tail = encode_part_head(name, boundary), part_end(boundary, last=True)

    async def form() -> AsyncIterator[bytes]:
        yield head
        offset = 0
        while offset < upload.size:
            step = min(_READ_BYTES, upload.size - offset)
            yield await trio.to_thread.run_sync(upload.read_at, offset, step)
            offset += step
            await meter.tell(Progress(upload.name, offset, upload.size))
        yield tail

    request = Request(
        "POST", client.era.folder_path(folder, "upload"), content_type=multipart_type(boundary)
    )
    length = len(head) + upload.size + len(tail)
    await client.call(request, content=form(), content_length=length, answer_seconds=None)
