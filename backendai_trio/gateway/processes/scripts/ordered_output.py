"""One of two descriptors whose output keeps its order (see `interpreter_main.py`)."""

from __future__ import annotations

import io
from fcntl import ioctl
from termios import FIONREAD

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .interpreter_control import wait_until_read
else:
    from interpreter_control import wait_until_read


class OrderedOutput(io.FileIO):
    """A descriptor that is written when the gateway has read all output of the other one."""

    flush_other: Callable[[], None]
    """Flushes the stream whose output comes first."""

    def __init__(self, fd: int, other_fd: int) -> None:
        super().__init__(fd, "w", closefd=False)
        self.other_fd = other_fd
        self.unread = bytearray(4)
        self.unread_bytes = memoryview(self.unread).cast("i")

    def write(self, data: Any, /) -> int:
        # It is called for each line: a microsecond here is a third of a second of 300,000 prints.
        try:
            self.flush_other()
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
