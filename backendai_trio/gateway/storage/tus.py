"""Resumable uploads: the storage proxy's side of tus.

A chunk counts when it has arrived completely and matches its checksum; a chunk without a checksum
counts as far as it has arrived. The file gets its name in one step, when it is complete.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import trio

from ...config.user_dirs import sync_folder
from ...files.thread_writer import feed_in_thread, file_threads
from ...wire.storage_proxy import CHECKSUM_MISMATCH, PatchHead, TusState
from ..cleanup import clean_up_in_thread
from ..refusals import Refused, refusal_of
from . import vfolder_files
from .folder_refusals import no_room
from .index import Folder
from .upload_index import PendingUpload
from .vfolders import VFolders

__all__ = ["TusUploads"]

SYNC_SECONDS = 60.0
_LEAST_SYNC_SECONDS = 1.0
"""How long a chunk may take to get to the disk; a client that has gone does not end this wait."""


@dataclass
class _Writers:
    """The request that writes to an upload, and those that wait for it."""

    lock: trio.Lock = field(default_factory=trio.Lock)
    scope: trio.CancelScope | None = None
    waiting: int = 0


class TusUploads:
    """The unfinished uploads of a gateway."""

    def __init__(self, folders: VFolders) -> None:
        self._folders = folders
        self._writers: dict[str, _Writers] = {}
        self._placing = trio.Lock()

    async def begin(self, folder: Folder, path: str, size: int) -> str:
        """Begin an upload.

        Args:
            folder: the folder to upload into.
            path: the file's path in it.
            size: the file's size in bytes.

        Returns:
            The token for sending the file.

        Raises:
            Refused: the path leads out of the folder or names a folder, or there is not enough
                room.
        """
        root = self._folders.files_of(folder)
        target = vfolder_files.inside(root, path)
        if target == root or target.is_dir():
            raise Refused(
                400, "vfolder-operation-failed", "It is a folder", f"{path!r} names no file"
            )
        room = await self._folders.room_in(folder, path)
        # The file that it replaces makes room.
        if room is not None and size > room + (target.stat().st_size if target.is_file() else 0):
            raise no_room(self._folders.quota_of(folder), folder.name)
        token = self._folders.index.uploads.begin(folder.folder_id, path, size)
        if size == 0:
            # The official client sends no request for an empty file, and reports success.
            await self._complete(token, "")
        return token

    def state(self, token: str) -> TusState:
        """The state of an upload.

        It may be complete and have no name yet: like with a storage proxy, an (empty) chunk gives
        it its name.
        """
        upload = self._find(token)
        return TusState(upload.position, upload.size)

    async def _complete(self, token: str, folder_within: str) -> TusState:
        """Give an upload its name, if it is complete."""
        upload = self._find(token)
        if upload.position == upload.size and not upload.placed:
            async with self._placing:  # a second request waits until the first has done it
                upload = self._find(token)
                if not upload.placed:
                    await self._place(upload, folder_within)
        return TusState(upload.position, upload.size)

    async def receive(
        self, token: str, head: PatchHead, body: AsyncIterator[bytes], folder_within: str
    ) -> TusState:
        """Receive a chunk.

        Args:
            token: the upload's token, from `begin`.
            head: the chunk's offset and digest.
            body: its bytes.
            folder_within: folder that the file's path is relative to (``dst_dir``).

        Returns:
            The upload's new state.

        Raises:
            Refused: 404, there is no such upload; 409, the chunk has another offset than the
                upload, or another request has taken over; 460, the checksum does not match; 507,
                the disk is full.
        """
        upload = self._find(token)
        vfolder_files.inside(self._root_of(upload), _join(folder_within, upload.path))
        writers = self._writers.setdefault(upload.key, _Writers())
        if writers.scope is not None:
            # A client that sends again has given up its former connection.
            writers.scope.cancel()
        writers.waiting += 1
        try:
            async with writers.lock:
                with trio.CancelScope() as writers.scope:
                    return await self._receive(token, head, body, folder_within)
        finally:
            writers.waiting -= 1
            if not writers.waiting:
                self._writers.pop(upload.key, None)
        raise Refused(409, "generic-bad-request", "Another request continues this upload")

    async def _receive(
        self, token: str, head: PatchHead, body: AsyncIterator[bytes], folder_within: str
    ) -> TusState:
        upload = self._find(token)
        if head.offset != upload.position:
            detail = f"the upload is at {upload.position}, the chunk begins at {head.offset}"
            raise Refused(409, "generic-bad-request", "The offset does not match", detail)
        # Nothing is written to a complete upload: a gateway that was killed may have given the file
        # its name already, and a new file would replace it.
        if upload.position < upload.size:
            with _writer(self._staged(upload), upload, head) as writer:
                try:
                    await writer.receive(body)
                finally:
                    # On the disk before anyone is told that it is.
                    is_new = writer.good != upload.position
                    if is_new and await _synced(writer):  # noqa: ASYNC102 (bounded there)
                        self._folders.index.uploads.advance(upload, writer.good)
        return await self._complete(token, folder_within)

    async def _place(self, upload: PendingUpload, folder_within: str) -> None:
        root, staged = self._root_of(upload), self._staged(upload)
        path = _join(folder_within, upload.path)

        def place() -> None:
            if not upload.size:
                staged.touch(0o644)
            # If it is missing, a gateway that was killed has given it its name.
            if staged.exists():
                vfolder_files.place_upload(root, path, staged)

        await trio.to_thread.run_sync(place)
        self._folders.index.uploads.advance(upload, upload.size, placed=True)

    def _find(self, token: str) -> PendingUpload:
        upload = self._folders.index.uploads.find(token)
        if upload is None:
            detail = "it has expired, or its folder was deleted; start it again"
            raise Refused(404, "generic-not-found", "No such upload", detail)
        if upload.position == upload.size:
            return upload  # it may have its name already
        # A disk that has lost the end of the file: the client sends it again.
        stored = _size_of(self._staged(upload))
        return replace(upload, position=min(upload.position, stored))

    def _root_of(self, upload: PendingUpload) -> Path:
        return self._folders.disk.files_of(upload.folder_id)

    def _staged(self, upload: PendingUpload) -> Path:
        return self._folders.disk.staging_of(upload.folder_id) / upload.key


@contextmanager
def _writer(path: Path, upload: PendingUpload, head: PatchHead) -> Iterator[_Writer]:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    try:
        yield _Writer(descriptor, path, upload, head)
    finally:
        os.close(descriptor)


async def _synced(writer: _Writer) -> bool:
    """Whether what was written is on the disk; the disk may be too slow for that."""
    with trio.move_on_after(SYNC_SECONDS, shield=True) as scope:
        async with file_threads():
            # Its own shield hides the limit around it.
            left = max(scope.deadline - trio.current_time(), _LEAST_SYNC_SECONDS)
            return await clean_up_in_thread(writer.sync, seconds=left)
    return False


class _Writer:
    """Writes a chunk to an upload's file.

    Attributes:
        good: the file is correct up to this position.
    """

    def __init__(self, descriptor: int, path: Path, upload: PendingUpload, head: PatchHead) -> None:
        self.good = upload.position
        self._path = path
        self._is_first = upload.position == 0
        self._descriptor = descriptor
        self._position = upload.position
        self._size = upload.size
        self._expected = head.sha256
        self._digest = hashlib.sha256()

    async def receive(self, body: AsyncIterator[bytes]) -> None:
        await feed_in_thread(body, self._write)
        if self._expected is not None and self._digest.digest() != self._expected:
            raise Refused(
                CHECKSUM_MISMATCH,
                "checksum-mismatch",
                "The chunk was damaged in transit",
                "its SHA-256 differs; send it again",
            )
        self.good = self._position

    def sync(self) -> None:
        """Wait until the chunk is on the disk, and the name of the upload's file."""
        os.fdatasync(self._descriptor)
        if self._is_first:
            sync_folder(self._path.parent)

    def _write(self, data: bytes) -> None:
        if self._position + len(data) > self._size:
            detail = f"the upload was begun with a size of {self._size:,} bytes"
            raise Refused(413, "invalid-api-params", "More bytes than announced", detail)
        view = memoryview(data)
        try:
            while view:
                written = os.pwrite(self._descriptor, view, self._position)
                self._position, view = self._position + written, view[written:]
        except OSError as exc:
            raise refusal_of(exc) from None
        if self._expected is None:
            self.good = self._position
        else:
            self._digest.update(data)


def _size_of(path: Path) -> int:
    try:
        return path.lstat().st_size
    except FileNotFoundError:
        return 0


def _join(folder: str, path: str) -> str:
    folder = folder.strip("/")
    return f"{folder}/{path}" if folder and folder != "." else path
