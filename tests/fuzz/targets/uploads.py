"""Resumable uploads (tus): headers, and a sequence of chunks beside a plain model."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import AsyncIterator

import trio

from backendai_trio.errors import RemoteProtocolError
from backendai_trio.gateway.refusals import Refused
from backendai_trio.gateway.storage.tus import TusUploads
from backendai_trio.gateway.storage.vfolders import VFolders
from backendai_trio.wire.storage_proxy import ContentRange, PatchHead, TusState, parse_range
from backendai_trio.wire.vfolders import CreateVFolder

from ..choices import Choices, pieces
from .archives import check_tree, guarded, without_threads

TAIL_BYTES = 48
"""Enough for seven chunks."""
_USER = "AKIAIOSFODNN7EXAMPLE"


def tus_headers(data: bytes) -> None:
    """Headers are numbers and digests, or refused; ranges lie within their file."""
    choices = Choices(data)
    kind, size = choices.below(4), choices.below(1000)
    text = choices.rest().decode("latin-1")
    try:
        match kind:
            case 0:
                offset, _, checksum = text.partition("\n")
                head = PatchHead.decode({"upload-offset": offset, "upload-checksum": checksum})
                assert head.offset >= 0
                assert head.sha256 is None or len(head.sha256) == 32
                again = {name.lower(): value for name, value in head.encode().items()}
                assert PatchHead.decode(again) == head
            case 1:
                offset, _, length = text.partition("\n")
                state = TusState.decode({"upload-offset": offset, "upload-length": length})
                again = {name.lower(): value for name, value in state.encode().items()}
                assert TusState.decode(again) == state
            case 2:
                found = ContentRange.decode(text)
                assert 0 <= found.start < found.end <= found.size
                assert ContentRange.decode(found.encode()) == found
            case _:
                part = parse_range(text, size)
                assert part is None or 0 <= part.start < part.end <= part.size == size
    except RemoteProtocolError:
        pass


def tus(data: bytes) -> None:
    """The file is what was sent, each byte once and in its place, whatever is repeated or cut."""
    with without_threads():
        trio.run(_upload, Choices(data, TAIL_BYTES))


async def _upload(choices: Choices) -> None:
    size = choices.below(400)
    steps = [
        (choices.below(8), choices.below(400), choices.below(400)) for _ in range(choices.below(8))
    ]
    path, _, given = choices.rest().decode("latin-1").partition("\n")
    content = given.encode("latin-1")[:size].ljust(size, b".")
    with guarded() as base:
        folders = VFolders(base / "v", lasting=False, max_folders=5, max_bytes=1000)
        try:
            folder = folders.create(CreateVFolder(name="data"), _USER)
            root = folders.files_of(folder)
            uploads = TusUploads(folders)
            try:
                token = await uploads.begin(folder, path, size)
            except Refused:
                check_tree(root)
                return
            have = 0
            for kind, start, length in [*steps, (0, 0, size)]:
                have = await _send(uploads, token, content, have, (kind, start, length))
                assert uploads.state(token) == TusState(have, size)
                check_tree(root)
            found = [item for item in root.rglob("*") if item.is_file()]
            if have == size:
                assert [item.read_bytes() for item in found] == [content]
            else:
                assert found == []
        finally:
            folders.close()


async def _send(
    uploads: TusUploads, token: str, content: bytes, have: int, step: tuple[int, int, int]
) -> int:
    """Send a chunk in one of the ways in which clients may; the new position."""
    kind, start, length = step
    chunk = content[have : have + length]
    offset, digest = have, None
    match kind:
        case 1:  # at another place
            offset = start
        case 2 | 3:
            digest = hashlib.sha256(chunk).digest()
        case 4:  # damaged on its way
            digest = hashlib.sha256(b"?" + chunk).digest()
        case 5:  # more than announced
            chunk = content[have:] + b"more"
        case 6:  # cut off, with a checksum of all of it
            digest = hashlib.sha256(content[have : have + length + 1]).digest()
        case _:
            pass

    async def arriving() -> AsyncIterator[bytes]:
        for part in pieces(chunk, [start]):
            await trio.lowlevel.checkpoint()
            yield part

    headers = {"upload-offset": str(offset)}
    if digest is not None:
        headers["upload-checksum"] = f"sha256 {b64encode(digest).decode()}"
    try:
        state = await uploads.receive(token, PatchHead.decode(headers), arriving(), "")
    except Refused as exc:
        assert exc.problem.status in (400, 409, 413, 460), exc
        now = uploads.state(token).offset
        assert now >= have
        # What has arrived without a checksum counts.
        assert now == have or (kind == 5 and now <= len(content))
        return now
    assert offset == have or have == len(content)
    assert state.offset == min(have + len(chunk), len(content))
    return state.offset
