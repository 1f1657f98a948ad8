"""A program's terminal, and the question whether the program is waiting for input on it.

Standard input of every program is a pseudo terminal in "external processing" mode (EXTPROC, which
telnetd uses): Linux then neither echoes nor edits lines, has no limit on the length of a line,
turns a lone end-of-file character into a read of zero bytes (as often as it comes), and a program
that switches echo off (getpass) can be seen from our side. What remains is a pipe that every libc
treats as a terminal, so that it flushes its prompts before it reads.

Whether somebody waits for input is read from /proc: a thread that sleeps in a system call which
waits for a descriptor that is this terminal. Nothing is traced or slowed down.
"""

from __future__ import annotations

import fcntl
import os
import platform
import select
import struct
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import trio

__all__ = ["EXTPROC", "Terminal", "descendants"]

#: From the kernel's asm-generic/termbits.h and asm-generic/ioctls.h (so x86, ARM, RISC-V); the
#: termios module does not name them.
EXTPROC = 0o200000
TIOCSPTLCK = 0x40045431
TIOCGPTPEER = 0x5441
ROWS, COLUMNS = 24, 80

#: At most this much is on the way to the program at once. Above 4095 bytes Linux (6.18) drops input
#: in EXTPROC mode as long as nothing was read since the last flush: it takes the buffer for one
#: overlong line (`overflow` in n_tty_receive_buf_common).
CHUNK_BYTES = 4000

#: The time between two tries to type when there is no room: grows while nothing is read.
FIRST_TRY, LAST_TRY = 0.0002, 0.02

#: System calls that wait for input, by machine: number -> kind.
_SYSTEM_CALLS: dict[str, dict[int, str]] = {
    "x86_64": {
        0: "read", 19: "read", 7: "poll", 271: "ppoll", 23: "select", 270: "select",
        232: "epoll", 281: "epoll", 441: "epoll",
    },
    "aarch64": {63: "read", 65: "read", 73: "ppoll", 72: "select", 22: "epoll", 441: "epoll"},
}  # fmt: skip
_CALLS = _SYSTEM_CALLS.get(platform.machine(), {})


def descendants(pid: int) -> Iterator[int]:
    """`pid` and all processes below it, by the kernel's own lists of children."""
    todo = [pid]
    while todo:
        yield (pid := todo.pop())
        for thread in _threads(pid):
            children = _text(f"/proc/{pid}/task/{thread}/children")
            todo.extend(int(child) for child in children.split())


