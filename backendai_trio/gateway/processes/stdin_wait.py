"""Detects that a program waits for input on its terminal or pipe, from /proc.

A program waits when one of its threads sleeps in a system call that waits for a descriptor, and
that descriptor is the terminal or pipe. Nothing is traced or slowed down.
"""

from __future__ import annotations

import os
import platform
import select
import struct
from collections.abc import Iterator
from pathlib import Path

__all__ = ["descendants", "link_of", "waits_for_input"]

#: System calls that wait for input, by machine: number -> kind. What reads is read, readv, preadv2,
#: splice and tee: programs that pass a pipe on do without a buffer of their own.
_SYSTEM_CALLS: dict[str, dict[int, str]] = {
    "x86_64": {
        0: "read", 19: "read", 327: "read", 275: "read", 276: "read",
        7: "poll", 271: "ppoll", 23: "select", 270: "select",
        232: "epoll", 281: "epoll", 441: "epoll",
    },
    "aarch64": {
        63: "read", 65: "read", 286: "read", 76: "read", 77: "read",
        73: "ppoll", 72: "select", 22: "epoll", 441: "epoll",
    },
}  # fmt: skip
_CALLS = _SYSTEM_CALLS.get(platform.machine(), {})
_MAX_FDS = 1024


def descendants(pid: int) -> Iterator[int]:
    """`pid` and all processes below it, from Linux's lists of children."""
    todo = [pid]
    while todo:
        yield (pid := todo.pop())
        for thread in _threads(pid):
            children = _read_text(f"/proc/{pid}/task/{thread}/children")
            todo.extend(int(child) for child in children.split())


def waits_for_input(pid: int, *names: str, with_timeout: bool) -> bool:
    """Whether a thread of `pid` or of a process below it sleeps until input arrives on a file.

    Args:
        pid: the process.
        names: the file's names, as the process sees them (``/dev/pts/3``, ``pipe:[12345]``).
        with_timeout: whether one that waits in poll or select for a limited time counts as well.
    """
    return any(
        _thread_waits(process, thread, names, with_timeout)
        for process in descendants(pid)
        for thread in _threads(process)
    )


def link_of(pid: int, fd: int) -> str:
    """The file behind a process's descriptor; empty if there is no such descriptor."""
    try:
        return os.readlink(f"/proc/{pid}/fd/{fd}")  # noqa: PTH115 (hot path)
    except OSError:
        return ""


def _thread_waits(pid: int, thread: int, names: tuple[str, ...], with_timeout: bool) -> bool:
    # The file reads "running" unless the thread sleeps.
    fields = _read_text(f"/proc/{pid}/task/{thread}/syscall").split()
    if len(fields) < 7:
        return False
    kind = _CALLS.get(int(fields[0]))
    if kind is None:
        return False
    arguments = [int(field, 16) for field in fields[1:7]]
    fds: Iterator[int]
    forever = True
    if kind == "read":
        fds = iter([arguments[0]])
    elif kind == "epoll":
        fds = _epoll_fds(pid, arguments[0])
    elif kind == "select":
        forever = arguments[4] == 0
        fds = _select_fds(pid, arguments[0], arguments[1])
    else:
        forever = arguments[2] == 0 if kind == "ppoll" else arguments[2] & 1 << 31 != 0
        fds = _poll_fds(pid, arguments[0], arguments[1])
    if not (forever or with_timeout):
        return False
    return any(link_of(pid, fd) in names for fd in fds)


def _threads(pid: int) -> list[int]:
    try:
        return [int(name) for name in os.listdir(f"/proc/{pid}/task")]  # noqa: PTH208 (hot path)
    except OSError:
        return []


def _read_text(path: str) -> str:
    """A file of /proc; empty when its process has ended or may not be read.

    Without file objects: one look at a program takes 50 us this way, 130 us with Path.read_text.
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
        pass  # the process has ended meanwhile
    finally:
        os.close(fd)
    return b"".join(parts).decode("ascii", "replace")


def _epoll_fds(pid: int, fd: int) -> Iterator[int]:
    for line in _read_text(f"/proc/{pid}/fdinfo/{fd}").splitlines():
        words = line.split()
        if words[:1] == ["tfd:"] and int(words[3], 16) & select.EPOLLIN:
            yield int(words[1])


def _poll_fds(pid: int, address: int, count: int) -> Iterator[int]:
    memory = _read_memory(pid, address, min(count, _MAX_FDS) * 8)
    for fd, events, _ in struct.iter_unpack("ihh", memory):
        if events & select.POLLIN:
            yield fd


def _select_fds(pid: int, count: int, address: int) -> Iterator[int]:
    bits = int.from_bytes(_read_memory(pid, address, (min(count, _MAX_FDS) + 7) // 8), "little")
    return (fd for fd in range(count) if bits >> fd & 1)


def _read_memory(pid: int, address: int, size: int) -> bytes:
    if not address:
        return b""
    try:
        with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
            memory.seek(address)
            data = memory.read(size)
    except (OSError, OverflowError):
        return b""
    return data if len(data) == size else b""
