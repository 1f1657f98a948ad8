"""Copies of virtual folders. Kernels may change the source at any moment."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Generator
from pathlib import Path

import trio

from .folder_refusals import no_room
from .held_folders import open_in
from .held_trees import is_left_out, walk_held
from .vfolder_files import measure

__all__ = ["copy_folder", "copy_steps", "sync_file_system"]

_CHUNK_BYTES = 1024 * 1024
_SLICE_SECONDS = 0.1
"""How long a thread copies before the task is asked whether it was cancelled."""


async def copy_folder(source: Path, target: Path, *, room_bytes: int | None) -> None:
    """Copy the content of a folder; links stay links, devices are left out.

    Args:
        source: the folder.
        target: an empty folder that nobody else knows.
        room_bytes: how many bytes may be copied; None for no limit.

    Raises:
        Refused: 412, there is less room.
        OSError: the disk is full, or fails.

    Cancellation: takes effect in a moment; a part of the content has been copied then.
    """
    if room_bytes is not None:
        # What does not fit is refused before anything is copied.
        _, size = await trio.to_thread.run_sync(measure, source, abandon_on_cancel=True)
        _check_room(size, room_bytes)
    steps = copy_steps(source, target, room_bytes)
    try:
        while await trio.to_thread.run_sync(_work, steps):
            pass
    finally:
        steps.close()


def copy_steps(
    source: Path, target: Path, room_bytes: int | None = None
) -> Generator[None, None, None]:
    """Do the same in small steps, each of which blocks.

    A file is copied as long as it was when it was opened, and at most `room_bytes` are copied of
    all, whatever is added to the source meanwhile.
    """
    copied = 0
    source = source.resolve()
    for found in walk_held(source, [source]):
        if not found.inner:
            continue  # the folder itself
        yield
        copy = target / found.inner
        if found.is_folder:
            copy.mkdir()
            continue
        try:
            if found.is_link:
                link = os.readlink(found.name, dir_fd=found.folder)
            else:
                file, state = open_in(found.folder, found.name)
        except OSError as exc:
            if not is_left_out(exc):
                raise
            continue  # a device, or has changed meanwhile
        if found.is_link:
            copy.symlink_to(link)
            continue
        with file, copy.open("xb") as written:
            left = state.st_size
            while left > 0 and (data := file.read(min(_CHUNK_BYTES, left))):
                left -= len(data)
                copied += len(data)
                _check_room(copied, room_bytes)
                written.write(data)
                yield
            os.fchmod(written.fileno(), stat.S_IMODE(state.st_mode) & 0o777)


def sync_file_system(folder: Path) -> None:
    """Wait until a copy is on the disk, with all else of its file system.

    To wait for each file would take much longer.

    Raises:
        OSError: the disk fails.
    """
    import ctypes  # imported here, since few gateways ever copy a folder

    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(opened) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), str(folder))
    finally:
        os.close(opened)


def _work(steps: Generator[None, None, None]) -> bool:
    """Go on for a moment; returns whether more is to be done."""
    end = time.monotonic() + _SLICE_SECONDS
    return any(time.monotonic() >= end for _ in steps)


def _check_room(size: int, room_bytes: int | None) -> None:
    if room_bytes is not None and size > room_bytes:
        raise no_room(room_bytes, "the copy")
