"""The standard streams of this process, made sure of before anything else."""

from __future__ import annotations

import io
import os
import sys
from typing import Any

__all__ = ["STANDARD_OUTPUT", "open_standard_streams"]

STANDARD_OUTPUT = "standard output"
"""`OSError.filename` of an error in writing to it."""


def open_standard_streams() -> None:
    """Open /dev/null in place of standard streams that are closed (`>&-`), and let errors of
    standard output name it.

    The next file that is opened would get the number of a closed stream, and what is printed would
    go into it.
    """
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is `fd`
    for fd, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(fd, mode, encoding="utf-8", closefd=False))
    if sys.platform != "win32":  # where a console has a stream of its own kind
        sys.stdout = _named(sys.stdout)


def _named(stdout: Any) -> io.TextIOWrapper:
    """The same stream, with errors that name it."""
    stdout.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(_Output(stdout.fileno(), "wb", closefd=False)),
        encoding=stdout.encoding,
        errors=stdout.errors,
        line_buffering=stdout.line_buffering,
        write_through=stdout.write_through,
    )


class _Output(io.FileIO):
    """Standard output. `OSError.filename` of its errors is `STANDARD_OUTPUT`."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as exc:
            exc.filename = STANDARD_OUTPUT
            raise
