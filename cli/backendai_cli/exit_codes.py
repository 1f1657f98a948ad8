"""Exit codes of the commands.

`run` and `exec` pass the exit code of the program through. Our own codes are those of `docker run`
and `timeout`, so that they are not mistaken for the program's.
"""

from __future__ import annotations

__all__ = [
    "BROKEN_PIPE",
    "CASE_FAILED",
    "FAILED",
    "INTERRUPTED",
    "NOT_FOUND",
    "REFUSED",
    "SIGNALED",
    "TIMED_OUT",
]

CASE_FAILED = 1
"""A case of a sweep failed."""
TIMED_OUT = 124
"""The server ended the run because it took too long, or the time of --max-wait is over."""
FAILED = 125
"""Wrong usage, wrong settings, or no connection."""
REFUSED = 126
"""The server refused or failed."""
NOT_FOUND = 127
"""The server does not have the runtime."""
SIGNALED = 128
"""Plus the number of the signal that ended the command."""
INTERRUPTED = 130
BROKEN_PIPE = 141
"""The reader of standard output has closed it."""
