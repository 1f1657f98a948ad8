"""Files on their way out of a kernel.

Whatever comes is written into a folder beside its place and moved there when all of it has come
and been checked; the server's archives are not trusted with names (`Extractor`).
"""

from __future__ import annotations

import posixpath
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from pathlib import Path
from typing import cast

import trio

from ..errors import ApiError, DownloadError, LocalProtocolError, RemoteProtocolError
from ..files.paths import pending_folder, place, place_tree
from ..files.progress import Meter, Progress
from ..files.tar import Extractor
from ..files.thread_writer import feed_in_thread
from ..transport.client import Client
from ..transport.responses import ResponseStream
from ..wire.archives import ArchiveDecoder, Entry
from ..wire.files import ARCHIVES, MAX_DOWNLOADS, PathsRequest, decode_archives

__all__ = ["DownloadStream", "download", "download_as", "open_download"]

run_sync = trio.to_thread.run_sync


async def download(
    client: Client, token: str, paths: Sequence[str], into: Path, *, overwrite: bool, meter: Meter
) -> list[Path]:
    """Download into a folder; see `TrioKernel.download`."""
    if not paths:
        await trio.lowlevel.checkpoint()
        return []
    wanted = {_last(path): path for path in paths}
    if len(wanted) < len(paths):
        raise DownloadError(paths[0], "two of the paths have the same last component")
    async with _received(client, token, paths, into, meter) as extractor:
        strangers = [name for name in extractor.names if name not in wanted]
        if strangers:
            raise RemoteProtocolError(f"the server sent {strangers[0]!r}, which was not asked for")
        await _placing(place_tree, extractor.folder, into, overwrite)
        return [into / name for name in extractor.names]


async def download_as(
    client: Client, token: str, path: str, target: Path, *, overwrite: bool, meter: Meter
) -> None:
    """Download one file or folder under a name of one's own."""
    parent = target.parent
    async with _received(client, token, [path], parent, meter) as extractor:
        if extractor.names != [_last(path)]:
            raise RemoteProtocolError(f"the server did not send {path!r}")
        source = extractor.folder / extractor.names[0]
        if source.is_dir() and not source.is_symlink():
            await run_sync(lambda: target.mkdir(exist_ok=True))
            await _placing(place_tree, source, target, overwrite)
        else:
            await _placing(place, source, target, overwrite)


async def _placing(move: Callable[..., None], source: Path, target: Path, overwrite: bool) -> None:
    try:
        await run_sync(lambda: move(source, target, overwrite=overwrite))
    except FileExistsError as exc:
        path = exc.filename2 or exc.filename
        advice = "" if overwrite else "; nothing was changed. Say that it may be overwritten"
        raise DownloadError(str(path), f"{exc.strerror}{advice}") from exc
    except OSError as exc:
        path = exc.filename2 or exc.filename or target
        raise DownloadError(str(path), f"cannot be written: {exc.strerror}") from exc


@asynccontextmanager
async def _received(
    client: Client, token: str, paths: Sequence[str], beside: Path, meter: Meter
) -> AsyncIterator[Extractor]:
    """All of it, in a folder inside `beside` that goes with the block."""
    pending = pending_folder(beside)
    try:
        await run_sync(lambda: beside.mkdir(parents=True, exist_ok=True))
        folder = await run_sync(pending.__enter__)
    except OSError as exc:
        raise DownloadError(str(beside), f"cannot be written to: {exc.strerror}") from exc
    extractor = Extractor(folder)
    try:
        try:
            if client.has(ARCHIVES):
                async with _archive(client, token, paths) as reply:
                    await feed_in_thread(_Telling(reply, extractor, meter), extractor.feed)
                await run_sync(lambda: extractor.finish(sealed=True))
            else:
                for archive in await _managers_archives(client, token, paths):
                    await run_sync(extractor.feed, archive)
                    await _tell(extractor, meter)
                    await run_sync(extractor.next_archive)
            for name, _, size in extractor.news():
                await meter.tell(Progress(name, size, size, complete=True))
        except OSError as exc:
            raise DownloadError(str(beside), f"cannot be written: {exc.strerror}") from exc
        yield extractor
    finally:
        extractor.close()
        with trio.CancelScope(shield=True):  # local disk: ends by itself
            await run_sync(pending.__exit__, None, None, None)


class _Telling:
    """A reply's chunks; before each one it is told how far the extractor is."""

    def __init__(self, reply: ResponseStream, extractor: Extractor, meter: Meter) -> None:
        self._reply = reply
        self._extractor = extractor
        self._meter = meter

    def __aiter__(self) -> _Telling:
        return self

    async def __anext__(self) -> bytes:
        await _tell(self._extractor, self._meter)
        return await anext(self._reply)


