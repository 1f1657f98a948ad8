"""Downloads from a kernel.

Everything is written to a temporary folder beside its destination, and moved there when all of it
has arrived and been checked. Names in the server's archives are not trusted (`Extractor`).
"""

from __future__ import annotations

import errno
import os
import posixpath
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    aclosing,
    asynccontextmanager,
)
from functools import partial
from pathlib import Path
from typing import cast

import trio

from ..errors import ApiError, DownloadError, LocalProtocolError, RemoteProtocolError
from ..files.exclusions import Exclusions
from ..files.paths import link_target
from ..files.pending import pending_folder
from ..files.placing import place, place_tree
from ..files.progress import Progress, ProgressReporter
from ..files.tar import Extractor
from ..files.thread_writer import feed_in_thread
from ..transport.client import Client
from ..transport.responses import ResponseStream
from ..wire.archives import ArchiveDecoder, Entry
from ..wire.download_parts import decode_archives
from ..wire.files import ARCHIVES, MAX_DOWNLOADS, PathsRequest
from ..wire.multipart import check_names

__all__ = ["DownloadStream", "download_file_as", "download_files", "open_file"]

_CLEANUP_SECONDS = 10.0
"""Limit for removing a temporary folder: a disk on the network may not answer."""

run_sync = trio.to_thread.run_sync


async def download_files(
    client: Client,
    token: str,
    paths: Sequence[str],
    into: Path,
    *,
    overwrite: bool,
    preserve: bool,
    exclude: Iterable[str],
    reporter: ProgressReporter,
) -> list[Path]:
    """Download into a folder; see `TrioKernel.download`."""
    if not paths:
        await trio.lowlevel.checkpoint()
        return []
    names = {_last_component(path) for path in paths}
    if len(names) < len(paths):
        raise DownloadError(
            paths[0], "two of the paths have the same last component; download one at a time"
        )
    make = _extractor_maker(preserve, exclude)
    async with _extracted(client, token, paths, into, make, reporter) as extractor:
        unexpected = [name for name in extractor.names if name not in names]
        if unexpected:
            raise RemoteProtocolError(f"the server sent {unexpected[0]!r}, which was not requested")
        await _place(place_tree, extractor.folder, into, overwrite)
        return [into / name for name in extractor.names]


async def download_file_as(
    client: Client,
    token: str,
    path: str,
    target: Path,
    *,
    overwrite: bool,
    preserve: bool,
    exclude: Iterable[str],
    reporter: ProgressReporter,
) -> None:
    """Download one file or folder under a name of one's own; see `TrioKernel.download_as`."""
    if overwrite:
        try:
            target = await run_sync(link_target, target)
        except OSError as exc:
            raise DownloadError(str(target), f"cannot be written: {exc.strerror}") from exc
    make = _extractor_maker(preserve, exclude)
    async with _extracted(client, token, [path], target.parent, make, reporter) as extractor:
        if extractor.names != [_last_component(path)]:
            raise RemoteProtocolError(f"the server did not send {path!r}")
        source = extractor.folder / extractor.names[0]
        if source.is_dir() and not source.is_symlink():
            await _place(_place_folder, source, target, overwrite)
        else:
            await _place(place, source, target, overwrite)


def _place_folder(source: Path, target: Path, *, overwrite: bool, like_cp: bool) -> None:
    if os.path.lexists(target) and not target.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "a file is in the way", str(target))
    target.mkdir(exist_ok=True)
    place_tree(source, target, overwrite=overwrite, like_cp=like_cp)


async def _place(move: Callable[..., None], source: Path, target: Path, overwrite: bool) -> None:
    try:
        await run_sync(partial(move, source, target, overwrite=overwrite, like_cp=True))
    except FileExistsError as exc:
        path = exc.filename2 or exc.filename
        advice = "" if overwrite else "; nothing was changed. Allow overwriting to replace it"
        raise DownloadError(str(path), f"{exc.strerror}{advice}") from exc
    except OSError as exc:
        path = exc.filename2 or exc.filename or target
        raise DownloadError(str(path), f"cannot be written: {exc.strerror}") from exc


def _extractor_maker(preserve: bool, exclude: Iterable[str]) -> Callable[[Path], Extractor]:
    exclusions = Exclusions(check_names(exclude))
    return partial(Extractor, preserve=preserve, exclusions=exclusions)


