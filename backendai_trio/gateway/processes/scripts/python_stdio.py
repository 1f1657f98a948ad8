"""Standard output and standard error of the Python interpreter (see `interpreter_main.py`)."""

from __future__ import annotations

import io
import sys

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
        self.out.buffer.other = self.err  # type: ignore[attr-defined]
        self.err.buffer.other = self.out  # type: ignore[attr-defined]

    @staticmethod
    def stream(fd: int, errors: str) -> io.TextIOWrapper:
        # 10 MB in lines of 80 bytes take 0.9 s this way, 1.5 s without a buffer (two writes for
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

    other: io.TextIOWrapper

    def write(self, data: Any, /) -> int:
        # FileIO may write a part (after a signal), which TextIOWrapper would not notice.
        if not self.other.closed:
            self.other.flush()
            wait_until_read(self.other.fileno())
        view = memoryview(data).cast("B")
        done = 0
        while done < len(view):
            done += super().write(view[done:]) or 0
        return done
