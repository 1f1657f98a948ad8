"""Logs that are read again and again."""

from __future__ import annotations

__all__ = ["new_text"]

_OVERLAP = 4096
"""Characters by which the end of what was shown is found again in a log that lost its beginning."""


def new_text(before: str, now: str) -> str:
    """What was added to a log since it was last read. The server may have dropped its beginning.

    Args:
        before: the log as it was.
        now: the log as it is.
    """
    if now.startswith(before):
        return now[len(before) :]
    tail = before[-_OVERLAP:]
    at = now.rfind(tail)
    return now if at < 0 else now[at + len(tail) :]
