"""Standard output and standard error of the Python interpreter (see `interpreter_main.py`)."""

from __future__ import annotations

import io
import sys
from fcntl import ioctl
from termios import FIONREAD

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .interpreter_control import wait_until_read
else:
    from interpreter_control import wait_until_read


class Stdio:
    """sys.stdout and sys.stderr: line buffered, and in the order in which they are written."""

    def __init__(self) -> None:
        self.out = self.stream(1, "surrogateescape")
        self.err = self.stream(2, "backslashreplace")
        self.out.buffer.attach(self.err)  # type: ignore[attr-defined]
        self.err.buffer.attach(self.out)  # type: ignore[attr-defined]

    @staticmethod
    def stream(fd: int, errors: str) -> io.TextIOWrapper:
        # 10 MB in lines of 80 bytes take 0.6 s this way, 1.5 s without a buffer (two writes for
        # each print), and 0.45 s with a block buffer, which shows a loop's output only at its end.
        stream: Any = io.TextIOWrapper(
            OrderedOutput(fd, "w", closefd=False),
            encoding="utf-8",
            errors=errors,
            newline="\n",
            line_buffering=True,
        )
        stream.mode = "w"
        wrapper: io.TextIOWrapper = stream
        return wrapper

    def flush(self) -> None:
        """Flush all buffers, including those of C libraries."""
        for stream in (sys.stdout, sys.stderr, self.out, self.err):
            try:
                stream.flush()
            except Exception:  # noqa: S110 (the user may have put anything there)
                pass
        # Only extension modules can have output in C's buffers, and nearly all of them (numpy,
        # torch, ...) import ctypes. Importing it always would cost 4 ms a run.
        if "ctypes" in sys.modules:
            sys.modules["ctypes"].CDLL(None).fflush(None)


class OrderedOutput(io.FileIO):
    """A descriptor that is written when the gateway has read all output of the other one."""

    def attach(self, other: io.TextIOWrapper) -> None:
        """Set the stream whose output comes first."""
        self.other = other
        self.other_fd = other.fileno()
        self.unread = bytearray(4)
        self.unread_bytes = memoryview(self.unread).cast("i")

    def write(self, data: Any, /) -> int:
        # It is called for each line: a microsecond here is a third of a second of 300,000 prints.
        try:
            self.other.flush()
            ioctl(self.other_fd, FIONREAD, self.unread)
            if self.unread_bytes[0]:
                wait_until_read(self.other_fd)
        except (OSError, ValueError):
            pass  # the other one is closed, or redirected to something other than a pipe
        done = write_part(self, data)
        # FileIO may write a part (after a signal), which TextIOWrapper would not notice.
        return done if done == len(data) else self.write_rest(data, done or 0)

    def write_rest(self, data: Any, done: int) -> int:
        view = memoryview(data).cast("B")
        while done < len(view):
            done += write_part(self, view[done:]) or 0
        return done


write_part = io.FileIO.write
