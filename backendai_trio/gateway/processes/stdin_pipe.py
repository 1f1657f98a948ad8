"""A program's standard input as a pipe, as after ``< file`` in a shell.

It has the methods of `PseudoTerminal` that are about input.
"""

from __future__ import annotations

import os
import select
from collections.abc import Iterator
from contextlib import contextmanager

import trio

from .pty import FIRST_RETRY_SECONDS, MAX_RETRY_SECONDS
from .stdin_wait import link_of, waits_for_input

__all__ = ["StdinPipe"]


class StdinPipe:
    """Both ends of a pipe.

    Attributes:
        read_end: the program's end. It stays open here as well, so that a program that closes its
            input fails no write.
    """

    def __init__(self, read_end: int, write_end: int) -> None:
        self.read_end = read_end
        self._write_end: int | None = write_end
        self._name = link_of(os.getpid(), read_end)
        self._unread = select.poll()
        self._unread.register(read_end, select.POLLIN)

    @classmethod
    @contextmanager
    def open(cls) -> Iterator[StdinPipe]:
        """A new pipe, closed at the end of the block."""
        read_end, write_end = os.pipe()
        os.set_blocking(write_end, False)
        pipe = cls(read_end, write_end)
        try:
            yield pipe
        finally:
            pipe._close_write_end()
            os.close(read_end)

    def has_unread_input(self) -> bool:
        """Whether the program can read on without waiting: input, or its end."""
        return bool(self._unread.poll(0))

    def hides_input(self) -> bool:
        """Whether the program asks for a password, which only a terminal can tell."""
        return False

    def is_awaited_by(self, pid: int) -> bool:
        """Whether `pid`, or a process below it, sleeps until input arrives here.

        For the order of the checks, see `PseudoTerminal.is_awaited_by`. A program that waits for a
        pipe with a time-out wants what is in it: `pv`, say, shows its progress meanwhile.
        """
        return not self.has_unread_input() and waits_for_input(pid, self._name, with_timeout=True)

    async def write(self, data: bytes | None) -> None:
        """Write input, or end it for None; input after its end is dropped.

        Returns when all of it is in the pipe; the program may not have read it yet.

        Cancellation: a part of the input may have been written.
        """
        if data is None:
            self._close_write_end()
        rest = memoryview(data or b"")
        delay = FIRST_RETRY_SECONDS
        while rest and self._write_end is not None:
            sent = self.write_nowait(rest)
            rest = rest[sent:]
            if sent:
                delay = FIRST_RETRY_SECONDS
            else:
                # Not `wait_writable`: nothing would wake it when the pipe is closed here.
                await trio.sleep(delay)
                delay = min(delay * 1.5, MAX_RETRY_SECONDS)
        await trio.lowlevel.checkpoint()

    def write_nowait(self, data: bytes | memoryview) -> int:
        """Write as much as there is room for; returns how many bytes."""
        if self._write_end is None:
            return len(data)
        try:
            return os.write(self._write_end, data)
        except BlockingIOError:
            return 0

    def _close_write_end(self) -> None:
        end, self._write_end = self._write_end, None
        if end is not None:
            os.close(end)
