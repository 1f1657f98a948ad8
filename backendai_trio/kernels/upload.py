"""Files on their way into a kernel.

A server that takes archives (our own gateway) gets one request with everything in it, sealed with
a digest, and shows nothing of it before it has checked that. Managers take a few small files at a
time; `joining` makes of that what can be made.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import groupby
from typing import cast

import trio

from .._groups import one_error
from ..errors import LocalProtocolError, UploadError
from ..files.progress import Meter
from ..files.sources import Upload, UploadStream
from ..transport.client import Client
from ..transport.retry import naming, with_retries
from ..wire.archives import (
    BLOCK,
    END,
    TAR,
    Entry,
    encode_entry,
    encode_seal,
    entry_length,
    padding,
)
from ..wire.files import ARCHIVES
from ..wire.http import Request
from ..wire.multipart import check_name
from .upload_in_parts import send_joined

__all__ = ["send_uploads"]

_PIECE_BYTES = 256 * 1024
"""How much of small files is sent at once: little enough that the server begins soon."""


async def send_uploads(
    client: Client,
    token: str,
    uploads: Sequence[Upload | UploadStream],
    *,
    to: str = "",
    meter: Meter,
) -> None:
    """Upload to a kernel; see `TrioKernel.upload`."""
    if not uploads:
        await trio.lowlevel.checkpoint()
        return
    folder = to.rstrip("/") if to.rstrip("/") != "." else ""
    for label, name in [(to, folder), *((item.label, item.name) for item in uploads)]:
        try:
            check_name(name or "work")
        except LocalProtocolError as exc:
            raise UploadError(label, str(exc)) from None
    if client.has(ARCHIVES):
        await _send_archive(client, token, uploads, folder, meter)
    else:
        if folder:
            uploads = [replace(item, name=f"{folder}/{item.name}") for item in uploads]
        await send_joined(client, token, uploads, meter)


async def _send_archive(
    client: Client, token: str, uploads: Sequence[Upload | UploadStream], to: str, meter: Meter
) -> None:
    query = (("path", to or "."),)
    request = Request("PUT", client.era.session_path(token, "archive"), query, content_type=TAR)

    files = [item for item in uploads if isinstance(item, Upload)]
    length: int | None = None  # streams go in chunks
    if len(files) == len(uploads):
        length = sum(entry_length(item.entry) for item in files) + len(END) + BLOCK

    async def pack(pieces: trio.MemorySendChannel[bytes]) -> None:
        try:
            await _pack(uploads, meter, pieces)
        except _NotTaken:
            pass  # the request has ended, and tells how

    async def send() -> None:
        meter.restart()
        # The next piece is read while one is sent.
        pieces, body = trio.open_memory_channel[bytes](0)
        with one_error():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(pack, pieces)
                await client.call(request, content=body, content_length=length, answer_seconds=None)

    with naming([item.label for item in uploads]):
        # What is made while it is sent cannot be made again.
        if length is None:
            await send()
        else:
            await with_retries(send)
    for item in uploads:
        if isinstance(item, UploadStream) or not item.is_folder:
            await meter.complete(item.name)


class _NotTaken(Exception):
    """The request takes no more of its body."""


async def _pack(
    uploads: Sequence[Upload | UploadStream], meter: Meter, pieces: trio.MemorySendChannel[bytes]
) -> None:
    """The sealed archive, read as it is sent: memory does not grow with the files."""
    packer = _Packer()

    async def send(piece: bytes) -> None:
        try:
            await pieces.send(piece)
        except trio.BrokenResourceError:
            raise _NotTaken from None
        await packer.tell(meter)

    for kind, items in groupby(uploads, type):
        if kind is Upload:
            with closing(packer.files(cast("list[Upload]", list(items)))) as full:
                while (piece := await trio.to_thread.run_sync(next, full, None)) is not None:
                    await send(piece)
            continue
        for stream in cast("list[UploadStream]", list(items)):
            await _pack_stream(stream, packer, send)
    await send(packer.end())
    # Not when it fails: what is cut short must not look like an end.
    pieces.close()


async def _pack_stream(
    stream: UploadStream, packer: _Packer, send: Callable[[bytes], Awaitable[None]]
) -> None:
    done = 0
    async with stream.opened() as chunks:
        async for data in chunks:
            stream.check(done + len(data), ended=False)
            packer.add_piece(stream, data, first=not done)
            done += len(data)
            if packer.is_full:
                await send(packer.take())
    stream.check(done, ended=True)
    if not done:
        packer.add_piece(stream, b"", first=True)


class _Packer:
    """Puts an archive together in pieces worth sending."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._parts: list[bytes] = []
        self._size = 0
        self._news: list[tuple[str, int, int | None]] = []

    @property
    def is_full(self) -> bool:
        return self._size >= _PIECE_BYTES

    def take(self) -> bytes:
        """What has been put in."""
        piece = b"".join(self._parts)
        self._parts, self._size = [], 0
        self._digest.update(piece)
        return piece

    def files(self, uploads: Iterable[Upload]) -> Generator[bytes, None, None]:
        """Put in files and folders; gives full pieces. Blocks."""
        for upload in uploads:
            self._put(encode_entry(upload.entry))
            if not upload.is_folder:
                for data in upload.read():
                    self._put(data)
                    self._news.append((upload.name, len(data), upload.size))
                    if self.is_full:
                        yield self.take()
                self._put(padding(upload.size))
            if self.is_full:
                yield self.take()

    def add_piece(self, stream: UploadStream, data: bytes, *, first: bool) -> None:
        """Put in a piece of a stream, whose size need not be known."""
        self._put(encode_entry(Entry(stream.name, "file", len(data), more=not first)))
        self._put(data)
        self._put(padding(len(data)))
        self._news.append((stream.name, len(data), stream.size))

    def _put(self, data: bytes) -> None:
        self._parts.append(data)
        self._size += len(data)

    def end(self) -> bytes:
        """The rest, with the seal."""
        self._put(END)
        return self.take() + encode_seal(self._digest.hexdigest())

    async def tell(self, meter: Meter) -> None:
        """Count what has been sent."""
        news, self._news = self._news, []
        for name, count, size in news:
            await meter.advance(name, count, size)
