"""Local files of downloads, which get their names when all of them has arrived."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import trio

from ..errors import DownloadError
from ..files.pending import PendingFile

__all__ = ["not_written", "open_pending"]

_CLEANUP_SECONDS = 5.0
"""Limit for removing a temporary file: a disk on the network may not answer."""

run_sync = trio.to_thread.run_sync


@asynccontextmanager
async def open_pending(
    target: Path, *, overwrite: bool, modified: float = 0
) -> AsyncIterator[PendingFile]:
    """A file that gets its name when the block ends well; else nothing of it remains.

    Args:
        target: its name; its folder must exist.
        overwrite: whether a file of that name may be replaced. It keeps its permissions.
        modified: its time of modification, in seconds since 1970; 0 for now.

    Raises:
        DownloadError: there is a file of that name, or it cannot be written. Errors of the system
            within the block count as this one's.

    Cancellation:
        Nothing of it remains, unless the disk takes more than 5 s to remove it.
    """
    try:
        pending = await run_sync(partial(PendingFile, target, overwrite=overwrite, like_cp=True))
        try:
            yield pending
            await run_sync(partial(pending.complete, modified=modified))
        finally:
            with trio.move_on_after(_CLEANUP_SECONDS, shield=True):
                await run_sync(pending.discard, abandon_on_cancel=True)
    except OSError as exc:  # its own name would be that of the temporary file
        raise DownloadError(str(target), f"cannot be written: {exc.strerror}") from exc


def not_written(exc: OSError, path: Path) -> DownloadError:
    """The error for a local file or folder that cannot be written.

    Args:
        exc: what was raised.
        path: what was to be written, in case `exc` does not say.
    """
    return DownloadError(str(exc.filename or path), f"cannot be written: {exc.strerror}")
