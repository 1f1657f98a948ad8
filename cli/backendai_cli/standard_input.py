"""Standard input: what a program is sent, and between it what the terminal answers."""

from __future__ import annotations

import math
import os
import re
import sys
from collections import deque
from collections.abc import Awaitable, Callable

import trio

from .keyboard import is_terminal

__all__ = ["Stdin"]

_READ_BYTES = 65536
_ANSWER = re.compile(rb"\x1b\[\?([0-9;]*)c")
"""The answer to `Stdin.ask`: Primary Device Attributes (DA1), which no key sends."""
_BEGUN = re.compile(rb"\x1b(\[(\?[0-9;]{0,100})?)?\Z")
_LATE_SECONDS = 10.0
"""How long an answer is still recognised that did not come in time."""


class Stdin:
    """Standard input, read only on demand.

    A read can be cancelled and leaves nothing behind: no thread stays in it, and the terminal is
    never made non-blocking, which the parent shell would inherit.

    Where the terminal may be asked, all who read share one object: `ask` interrupts a `read`, which
    goes on afterwards.
    """

    def __init__(self, fd: int = 0, *, rest_seconds: float = 0.05) -> None:
        """
        Args:
            fd: descriptor of the input.
            rest_seconds: how long the rest of a late answer may take; Escape, a key, begins like
                one, and `read` holds it back for that time.
        """
        self._fd = fd
        self._rest_seconds = rest_seconds
        self._reading = trio.Lock()
        self._wait = trio.CancelScope()
        self._is_asking = False
        self._late_until = -math.inf
        self._unread = b""  # may have an answer in it
        self._kept: deque[bytes] = deque()  # has none; b"" is an end of input

    @property
    def is_terminal(self) -> bool:
        """Whether a person types."""
        return is_terminal(self._fd)

    @property
    def has_unread(self) -> bool:
        """Whether a pipe or a file has input that nobody has read; False if that cannot be told."""
        if sys.platform == "win32" or self.is_terminal:
            return False
        import fcntl
        import stat
        import termios

        try:
            state = os.fstat(self._fd)
            if stat.S_ISREG(state.st_mode):
                return os.lseek(self._fd, 0, os.SEEK_CUR) < state.st_size
            unread = fcntl.ioctl(self._fd, termios.FIONREAD, bytes(4))
        except OSError:  # closed, or a device such as /dev/null
            return False
        return int.from_bytes(unread, sys.byteorder) > 0

    @property
    def may_go_on(self) -> bool:
        """Whether it is a pipe that somebody may still write to; False if that cannot be told."""
        if sys.platform == "win32":
            return False
        import select
        import stat

        try:
            mode = os.fstat(self._fd).st_mode
        except OSError:  # closed
            return False
        if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
            return False
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        return not any(event & select.POLLHUP for _, event in poll.poll(0))

    def is_same_as(self, fd: int) -> bool:
        """Whether another descriptor leads to the same terminal or file."""
        try:
            return os.path.sameopenfile(self._fd, fd)
        except OSError:  # closed
            return False

    async def read(self) -> bytes:
        """Wait for input; at least a byte, or ``b""`` at its end."""
        while True:
            async with self._reading:
                if not self._is_asking:
                    with trio.CancelScope() as self._wait:
                        return await self._read()

    async def ask(
        self, question: Callable[[], Awaitable[None]], seconds: float, *, end: bytes
    ) -> bytes | None:
        """Ask the terminal for its device attributes, in a mode that passes on each byte at once.

        Other bytes that come meanwhile are input, for the next `read`. So are those of an answer
        that comes too late, except that `read` drops that.

        Args:
            question: writes the question.
            seconds: how long to wait for the answer.
            end: the key that ends input in the mode of `read`; ``b""`` for none.

        Returns:
            The attributes, separated by semicolons; None if no answer came in time.
        """
        self._is_asking = True
        self._wait.cancel()
        try:
            async with self._reading:
                self._late_until = trio.current_time() + seconds + _LATE_SECONDS
                attributes = None
                with trio.move_on_after(seconds):
                    await question()
                    while (attributes := self._cut_answer()) is None:
                        data = await self._receive()
                        if not data:
                            break  # the terminal is gone, as the next `read` finds
                        self._unread += data
                self._keep(end)
                return attributes
        finally:
            self._is_asking = False

    def take_kept(self, end: bytes) -> bytes:
        """Take what was typed while the terminal was asked, for a line editor of the terminal.

        Args:
            end: what stands for an end of input.
        """
        kept = b"".join(data or end for data in self._kept) + self._unread
        self._kept.clear()
        self._unread = b""
        return kept

    async def _read(self) -> bytes:
        while not self._kept:
            with trio.move_on_after(self._rest_seconds if self._unread else math.inf) as rest:
                data = await self._receive()
                if data:
                    self._unread += data
                    self._cut_answer()
                    self._keep()
                else:
                    self._keep_all()
                    self._kept.append(b"")
            if rest.cancelled_caught:
                self._keep_all()  # it began like an answer, and was a key
        return self._kept.popleft()

    @property
    def _expects_answer(self) -> bool:
        return trio.current_time() < self._late_until

    def _cut_answer(self) -> bytes | None:
        """Cut an expected answer out of the unread input; returns its attributes."""
        answer = _ANSWER.search(self._unread) if self._expects_answer else None
        if answer is None:
            return None
        self._unread = self._unread[: answer.start()] + self._unread[answer.end() :]
        self._late_until = -math.inf
        return answer[1]

    def _keep_all(self) -> None:
        if self._unread:
            self._kept.append(self._unread)
        self._unread = b""

    def _keep(self, end: bytes = b"") -> None:
        """Keep the unread input for `read`, except for an answer that has begun at its end."""
        begun = _BEGUN.search(self._unread) if self._expects_answer else None
        typed = self._unread[: begun.start()] if begun else self._unread
        self._unread = begun[0] if begun else b""
        at_line_start = True
        for number, part in enumerate(typed.split(end) if end else [typed]):
            if number and at_line_start:
                self._kept.append(b"")
            if part:
                self._kept.append(part)
            # In the middle of a line, the key only sends what was typed of it.
            at_line_start = not part or part.endswith(b"\n")

    async def _receive(self) -> bytes:
        """Wait for bytes of the descriptor; ``b""`` at its end."""
        if sys.platform == "win32":
            return await trio.to_thread.run_sync(
                os.read, self._fd, _READ_BYTES, abandon_on_cancel=True
            )
        while True:
            try:
                # Level-triggered: after this, a read does not block.
                await trio.lowlevel.wait_readable(self._fd)
            except PermissionError:
                # A regular file: epoll refuses it, and reading it never waits long.
                await trio.lowlevel.checkpoint()
            except OSError:
                return b""  # closed
            try:
                return os.read(self._fd, _READ_BYTES)
            except BlockingIOError:  # another process was faster
                continue
