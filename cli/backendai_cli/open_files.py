"""How many files and connections this process may have open."""

from __future__ import annotations

import sys

__all__ = ["raise_open_files"]

_MOST = 65536
"""Enough for all that a gateway's limits allow. Some machines allow a thousand million, and some
programs that inherit the limit close each descriptor below it."""


def raise_open_files() -> None:
    """Raise the soft limit, usually 1,024, as far as the hard limit allows: it is there for
    programs that use `select`."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST if hard == resource.RLIM_INFINITY else min(_MOST, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
