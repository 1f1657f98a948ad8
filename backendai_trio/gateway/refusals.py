"""How any part of the gateway refuses a request."""

from __future__ import annotations

import errno

from ..wire.http import Problem
from .shortages import shortage_of

__all__ = ["Refused", "refusal_of"]

_DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class Refused(Exception):
    """A request is answered with an error.

    Attributes:
        problem: the body of the answer (docs/protocol.md, section 10).
    """

    def __init__(self, status: int, kind: str, title: str, detail: str = "") -> None:
        super().__init__(title)
        self.problem = Problem(status, kind, title, detail)


def refusal_of(error: OSError | MemoryError | RuntimeError, name: str = "") -> Refused:
    """The answer to a request that failed because of the gateway's disk, or its machine.

    Args:
        error: what the operating system has reported.
        name: the file's name for the client; default: none is mentioned, since the names in `error`
            are the gateway's own.
    """
    reported = error.strerror if isinstance(error, OSError) else ""
    reason = shortage_of(error) or reported or type(error).__name__
    detail = f"{name!r}: {reason}" if name else reason
    if isinstance(error, OSError) and error.errno in _DISK_FULL:
        return Refused(507, "storage-full", "The gateway's disk is full", detail)
    return Refused(500, "internal-server-error", "The gateway failed", detail)
