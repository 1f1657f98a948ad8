"""What a machine lacks: memory, processes, open files, room on its disk."""

from __future__ import annotations

import errno
from collections.abc import Iterator

__all__ = ["shortage_of"]

_MEMORY = "out of memory; end other programs, or raise the limit (of the container, ulimit -v)"
_PROCESSES = (
    "no more processes or threads can be started; end some, or raise the limit (of the container, "
    "ulimit -u)"
)
_FILES = "too many open files; raise the limit (ulimit -n)"
_ROOM = "No space left on device; remove files, or give the gateway another folder (TMPDIR, --data)"
_QUOTA = "Disk quota exceeded; remove files, or give the gateway another folder (TMPDIR, --data)"
_READ_ONLY = "Read-only file system; give the gateway another folder (TMPDIR, --data)"
_BY_NUMBER = {
    errno.ENOMEM: _MEMORY,
    errno.EAGAIN: _PROCESSES,
    errno.EMFILE: _FILES,
    errno.ENFILE: _FILES,
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _QUOTA,
    errno.EROFS: _READ_ONLY,
}


def shortage_of(error: BaseException) -> str:
    """What the machine lacks, and what to do about it.

    Args:
        error: an error of this process, or a group of errors.

    Returns:
        A text in one line; ``""`` if the error is of another kind.
    """
    for inner in _leaves(error):
        if isinstance(inner, MemoryError):
            return _MEMORY
        if isinstance(inner, RuntimeError) and "can't start new thread" in str(inner):
            return _PROCESSES
        if isinstance(inner, OSError) and inner.errno in _BY_NUMBER:
            return _BY_NUMBER[inner.errno]
    return ""


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error
