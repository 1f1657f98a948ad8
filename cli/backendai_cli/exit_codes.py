"""Exit codes of the commands.

`run` and `exec` pass the exit code of the program through. Our own codes are those of `docker run`
and `timeout`, so that they are not mistaken for the program's.
"""

from __future__ import annotations

import signal

__all__ = [
    "BROKEN_PIPE",
    "CASE_FAILED",
    "FAILED",
    "INTERRUPTED",
    "NOT_FOUND",
    "NO_INTERPRETER",
    "REFUSED",
    "SIGNALED",
    "TIMED_OUT",
    "cause_of",
]

_WANTED = ("SIGHUP", "SIGINT", "SIGPIPE", "SIGQUIT")
"""Signals that end a program because its user, or the reader of its output, wants so."""

CASE_FAILED = 1
"""A case of a sweep failed."""
TIMED_OUT = 124
"""The server ended the run because it took too long, or the time of --max-wait is over."""
FAILED = 125
"""Wrong usage, wrong settings, or no connection."""
REFUSED = 126
"""The server refused or failed."""
NOT_FOUND = 127
"""The server does not have the runtime. Managers tell it of code, too, for which their kernel has
no interpreter (docs/protocol.md, section 4.2)."""
NO_INTERPRETER = (
    f"The code has printed nothing, and its exit code is {NOT_FOUND}: kernels of managers tell "
    "this when their interpreter could not start. The log may say why: keep the kernel with "
    "-t NAME, and run 'backend.ai logs NAME'"
)
SIGNALED = 128
"""Plus the number of the signal that ended the command."""
INTERRUPTED = 130
BROKEN_PIPE = 141
"""The reader of standard output has closed it."""


def cause_of(code: int) -> str:
    """What killed a program, by its exit code; ``""`` if nothing did, or the user."""
    try:
        number = signal.Signals(code - SIGNALED)
    except ValueError:
        return ""
    if number.name in _WANTED:
        return ""
    hint = "; perhaps there was too little memory" if number.name == "SIGKILL" else ""
    return f"killed by {number.name} ({signal.strsignal(number)}){hint}"
