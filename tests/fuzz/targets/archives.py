"""Archives and forms: nothing outside of the folder is read, written or linked to."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import trio

from backendai_trio.errors import DownloadError, RemoteProtocolError
from backendai_trio.files.tar import Extractor
from backendai_trio.gateway.refusals import Refused
from backendai_trio.gateway.storage.multipart import UploadLimits, receive_form
from backendai_trio.gateway.storage.workspace import Workspace
from backendai_trio.vfolders.archive import check_archive
from backendai_trio.wire.archives import BLOCK, ArchiveDecoder, Entry
from backendai_trio.wire.download_parts import PartsDecoder
from backendai_trio.wire.tar_headers import Header

from ..choices import Choices, pieces

BOUNDARY = "XXboundaryXX"
_SECRET = b"not yours"
_MAX_SIZE = 1024 * 1024


@contextmanager
def guarded() -> Iterator[Path]:
    """An empty folder whose surroundings must be the same in the end."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as made:
        base = Path(made).resolve()
        outside = base / "outside"
        outside.mkdir()
        (outside / "secret").write_bytes(_SECRET)
        inside = base / "inside"
        inside.mkdir()
        yield inside
        assert sorted(os.listdir(base)) == ["inside", "outside"]
        assert os.listdir(outside) == ["secret"]
        assert (outside / "secret").read_bytes() == _SECRET


@contextmanager
def without_threads() -> Iterator[None]:
    """Blocking calls are made at once: most of the time would go into threads that take turns."""

    async def run_sync(function: Callable[..., Any], *args: object, **_options: object) -> Any:
        await trio.lowlevel.checkpoint()
        return function(*args)

    with mock.patch.object(trio.to_thread, "run_sync", run_sync):
        yield


def check_tree(root: Path) -> None:
    """Everything below a folder is a file, a folder, or a link to a place below it.

    Raises:
        AssertionError: it is not.
    """
    real = os.path.realpath(root)
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = os.path.join(folder, name)
            state = os.lstat(path)
            if stat.S_ISLNK(state.st_mode):
                target = os.path.realpath(path)
                assert target == real or target.startswith(f"{real}/"), (path, target)
                continue
            assert stat.S_ISREG(state.st_mode) or stat.S_ISDIR(state.st_mode), path
            assert not state.st_mode & (stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX), path
            assert state.st_nlink == 1 or stat.S_ISDIR(state.st_mode), path


def tar(data: bytes) -> None:
    """An archive of a hostile server or client is extracted inside of its folder, or refused."""
    choices = Choices(data)
    sealed, preserve, repaired = choices.flag(), choices.flag(), choices.flag()
    cuts = choices.cuts()
    archive = choices.rest()
    if repaired:
        archive = with_checksums(archive)
    parts = pieces(archive, cuts)
    assert _decoded(parts, sealed) == _decoded([archive], sealed)
    with guarded() as root, Extractor(root, max_entries=50, preserve=preserve) as extractor:
        try:
            for part in parts:
                extractor.feed(part)
            extractor.finish(sealed=sealed)
        except RemoteProtocolError:
            pass
        except OSError as exc:
            assert exc.errno in _OF_NAMES, exc
        check_tree(root)
        assert sum(os.lstat(p).st_size for p in _files(root)) <= extractor.size


_OF_NAMES = {36, 40}
"""ENAMETOOLONG, ELOOP: a whole path that the system does not take, which no name of it tells."""


def _files(root: Path) -> Iterator[str]:
    for folder, _, files in os.walk(root):
        for name in files:
            path = os.path.join(folder, name)
            if not os.path.islink(path):
                yield path


def _decoded(parts: list[bytes], sealed: bool) -> object:
    """Entries with their content, and how it ended."""
    decoder = ArchiveDecoder()
    found: list[tuple[Entry, bytearray]] = []
    try:
        for part in parts:
            for item in decoder.feed(part):
                if isinstance(item, Entry):
                    found.append((item, bytearray()))
                else:
                    found[-1][1].extend(item)
        decoder.finish(sealed=sealed)
    except RemoteProtocolError as exc:
        return [(entry, bytes(content)) for entry, content in found], str(exc)
    return [(entry, bytes(content)) for entry, content in found], ""


def with_checksums(archive: bytes) -> bytes:
    """An archive whose headers have the checksums that they should."""
    blocks = bytearray(archive)
    for at in range(0, len(blocks) - BLOCK + 1, BLOCK):
        block = blocks[at : at + BLOCK]
        if block[257:262] == b"ustar":
            total = sum(block) - sum(block[148:156]) + 8 * ord(" ")
            blocks[at + 148 : at + 156] = b"%06o\0 " % total
    return bytes(blocks)


def tar_header(data: bytes) -> None:
    """A header that is read is written such that it reads the same."""
    block = with_checksums(Choices(data).rest().ljust(BLOCK, b"\0")[:BLOCK])
    try:
        header = Header.decode(block)
    except RemoteProtocolError:
        return
    assert 0 <= header.size < 2**88
    assert header.modified >= 0


def zip_archive(data: bytes) -> None:
    """What comes in place of a ZIP archive is refused by `DownloadError`, or looks like one."""
    with tempfile.NamedTemporaryFile(prefix="fuzz-") as file:
        file.write(data)
        file.flush()
        try:
            check_archive(Path(file.name), "fuzz")
        except DownloadError:
            pass


def multipart(data: bytes) -> None:
    """A form stores its files below the folder, all or none of them."""
    choices = Choices(data)
    limited, cuts = choices.flag(), choices.cuts()
    own_type = choices.flag()
    body = choices.rest()
    content_type = f"multipart/form-data; boundary={BOUNDARY}"
    if own_type:
        line, _, body = body.partition(b"\n")
        content_type = f"multipart/{line.decode('latin-1')}"

    async def arriving() -> AsyncIterator[bytes]:
        for part in pieces(body, cuts):
            await trio.lowlevel.checkpoint()
            yield part

    with guarded() as base:
        root, staging = base / "work", base / "staging"
        for folder in (root, staging, root / "folder"):
            folder.mkdir()
        (root / "out").symlink_to(base.parent / "outside")
        (root / "file").write_bytes(b"old")
        limits = UploadLimits(3, 100, 200) if limited else UploadLimits()
        workspace = Workspace(root, staging)
        before = sorted(_files(root))
        try:
            with without_threads():
                names = trio.run(receive_form, content_type, arriving(), workspace, limits)
        except Refused as exc:
            assert exc.problem.status in (400, 412, 500), exc
            assert sorted(_files(root)) == before
            assert (root / "file").read_bytes() == b"old"
        else:
            # A later part of the same name replaces an earlier one.
            for name in names:
                assert (root / name).is_file(), name
        assert os.listdir(staging) == []
        (root / "out").unlink(missing_ok=True)
        check_tree(root)


def parts(data: bytes) -> None:
    """A download in parts is read the same however it is cut, or refused."""
    choices = Choices(data)
    cuts = choices.cuts()
    body = choices.rest()
    assert _parts_of([body]) == _parts_of(pieces(body, cuts))


def _parts_of(arriving: list[bytes]) -> object:
    decoder = PartsDecoder(f"multipart/mixed; boundary={BOUNDARY}")
    found: dict[int, bytearray] = {}
    size = 0
    try:
        for part in arriving:
            for number, piece in decoder.feed(part):
                found.setdefault(number, bytearray()).extend(piece)
                size += len(piece)
                if size > _MAX_SIZE:
                    return None
        return decoder.finish(), found
    except RemoteProtocolError:
        return None