class Terminal:
    """Both ends of a pseudo terminal. Ours (`master`) does not block; `name` is /dev/pts/N.

    That is the name which programs know, who may have a /dev of their own.
    """

    def __init__(self, master: int, slave: int) -> None:
        self.master = master
        self.slave = slave
        # Not `os.ttyname`, which looks for it in our own /dev.
        self.name = _link(os.getpid(), slave)
        self._typed = 0
        self._unread = select.poll()
        self._unread.register(slave, select.POLLIN)

    @classmethod
    @contextmanager
    def open(cls, *, ordinary: bool = False, devpts: int | None = None) -> Iterator[Terminal]:
        """A fresh terminal; closed at the end of the block.

        Args:
            ordinary: one that echoes, edits and sends signals, as a shell expects it.
            devpts: descriptor of the /dev/pts that it shall be in; default: ours.
        """
        master, slave = os.openpty() if devpts is None else _openpty_in(devpts)
        try:
            if not ordinary:
                attributes = termios.tcgetattr(slave)
                # input: bytes as they come; output: as they are; local: no signals from bytes
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
            # Held to the end: with no slave open at all, reading the master fails with EIO.
            os.close(slave)

    def resize(self, rows: int, columns: int) -> None:
        """Set the window's size in characters; foreground programs get SIGWINCH if it is new."""
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def has_unread_input(self) -> bool:
        """Whether something typed was not read yet.

        poll() and not FIONREAD, because poll first moves along what is still under way to the
        reader's side of the terminal.
        """
        return bool(self._unread.poll(0))

    def hides_input(self) -> bool:
        """Whether the program asks for a password: whole lines, without echo.

        A program with ICANON off as well (readline) edits lines itself; that is no secret.
        """
        flags = termios.tcgetattr(self.master)[3]
        return bool(flags & termios.ICANON) and not flags & termios.ECHO

    def is_awaited_by(self, pid: int) -> bool:
        """Whether a thread of `pid` or of a process below it sleeps until input arrives here.

        The order matters. Nothing unread first: then all input so far was taken, and a thread that
        sleeps in a read after that waits for more. The other way round, a thread about to wake up
        for the input just typed would count as waiting for the next.
        """
        if self.has_unread_input():
            return False
        return any(
            self._is_awaited_by_thread(process, thread)
            for process in descendants(pid)
            for thread in _threads(process)
        )

    async def type(self, data: bytes | None) -> None:
        """Give the program `data` (a line with its newline), or end of file for None.

        Returns when all of it is in the program's buffer, maybe unread.
        Cancellation: a part of `data` may have been typed.
        """
        if data is None:
            data = termios.tcgetattr(self.master)[6][termios.VEOF]
        rest = memoryview(data)
        delay = FIRST_TRY
        while rest:
            sent = self.type_nowait(rest)
            rest = rest[sent:]
            if sent:
                delay = FIRST_TRY
            else:  # Linux has no event for "the other side has read something".
                await trio.sleep(delay)
                delay = min(delay * 1.5, LAST_TRY)
        await trio.lowlevel.checkpoint()

    def type_nowait(self, data: bytes | memoryview) -> int:
        """Type a chunk, if there is room for it; how many bytes that were."""
        chunk = data[:CHUNK_BYTES]
        if not self.has_unread_input():
            self._typed = 0
        # How much of it is unread cannot be known: FIONREAD leaves out what is still under way.
        elif self._typed + len(chunk) > CHUNK_BYTES:
            return 0
        try:
            sent = os.write(self.master, chunk)
        except BlockingIOError:
            return 0
        self._typed += sent
        return sent

    # -- /proc --------------------------------------------------------------------------------

    def _is_awaited_by_thread(self, pid: int, thread: int) -> bool:
        # Reads "running" unless the thread sleeps.
        fields = _text(f"/proc/{pid}/task/{thread}/syscall").split()
        if len(fields) < 7:
            return False
        kind = _CALLS.get(int(fields[0]))
        if kind is None:
            return False
        arguments = [int(field, 16) for field in fields[1:7]]
        fds: Iterator[int]
        if kind == "read":
            fds = iter([arguments[0]])
        elif kind == "epoll":
            fds = _epoll_fds(pid, arguments[0])
        # With a time-out it is a program that goes on by itself (a game, a progress display).
        elif kind == "select":
            fds = iter(()) if arguments[4] else _select_fds(pid, arguments[0], arguments[1])
        else:
            forever = arguments[2] == 0 if kind == "ppoll" else arguments[2] & 1 << 31 != 0
            fds = _poll_fds(pid, arguments[0], arguments[1]) if forever else iter(())
        return any(_link(pid, fd) in (self.name, "/dev/tty") for fd in fds)


def _openpty_in(devpts: int) -> tuple[int, int]:
    """As `os.openpty`, but in another /dev/pts than ours."""
    flags = os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC
    master = os.open("ptmx", flags, dir_fd=devpts)
    try:
        fcntl.ioctl(master, TIOCSPTLCK, struct.pack("i", 0))
        return master, fcntl.ioctl(master, TIOCGPTPEER, flags)
    except OSError:
        os.close(master)
        raise


def _threads(pid: int) -> list[int]:
    try:
        return [int(name) for name in os.listdir(f"/proc/{pid}/task")]  # noqa: PTH208 (hot path)
    except OSError:
        return []


def _text(path: str) -> str:
    """A file of /proc, empty when its process has gone or is not ours to look at.

    Without file objects: a look at a program takes 50 us this way, 130 with Path.read_text.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    parts = []
    try:
        while part := os.read(fd, 65536):
            parts.append(part)
    except OSError:
        pass  # it ended meanwhile
    finally:
        os.close(fd)
    return b"".join(parts).decode("ascii", "replace")


def _link(pid: int, fd: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/fd/{fd}")  # noqa: PTH115 (hot path)
    except OSError:
        return ""


def _epoll_fds(pid: int, fd: int) -> Iterator[int]:
    for line in _text(f"/proc/{pid}/fdinfo/{fd}").splitlines():
        words = line.split()
        if words[:1] == ["tfd:"] and int(words[3], 16) & select.EPOLLIN:
            yield int(words[1])


def _poll_fds(pid: int, address: int, count: int) -> Iterator[int]:
    for fd, events, _ in struct.iter_unpack("ihh", _memory(pid, address, min(count, 1024) * 8)):
        if events & select.POLLIN:
            yield fd


def _select_fds(pid: int, count: int, address: int) -> Iterator[int]:
    bits = int.from_bytes(_memory(pid, address, (min(count, 1024) + 7) // 8), "little")
    return (fd for fd in range(count) if bits >> fd & 1)


def _memory(pid: int, address: int, size: int) -> bytes:
    if not address:
        return b""
    try:
        with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
            memory.seek(address)
            data = memory.read(size)
    except (OSError, OverflowError):
        return b""
    return data if len(data) == size else b""
