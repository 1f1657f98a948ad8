"""The standard streams of this process, made sure of before anything else.

Any of them can be non-blocking: other processes share the terminal or pipe, and Node.js and OpenSSH
make theirs so. It stays so, and what reads or writes here waits for it.
"""

from __future__ import annotations

import io
import os
import sys
from typing import Any

__all__ = ["STANDARD_OUTPUT", "open_standard_streams", "read_some", "write_some"]

STANDARD_OUTPUT = "standard output"
"""`OSError.filename` of an error in writing to it."""
_READ_BYTES = 1024 * 1024


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
        sys.stdin = _text(sys.stdin, io.BufferedReader(_Stream(0, "rb", closefd=False)))
        sys.stdout = _text(sys.stdout, io.BufferedWriter(_Output(1, "wb", closefd=False)))
        sys.stderr = _text(sys.stderr, io.BufferedWriter(_Stream(2, "wb", closefd=False)))


def read_some(fd: int, size: int) -> bytes:
    """At least a byte of a standard stream, or ``b""`` at its end. Blocks."""
    while True:
        try:
            return os.read(fd, size)
        except BlockingIOError:
            _wait([fd], [])


def write_some(fd: int, data: bytes | memoryview) -> int:
    """Write to a standard stream; returns how many bytes, at least one. Blocks."""
    while True:
        try:
            return os.write(fd, data)
        except BlockingIOError:
            _wait([], [fd])


def _wait(readable: list[int], writable: list[int]) -> None:
    import select

    select.select(readable, writable, [])


def _text(stream: Any, buffer: Any) -> io.TextIOWrapper:
    """A stream of text as this one, on another buffer."""
    if stream.writable():
        stream.flush()
    return io.TextIOWrapper(
        buffer,
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


class _Stream(io.FileIO):
    """A standard stream, which waits also where it is non-blocking."""

    def readinto(self, buffer: Any) -> int:
        data = read_some(self.fileno(), len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def readall(self) -> bytes:
        return b"".join(iter(lambda: read_some(self.fileno(), _READ_BYTES), b""))

    def write(self, data: Any) -> int:
        return write_some(self.fileno(), data)


class _Output(_Stream):
    """Standard output. `OSError.filename` of its errors is `STANDARD_OUTPUT`."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as exc:
            exc.filename = STANDARD_OUTPUT
            raise
