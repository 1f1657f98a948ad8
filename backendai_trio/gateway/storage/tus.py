"""Uploads in pieces, which go on where they stopped: the storage proxy's half of tus.

A piece is at its place for good when it has arrived whole, or, without a checksum, as far as it
came. The file gets its name in one step, when all of it is there.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import trio

from ...files.thread_writer import feed_in_thread
from ...wire.storage_proxy import CHECKSUM_MISMATCH, PatchHead, TusState
from ..refusals import Refused
from . import vfolder_files
from .index import Folder, PendingUpload
from .vfolders import VFolders

__all__ = ["TusUploads"]


@dataclass
class _Turn:
    """Who writes to an upload now."""

    lock: trio.Lock = field(default_factory=trio.Lock)
    scope: trio.CancelScope | None = None
    waiting: int = 0


class TusUploads:
    """The uploads of a gateway."""

    def __init__(self, folders: VFolders) -> None:
        self._folders = folders
        self._turns: dict[str, _Turn] = {}
        self._placing = trio.Lock()

    async def begin(self, folder: Folder, path: str, size: int) -> str:
        """Expect a file; the token for sending it.

        Raises:
            Refused: the path leads out or is a folder, or there is no room.
        """
        root = self._folders.files_of(folder)
        target = vfolder_files.inside(root, path)
        if target == root or target.is_dir():
            raise Refused(
                400, "vfolder-operation-failed", "It is a folder", f"{path!r} names no file"
            )
        self._folders.expire_uploads()
        room = await self._folders.room_in(folder, path)
        # A file that it replaces makes room.
        if room is not None and size > room + (target.stat().st_size if target.is_file() else 0):
            raise self._folders.full(folder)
        token = self._folders.index.begin_upload(folder.folder_id, path, size)
        if size == 0:
            # The official client sends nothing at all for an empty file, and says "Done."
            await self._complete(token, "")
        return token

    def state(self, token: str) -> TusState:
        """How far an upload has come. All of it may have, and still have no name: as with a storage
        proxy an (empty) piece gives it that."""
        upload = self._find(token)
        return TusState(upload.position, upload.size)

    async def _complete(self, token: str, folder_within: str) -> TusState:
        """Give an upload its name, if all of it is there."""
        upload = self._find(token)
        if upload.position == upload.size and not upload.placed:
            async with self._placing:  # a client that asks while another request does it waits
                upload = self._find(token)
                if not upload.placed:
                    await self._place(upload, folder_within)
        return TusState(upload.position, upload.size)

    async def receive(
        self, token: str, head: PatchHead, body: AsyncIterator[bytes], folder_within: str
    ) -> TusState:
        """Take a piece.

        Args:
            token: what `begin` gave.
            head: where the piece begins, and its digest.
            body: its bytes.
            folder_within: folder that the file's path is relative to (``dst_dir``).

        Raises:
            Refused: 404, no such upload; 409, the piece begins elsewhere; 460, it is damaged.
        """
        upload = self._find(token)
        vfolder_files.inside(self._root_of(upload), _join(folder_within, upload.path))
        turn = self._turns.setdefault(upload.key, _Turn())
        if turn.scope is not None:
            # A client that comes again has given the former connection up.
            turn.scope.cancel()
        turn.waiting += 1
        try:
            async with turn.lock:
                with trio.CancelScope() as turn.scope:
                    return await self._receive(token, head, body, folder_within)
        finally:
            turn.waiting -= 1
            if not turn.waiting:
                self._turns.pop(upload.key, None)
        raise Refused(409, "generic-bad-request", "Another request goes on with this upload")

    async def _receive(
        self, token: str, head: PatchHead, body: AsyncIterator[bytes], folder_within: str
    ) -> TusState:
        upload = self._find(token)
        if head.offset != upload.position:
            detail = f"the upload is at {upload.position}, the piece begins at {head.offset}"
            raise Refused(409, "generic-bad-request", "The piece does not fit", detail)
        # Nothing is written to one that has come whole: its file may have been given its name
        # before a former gateway was killed, and a new one would be given it instead.
        if upload.position < upload.size:
            with _writer(self._staged(upload), upload, head) as writer:
                try:
                    await writer.take(body)
                finally:
                    if writer.good != upload.position:
                        self._folders.index.advance(upload, writer.good)
        return await self._complete(token, folder_within)

    async def _place(self, upload: PendingUpload, folder_within: str) -> None:
        root, staged = self._root_of(upload), self._staged(upload)
        path = _join(folder_within, upload.path)

        def place() -> None:
            if not upload.size:
                staged.touch(0o644)
            # Without the file, its name was given before a former gateway was killed.
            if staged.exists():
                vfolder_files.place_upload(root, path, staged)

        await trio.to_thread.run_sync(place)
        self._folders.index.advance(upload, upload.size, placed=True)

    def _find(self, token: str) -> PendingUpload:
        upload = self._folders.index.upload(token)
        if upload is None:
            detail = "it has expired, or its folder was deleted; begin it anew"
            raise Refused(404, "generic-not-found", "No such upload", detail)
        return upload

    def _root_of(self, upload: PendingUpload) -> Path:
        return self._folders.staging_of(upload.folder_id).parent / "files"

    def _staged(self, upload: PendingUpload) -> Path:
        return self._folders.staging_of(upload.folder_id) / upload.key


@contextmanager
def _writer(path: Path, upload: PendingUpload, head: PatchHead) -> Iterator[_Writer]:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    try:
        yield _Writer(descriptor, upload, head)
    finally:
        os.close(descriptor)


class _Writer:
    """Writes a piece to its place.

    Attributes:
        good: up to where the file is right.
    """

    def __init__(self, descriptor: int, upload: PendingUpload, head: PatchHead) -> None:
        self.good = upload.position
        self._descriptor = descriptor
        self._position = upload.position
        self._size = upload.size
        self._expected = head.sha256
        self._digest = hashlib.sha256()

    async def take(self, body: AsyncIterator[bytes]) -> None:
        await feed_in_thread(body, self._write)
        if self._expected is not None and self._digest.digest() != self._expected:
            raise Refused(
                CHECKSUM_MISMATCH,
                "checksum-mismatch",
                "The piece was damaged on its way",
                "its SHA-256 differs; send it again",
            )
        # On the disk before anybody is told so.
        await trio.to_thread.run_sync(os.fdatasync, self._descriptor)
        self.good = self._position

    def _write(self, data: bytes) -> None:
        if self._position + len(data) > self._size:
            detail = f"the file was said to have {self._size:,} bytes"
            raise Refused(413, "invalid-api-params", "More bytes than were said", detail)
        view = memoryview(data)
        try:
            while view:
                written = os.pwrite(self._descriptor, view, self._position)
                self._position, view = self._position + written, view[written:]
        except OSError as exc:
            raise Refused(
                507, "storage-full", "The gateway cannot store the file", str(exc.strerror)
            ) from None
        if self._expected is None:
            self.good = self._position
        else:
            self._digest.update(data)


def _join(folder: str, path: str) -> str:
    folder = folder.strip("/")
    return f"{folder}/{path}" if folder and folder != "." else path
