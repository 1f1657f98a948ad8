"""Removes what is left of virtual folders on the disk: of deleted ones, of uploads that nobody goes
on with, and of copies and forms whose gateway was killed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from functools import partial

import trio

from .folder_disk import FolderDisk
from .vfolders import VFolders

__all__ = ["keep_swept", "sweep"]

UPLOAD_EXPIRES = timedelta(days=1)
"""An upload that was not continued for this long is removed, and so is a form that has not arrived
for so long."""
COPY_BEGINS = timedelta(minutes=1)
"""Within this time of its beginning, a gateway locks its copy."""

_log = logging.getLogger("backendai_trio.gateway")


async def keep_swept(folders: VFolders, *, every_seconds: float) -> None:
    """Sweep now and then, until cancelled.

    Args:
        folders: the virtual folders of a gateway.
        every_seconds: time between two sweeps.

    Cancellation: as `sweep`.
    """
    while True:
        try:
            await sweep(folders)
        except Exception:  # such as a full disk: the gateway goes on, and the next sweep may work
            _log.exception("what is left of virtual folders cannot be removed")
        await trio.sleep(every_seconds)


async def sweep(folders: VFolders, *, copy_begins: timedelta = COPY_BEGINS) -> None:
    """Remove what nobody needs any more.

    Args:
        folders: the virtual folders of a gateway; other gateways may share them.
        copy_begins: copies that were begun within this time stay in any case.

    Raises:
        GatewayError: the index cannot be opened.
        OSError: the folders cannot be listed. What cannot be removed is logged.
        sqlite3.Error: so does the index.

    Cancellation: takes effect at once; a thread may go on to remove for a while.
    """
    await trio.lowlevel.checkpoint()
    if not folders.is_used:
        return
    index, disk, now = folders.index, folders.disk, datetime.now(UTC)
    uploads = index.uploads.expire(now - UPLOAD_EXPIRES)
    unlocked = {i for i in index.ownerless(now - copy_begins) if not disk.is_being_copied(i)}
    # A copy that has become complete meanwhile was locked until then.
    gone = unlocked.intersection(index.ownerless(now - copy_begins))
    remove = partial(_remove, disk, gone, uploads, index.ids(), now - UPLOAD_EXPIRES)
    await trio.to_thread.run_sync(remove, abandon_on_cancel=True)
    on_disk = await trio.to_thread.run_sync(disk.ids)
    for folder_id in gone:
        if folder_id not in on_disk:
            index.remove_ownerless(folder_id)


def _remove(
    disk: FolderDisk,
    gone: Iterable[str],
    uploads: Iterable[tuple[str, str]],
    known: Iterable[str],
    before: datetime,
) -> None:
    removals: list[Callable[[], object]] = [
        *(partial(disk.remove_upload, folder_id, key) for folder_id, key in uploads),
        *(partial(disk.remove, folder_id) for folder_id in gone),
        partial(disk.remove_forms, known, before),
    ]
    for removal in removals:
        try:
            removal()
        except OSError:  # of one of them; the others need not stay for it
            _log.exception("what is left of virtual folders cannot be removed")