@asynccontextmanager
async def _extracted(
    client: Client,
    token: str,
    paths: Sequence[str],
    beside: Path,
    make_extractor: Callable[[Path], Extractor],
    reporter: ProgressReporter,
) -> AsyncIterator[Extractor]:
    """Download paths to a temporary folder inside `beside`, which is removed with the block."""
    pending = pending_folder(beside)
    try:
        await run_sync(partial(beside.mkdir, parents=True, exist_ok=True))
        folder = await run_sync(pending.__enter__)
    except FileExistsError:
        raise DownloadError(str(beside), "is not a folder; name another target") from None
    except OSError as exc:
        raise DownloadError(str(beside), f"cannot be written to: {exc.strerror}") from exc
    extractor = make_extractor(folder)
    try:
        try:
            if client.has(ARCHIVES):
                async with _archive(client, token, paths) as reply:
                    chunks = _Reporting(reply, extractor, reporter)
                    await feed_in_thread(chunks, extractor.feed)
                await run_sync(partial(extractor.finish, sealed=True))
            else:
                for archive in await _managers_archives(client, token, paths):
                    await run_sync(extractor.feed, archive)
                    await _report(extractor, reporter)
                    await run_sync(extractor.next_archive)
            for name, _, size in extractor.take_progress():
                await reporter.report(Progress(name, size, size, complete=True))
        except OSError as exc:
            raise DownloadError(str(beside), f"cannot be written: {exc.strerror}") from exc
        yield extractor
    finally:
        with trio.move_on_after(_CLEANUP_SECONDS, shield=True):
            await run_sync(_clean_up, extractor, pending, abandon_on_cancel=True)


def _clean_up(extractor: Extractor, pending: AbstractContextManager[Path]) -> None:
    extractor.close()
    pending.__exit__(None, None, None)


class _Reporting:
    """The chunks of a reply; progress of the extractor is reported before each of them."""

    def __init__(
        self, reply: ResponseStream, extractor: Extractor, reporter: ProgressReporter
    ) -> None:
        self._reply = reply
        self._extractor = extractor
        self._reporter = reporter

    def __aiter__(self) -> _Reporting:
        return self

    async def __anext__(self) -> bytes:
        await _report(self._extractor, self._reporter)
        return await anext(self._reply)


async def _report(extractor: Extractor, reporter: ProgressReporter) -> None:
    for name, done, size in extractor.take_progress():
        await reporter.report(Progress(name, done, size, complete=done == size))


def _archive(
    client: Client, token: str, paths: Sequence[str]
) -> AbstractAsyncContextManager[ResponseStream]:
    path = client.era.session_path(token, "archive")
    return client.request(PathsRequest(tuple(paths)).request("POST", path, "files"))


async def _managers_archives(client: Client, token: str, paths: Sequence[str]) -> list[bytes]:
    """One archive of 1 MiB at most for each path (docs/protocol.md, section 5.3)."""
    if client.era.prefix:
        raise LocalProtocolError(
            "this server cannot send files (managers can from 1.4 on); print the content instead"
        )
    archives: list[bytes] = []
    for start in range(0, len(paths), MAX_DOWNLOADS):
        requested = PathsRequest(tuple(paths[start : start + MAX_DOWNLOADS]))
        path = client.era.session_path(token, "download")
        try:
            reply = await client.call(requested.request("POST", path, "files"), head_seconds=None)
        except ApiError as exc:
            # Up to 24.03.6 the method is GET, and any other is unknown at this path.
            if exc.status != 405:
                raise _refused(requested.paths, exc) from exc
            try:
                reply = await client.call(
                    requested.request("GET", path, "files"), head_seconds=None
                )
            except ApiError as second:
                raise _refused(requested.paths, second) from second
        archives += decode_archives(reply, max_bytes=client.limits.max_body_bytes)
    return archives


def _refused(paths: Sequence[str], exc: ApiError) -> Exception:
    if exc.status in (401, 403, 404):
        return exc
    return DownloadError(
        ", ".join(paths),
        f"{exc}. Managers send 1 MiB at most for each path; mount a virtual folder for more",
    )


class DownloadStream:
    """The content of a file: an async iterator of bytes. Made by `TrioKernel.open_download`.

    Attributes:
        size: bytes of the whole file.
    """

    def __init__(self, chunks: AsyncIterator[bytes], size: int) -> None:
        self.size = size
        self._chunks = chunks
        self._lost = False

    def __aiter__(self) -> DownloadStream:
        return self

    async def __anext__(self) -> bytes:
        """Receive the next chunk.

        Raises:
            RemoteProtocolError: the content was cut short, or altered on its way.
            ConnectionFailed: the connection broke.
            LocalProtocolError: an earlier call was cancelled or failed, so its chunk is lost.
        """
        if self._lost:
            raise LocalProtocolError("a chunk of the download is lost; open it again")
        self._lost = True
        try:
            chunk = await anext(self._chunks)
        except StopAsyncIteration:
            self._lost = False
            raise
        self._lost = False
        return chunk


@asynccontextmanager
async def open_file(client: Client, token: str, path: str) -> AsyncIterator[DownloadStream]:
    """Open a file as a stream; see `TrioKernel.open_download`."""
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
                raise DownloadError(path, "is not a regular file; download it to disk instead")
            found = True
            yield item.size
    decoder.finish(sealed=sealed)
    if not found:
        raise RemoteProtocolError(f"the server did not send {path!r}")


def _last_component(path: str) -> str:
    """The name at the top of an archive of this path."""
    name = posixpath.basename(posixpath.normpath(path))
    return "work" if name in ("", ".", "/") else name
