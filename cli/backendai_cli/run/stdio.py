"""What the user's standard streams are, so that those of a program can be of the same kinds."""

from __future__ import annotations

import os

from backendai_trio.kernels import Stdio

from ..keyboard import window_size_at

__all__ = ["terminal_fds", "user_stdio"]

_STDIN, _STDOUT, _STDERR = range(3)


def terminal_fds() -> list[int]:
    """The standard streams that are a terminal."""
    return [fd for fd in (_STDIN, _STDOUT, _STDERR) if os.isatty(fd)]


def user_stdio() -> Stdio:
    """The kinds of the user's standard streams, and the size of the terminal among them.

    Streams of one terminal or of one file (``2>&1``) are one stream for the program as well: so its
    output keeps its order.
    """
    terminals = terminal_fds()
    same = _are_same(_STDOUT, _STDERR)
    stderr_is_terminal = _STDERR in terminals and (same or _STDOUT not in terminals)
    return Stdio(
        stdin="terminal" if _STDIN in terminals else "pipe",
        stdout="terminal" if _STDOUT in terminals else "pipe",
        stderr="terminal" if stderr_is_terminal else "stdout" if same else "pipe",
        size=window_size_at(terminals[-1]) if terminals else None,
    )


def _are_same(fd: int, other: int) -> bool:
    try:
        return os.path.sameopenfile(fd, other)
    except OSError:  # closed
        return False
