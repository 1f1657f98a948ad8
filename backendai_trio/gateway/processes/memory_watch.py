"""Keeps the programs of a kernel to its memory limit.

Linux limits the memory of each process, but that of many together in control groups only, which
users can rarely make. So the gateway looks at what the programs use, and kills the largest one when
it is too much, as Linux does in a control group.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import trio

from .check_pace import pace_of
from .host.process_tree import below, kill

__all__ = ["MemoryWatch"]

CHECK_SECONDS = 0.1
_PAGE = os.sysconf("SC_PAGE_SIZE")
_MIB = 1 << 20


@dataclass(frozen=True)
class _Killed:
    name: str
    used: int
    """What all programs used, in bytes."""


class MemoryWatch:
    """Watches the programs of one kernel.

    Args:
        limit: how many bytes of memory they may use together.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._killed: deque[_Killed] = deque()

    async def run(self, host: int, scope: trio.CancelScope) -> None:
        """Watch until cancelled.

        Args:
            host: process id of the kernel's process host.
            scope: ends this when it is cancelled.
        """
        check = partial(_check, host, self._limit, self._killed.append)
        pace = pace_of("memory")
        cost: float | None = None
        with scope, pace.watching():
            while True:
                await trio.sleep(pace.pause(CHECK_SECONDS, cost))
                cost = await trio.to_thread.run_sync(check, abandon_on_cancel=True)
                pace.note(cost)

    def take_report(self) -> str:
        """What was done since the last call, for the user of the kernel; "" for nothing."""
        killed = [self._killed.popleft() for _ in range(len(self._killed))]
        return "".join(
            f"[the kernel ran out of its memory limit of {_mib(self._limit)}: its programs used "
            f"{_mib(item.used)}, and {item.name} was killed]\n"
            for item in killed
        )


def _check(host: int, limit: int, report: Callable[[_Killed], object]) -> float:
    """Do what `_kill_largest` does; returns its CPU time in seconds."""
    before = time.thread_time()
    _kill_largest(host, limit, report)
    return time.thread_time() - before


def _kill_largest(host: int, limit: int, report: Callable[[_Killed], object]) -> None:
    """Kill the largest program of a kernel if all together use more than the limit. Blocks.

    It is reported first: its end may be the end of a run, which then takes the report.
    """
    resident = {pid: _resident_bytes(pid) for pid in _descendants(host)}
    # What programs share counts for each of them there, so it is too much at most.
    if sum(resident.values()) <= limit:
        return
    used = {pid: _proportional_bytes(pid) for pid in resident}
    total = sum(used.values())
    if total <= limit:
        return
    largest = max(used, key=lambda pid: used[pid])
    report(_Killed(_name_of(largest), total))
    kill([largest])


def _descendants(pid: int) -> list[int]:
    """What `below` finds, without reading about all processes of the machine."""
    try:
        children = _children(pid)
    except FileNotFoundError:  # a Linux without that file, or it has just ended
        return below(pid)
    found: list[int] = []
    while children:
        child = children.pop()
        found.append(child)
        try:
            children += _children(child)
        except OSError:
            pass  # it has just ended; the host gets its children
    return found


def _children(pid: int) -> list[int]:
    threads = os.listdir(f"/proc/{pid}/task")  # noqa: PTH208 (ten times a second)
    files = (Path(f"/proc/{pid}/task/{thread}/children") for thread in threads)
    return [int(child) for file in files for child in file.read_bytes().split()]


def _resident_bytes(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    except OSError:
        return 0  # it has just ended


def _proportional_bytes(pid: int) -> int:
    """The memory of a process, with its part of what it shares with others."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


def _name_of(pid: int) -> str:
    """A process's name, which the process chooses: characters that terminals obey are left out."""
    try:
        name = Path(f"/proc/{pid}/comm").read_text(errors="replace")
    except OSError:
        return "a program"
    return "".join(filter(str.isprintable, name)) or "a program"


def _mib(size: int) -> str:
    return f"{size / _MIB:,.0f} MiB"
