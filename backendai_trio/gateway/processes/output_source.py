"""Reading a program's output from a pipe or a terminal."""

from __future__ import annotations

import fcntl
import os
import termios
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = ["BURST_BYTES", "READ_BYTES", "OutputSource", "Sink"]

Sink: TypeAlias = Callable[[Literal["stdout", "stderr"], bytes], Awaitable[None]]
"""Takes raw output of a program. While it blocks, the program blocks, so memory use stays flat. It
is never called twice at a time."""

#: The most bytes of one system call (the capacity of a pipe), and of one `OutputSource.read`.
CALL_BYTES, READ_BYTES = 64 * 1024, 256 * 1024

#: A read from a terminal returns 4 KiB at most. After a read of more than this, more output is
#: likely to follow at once: a burst.
BURST_BYTES = 2 * 1024

#: How often to check, in a burst, whether the next 4 KiB are there. A kernel thread of Linux copies
#: them, 5 to 20 us for each, and a read (or poll) that comes too early sleeps until that thread is
#: done: 60 us to 1 ms, mostly spent on waking up. Checking again and again, 1 us each time, makes
#: reading three to ten times as fast. The longer a burst, the more checks are worth their time.
BYTES_PER_CHECK, MAX_CHECKS = 64, 200


@dataclass
class OutputSource:
    """The gateway's end of a pipe or terminal that a program writes to."""

    name: Literal["stdout", "stderr"]
    fd: int
    is_terminal: bool = False
    burst: int = 0
    """Bytes of the current burst of a terminal; 0 outside of a burst. In a burst the next read is
    tried at once, and may return nothing."""

    def read(self) -> bytes | None:
        """Available output, up to READ_BYTES; b"" if there is none, None at end of file.

        In a burst, output that follows within a few milliseconds is included.
        """
        parts: list[bytes] = []
        size = 0
        while size < READ_BYTES:
            if self.burst:
                self._wait_briefly()
            try:
                part = os.read(self.fd, min(CALL_BYTES, READ_BYTES - size))
            except BlockingIOError:
                self.burst = 0
                break
            if not part:
                return b"".join(parts) if parts else None
            parts.append(part)
            size += len(part)
            if self.is_terminal:
                if len(part) <= BURST_BYTES:
                    self.burst = 0
                    break
                self.burst += len(part)
        return b"".join(parts)

    def _wait_briefly(self) -> None:
        """Check repeatedly for output, without sleeping."""
        unread = bytearray(4)
        for _ in range(min(self.burst // BYTES_PER_CHECK, MAX_CHECKS)):
            fcntl.ioctl(self.fd, termios.FIONREAD, unread)
            if any(unread):
                return
            os.sched_yield()  # the kernel's thread may have to run on this CPU