async def _tell(extractor: Extractor, meter: Meter) -> None:
    for name, done, size in extractor.news():
        await meter.tell(Progress(name, done, size, complete=done == size))


def _archive(
    client: Client, token: str, paths: Sequence[str]
) -> AbstractAsyncContextManager[ResponseStream]:
    path = client.era.session_path(token, "archive")
    return client.stream(PathsRequest(tuple(paths)).request("POST", path, "files"))


async def _managers_archives(client: Client, token: str, paths: Sequence[str]) -> list[bytes]:
    """An archive for each path, 1 MiB each at most (contract section 5.3)."""
    if client.era.prefix:
        raise LocalProtocolError(
            "this server has no downloads (they came with 1.4); print the content instead"
        )
    archives: list[bytes] = []
    for start in range(0, len(paths), MAX_DOWNLOADS):
        wanted = PathsRequest(tuple(paths[start : start + MAX_DOWNLOADS]))
        path = client.era.session_path(token, "download")
        try:
            reply = await client.call(wanted.request("POST", path, "files"), answer_seconds=None)
        except ApiError as exc:
            # Up to 24.03 it was a GET, and another method is none that the path knows.
            if exc.status != 405:
                raise _refused(wanted.paths, exc) from exc
            try:
                reply = await client.call(wanted.request("GET", path, "files"), answer_seconds=None)
            except ApiError as second:
                raise _refused(wanted.paths, second) from second
        archives += decode_archives(reply)
    return archives


def _refused(paths: Sequence[str], exc: ApiError) -> Exception:
    if exc.status in (401, 403, 404):
        return exc
    return DownloadError(
        ", ".join(paths),
        f"{exc}. Managers send 1 MiB of a path at most; larger ones go by way of a virtual folder",
    )


class DownloadStream:
    """The content of a file on its way here: iterate over it. Made by `TrioKernel.open_download`.

    Attributes:
        size: bytes of it.
    """

    def __init__(self, chunks: AsyncIterator[bytes], size: int) -> None:
        self.size = size
        self._chunks = chunks
        self._lost = False

    def __aiter__(self) -> DownloadStream:
        return self

    async def __anext__(self) -> bytes:
        """The next piece.

        Raises:
            RemoteProtocolError: the content was cut short, or altered on its way.
            ConnectionFailed: the connection broke.
            LocalProtocolError: an earlier call was cancelled or has failed, and what it would have
                returned is lost.
        """
        if self._lost:
            raise LocalProtocolError("a piece of the download is lost; open it anew")
        self._lost = True
        try:
            piece = await anext(self._chunks)
        except StopAsyncIteration:
            self._lost = False
            raise
        self._lost = False
        return piece


@asynccontextmanager
async def open_download(client: Client, token: str, path: str) -> AsyncIterator[DownloadStream]:
    """The content of one file as a stream; see `TrioKernel.open_download`."""
    if client.has(ARCHIVES):
        async with (
            _archive(client, token, [path]) as reply,
            aclosing(_content(reply, path, sealed=True)) as chunks,
        ):
            yield await _stream(chunks)
        return
    (archive,) = await _managers_archives(client, token, [path])
    async with aclosing(_content(_once(archive), path, sealed=False)) as chunks:
        yield await _stream(chunks)


async def _stream(chunks: AsyncGenerator[bytes | int, None]) -> DownloadStream:
    size = await anext(chunks)
    assert isinstance(size, int)
    return DownloadStream(cast("AsyncIterator[bytes]", chunks), size)


async def _once(data: bytes) -> AsyncGenerator[bytes, None]:
    await trio.lowlevel.checkpoint()
    yield data


async def _content(
    archive: AsyncIterator[bytes], path: str, *, sealed: bool
) -> AsyncGenerator[bytes | int, None]:
    """The size and then the content of the only file in an archive."""
    decoder = ArchiveDecoder()
    found = False
    async for data in archive:
        for item in decoder.feed(data):
            if not isinstance(item, Entry):
                yield bytes(item)
                continue
            if found or item.kind != "file":
                raise DownloadError(path, "is no regular file; download it to disk")
            found = True
            yield item.size
    decoder.finish(sealed=sealed)
    if not found:
        raise RemoteProtocolError(f"the server did not send {path!r}")


def _last(path: str) -> str:
    """What an archive of a path has at its top."""
    name = posixpath.basename(posixpath.normpath(path))
    return "work" if name in ("", ".", "/") else name
