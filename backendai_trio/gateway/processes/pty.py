"""A program's pseudo terminal.

Standard input of a program is a pseudo terminal, unless its client asks for a pipe. It is in
"external processing" mode (EXTPROC, which telnetd uses): Linux neither echoes nor edits lines, has
no limit on the length of a line, and turns each end-of-file character that is written alone into a
read of zero bytes; and a program that switches echo off (getpass) can be seen from the gateway's
side. What remains is a pipe that every libc treats as a terminal, so that it flushes its prompts
before it reads.
"""

from __future__ import annotations

import fcntl
import os
import select
import struct
import termios
from collections.abc import Iterator
from contextlib import contextmanager

import trio

from .stdin_wait import link_of, waits_for_input

__all__ = ["EXTPROC", "PseudoTerminal"]

#: From Linux's asm-generic/termbits.h and asm-generic/ioctls.h (so x86, ARM, RISC-V); the termios
#: module has no names for them.
EXTPROC = 0o200000
TIOCSPTLCK = 0x40045431
TIOCGPTPEER = 0x5441
ROWS, COLUMNS = 24, 80

#: The most bytes that are on their way to the program at once. Above 4095 bytes Linux (6.18) drops
#: input in EXTPROC mode as long as nothing was read since the last flush: it takes the buffer for
#: one overlong line (`overflow` in n_tty_receive_buf_common).
CHUNK_BYTES = 4000

#: The time between two attempts to write when there is no room: grows while nothing is read.
FIRST_RETRY_SECONDS, MAX_RETRY_SECONDS = 0.0002, 0.02

#: The time between two checks whether all input was read, before an end of file.
END_CHECK_SECONDS = 0.002


class PseudoTerminal:
    """Both ends of a pseudo terminal.

    Attributes:
        master: the gateway's end, which does not block.
        slave: the program's end.
        name: ``/dev/pts/N`` as the program sees it, which may have a /dev of its own.
    """

    def __init__(self, master: int, slave: int) -> None:
        self.master = master
        self.slave = slave
        # Not `os.ttyname`, which searches the gateway's /dev.
        self.name = link_of(os.getpid(), slave)
        self._written = 0
        self._unread = select.poll()
        self._unread.register(slave, select.POLLIN)

    @classmethod
    @contextmanager
    def open(
        cls, *, interactive: bool = False, devpts: int | None = None
    ) -> Iterator[PseudoTerminal]:
        """A new terminal, closed at the end of the block.

        Args:
            interactive: an ordinary terminal, which echoes, edits lines and sends signals, as a
                shell expects it.
            devpts: descriptor of the /dev/pts to open it in; default: the gateway's.
        """
        master, slave = os.openpty() if devpts is None else _openpty_in(devpts)
        try:
            if not interactive:
                attributes = termios.tcgetattr(slave)
                # Input and output: bytes as they are. Local: no signals from bytes.
                attributes[0] = 0
                attributes[1] &= ~termios.OPOST
                attributes[3] = EXTPROC | termios.ICANON | termios.ECHO
                termios.tcsetattr(slave, termios.TCSANOW, attributes)
            os.set_blocking(master, False)
            terminal = cls(master, slave)
            terminal.resize(ROWS, COLUMNS)
            yield terminal
        finally:
            os.close(master)
            # Kept open until here: while no slave is open, reading the master fails with EIO.
            os.close(slave)

    def resize(self, rows: int, columns: int) -> bool:
        """Set the window's size in characters; returns whether it is new. A new size sends SIGWINCH
        to the foreground of the session whose controlling terminal this is."""
        size = struct.pack("HHHH", rows, columns, 0, 0)
        if fcntl.ioctl(self.slave, termios.TIOCGWINSZ, bytes(len(size))) == size:
            return False
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, size)
        return True

    def has_unread_input(self) -> bool:
        """Whether the program has not read all input yet.

        With poll() and not FIONREAD: poll first moves input that is still on its way to the
        program's side of the terminal.
        """
        return bool(self._unread.poll(0))

    def hides_input(self) -> bool:
        """Whether the program asks for a password: it reads whole lines, and echo is off.

        A program that has ICANON off as well (readline) edits lines itself, and shows them.
        """
        flags = termios.tcgetattr(self.master)[3]
        return bool(flags & termios.ICANON) and not flags & termios.ECHO

    def is_awaited_by(self, pid: int) -> bool:
        """Whether `pid`, or a process below it, sleeps until input arrives here.

        The order of the two checks matters. When nothing is unread, all input so far was taken, and
        a thread that sleeps in a read after that waits for more. The other way round, a thread that
        is about to wake up for the input just written would count as waiting for the next.

        A program that waits with a time-out goes on by itself (a game), and does not count.
        """
        return not self.has_unread_input() and waits_for_input(
            pid, self.name, "/dev/tty", with_timeout=False
        )

    async def write(self, data: bytes | None) -> None:
        """Write input (a line with its newline, usually), or end of file for None.

        Returns when all of it is in the terminal's buffer; the program may not have read it yet.
        An end of file waits until all input before it was read, because it counts only when it is
        read alone (see above).

        Cancellation: a part of the input may have been written.
        """
        if data is None:
            # Linux has no event for "all was read".
            while self.has_unread_input():  # noqa: ASYNC110
                await trio.sleep(END_CHECK_SECONDS)
            data = termios.tcgetattr(self.master)[6][termios.VEOF]
        rest = memoryview(data)
        delay = FIRST_RETRY_SECONDS
        while rest:
            sent = self.write_nowait(rest)
            rest = rest[sent:]
            if sent:
                delay = FIRST_RETRY_SECONDS
            else:  # Linux has no event for "the other side has read something"
                await trio.sleep(delay)
                delay = min(delay * 1.5, MAX_RETRY_SECONDS)
        await trio.lowlevel.checkpoint()

    def write_nowait(self, data: bytes | memoryview) -> int:
        """Write as much as there is room for; returns how many bytes."""
        chunk = data[:CHUNK_BYTES]
        if not self.has_unread_input():
            self._written = 0
        # How much is unread is not known: FIONREAD leaves out what is still on its way.
        elif self._written + len(chunk) > CHUNK_BYTES:
            return 0
        try:
            sent = os.write(self.master, chunk)
        except BlockingIOError:
            return 0
        self._written += sent
        return sent


def _openpty_in(devpts: int) -> tuple[int, int]:
    """Like `os.openpty`, but in another /dev/pts than the gateway's."""
    flags = os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC
    master = os.open("ptmx", flags, dir_fd=devpts)
    try:
        fcntl.ioctl(master, TIOCSPTLCK, struct.pack("i", 0))
        return master, fcntl.ioctl(master, TIOCGPTPEER, flags)
    except OSError:
        os.close(master)
        raise
