"""Uploads to a kernel.

A server that takes archives (our own gateway) gets one request with all files in it, sealed with a
digest, and shows none of them before it has checked that. A manager takes only a few small files in
a request; see `upload_in_parts`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from itertools import groupby
from typing import cast

import trio

from .._groups import one_error
from ..errors import LocalProtocolError, UploadError
from ..files.paths import check_remote_folder
from ..files.progress import ProgressReporter
from ..files.sources import Upload, UploadStream
from ..files.upload_archive import UploadArchive, archive_length
from ..files.upload_errors import upload_errors
from ..transport.client import Client
from ..transport.retry import REPEATED, with_retries
from ..wire.archives import TAR
from ..wire.files import ARCHIVES
from ..wire.http import Request
from ..wire.multipart import check_name
from .upload_in_parts import upload_in_parts

__all__ = ["upload_items"]

_BODY_CHUNK_SIZE = 256 * 1024
"""Bytes of small files that are sent at once: few enough that the server begins soon."""


async def upload_items(
    client: Client,
    token: str,
    items: Sequence[Upload | UploadStream],
    *,
    to: str = "",
    preserve: bool = False,
    reporter: ProgressReporter,
) -> None:
    """Upload files, folders and streams to a kernel.

    Args:
        client: of the kernel's server.
        token: the kernel's token.
        items: with names relative to `to`.
        to: a folder, relative to the work folder.
        preserve: whether times of modification are kept.
        reporter: where progress goes.

    Raises:
        UploadError: as `TrioKernel.upload`.
        AuthError, NotFound, QuotaExceeded: as `TrioKernel.upload`.
    """
    if not items:
        await trio.lowlevel.checkpoint()
        return
    path = to
    try:
        folder = check_remote_folder(to)
        for item in items:
            path = item.error_path
            check_name(item.name)
    except LocalProtocolError as exc:
        raise UploadError(path, str(exc)) from None
    if client.has(ARCHIVES):
        await _upload_archive(client, token, items, folder, preserve, reporter)
    else:
        if folder:
            items = [replace(item, name=f"{folder}/{item.name}") for item in items]
        await upload_in_parts(client, token, items, reporter, preserve=preserve)
    for item in items:
        if isinstance(item, UploadStream) or not item.is_folder:
            await reporter.complete(item.name)


async def _upload_archive(
    client: Client,
    token: str,
    items: Sequence[Upload | UploadStream],
    to: str,
    preserve: bool,
    reporter: ProgressReporter,
) -> None:
    query = (("path", to or "."), *([("preserve", "1")] if preserve else []))
    request = Request("PUT", client.era.session_path(token, "archive"), query, content_type=TAR)
    files = [item for item in items if isinstance(item, Upload)]
    # Streams are sent with chunked encoding: their sizes are unknown.
    length = archive_length(files) if len(files) == len(items) else None

    async def pack(chunks: trio.MemorySendChannel[bytes]) -> None:
        try:
            await _pack(items, reporter, chunks)
        except _RequestEnded:
            pass  # its own error says why

    async def send() -> None:
        reporter.restart()
        # The next chunk is read while one is sent.
        chunks, body = trio.open_memory_channel[bytes](0)
        with one_error():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(pack, chunks)
                await client.call(request, content=body, content_length=length, head_seconds=None)

    with upload_errors([item.error_path for item in items]):
        # A stream cannot be iterated over a second time.
        if length is None:
            await send()
        else:
            policy = REPEATED.within(client.limits.retry_seconds)
            await client.sender.wait_out(partial(with_retries, send, policy=policy))


class _RequestEnded(Exception):
    """The request takes no more of its body."""


async def _pack(
    items: Sequence[Upload | UploadStream],
    reporter: ProgressReporter,
    chunks: trio.MemorySendChannel[bytes],
) -> None:
    """Send the sealed archive, read meanwhile: memory does not grow with the files."""
    archive = UploadArchive(_BODY_CHUNK_SIZE)

    async def send(chunk: bytes) -> None:
        try:
            await chunks.send(chunk)
        except trio.BrokenResourceError:
            raise _RequestEnded from None
        await archive.report(reporter)

    for kind, group in groupby(items, type):
        if kind is Upload:
            with closing(archive.add_files(cast("list[Upload]", list(group)))) as full:
                while (chunk := await trio.to_thread.run_sync(next, full, None)) is not None:
                    await send(chunk)
            continue
        for stream in cast("list[UploadStream]", list(group)):
            await _pack_stream(stream, archive, send)
    await send(archive.finish() + archive.seal())
    # Only on success: a body that was cut short must not look complete.
    chunks.close()


async def _pack_stream(
    stream: UploadStream, archive: UploadArchive, send: Callable[[bytes], Awaitable[None]]
) -> None:
    first = True
    async with stream.open() as chunks:
        async for data in chunks:
            archive.add_stream_chunk(stream, data, first=first)
            first = False
            if archive.is_full:
                await send(archive.take())
    if first:
        archive.add_stream_chunk(stream, b"", first=True)
