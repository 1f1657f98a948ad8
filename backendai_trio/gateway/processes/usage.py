"""What the processes of a running kernel use, from Linux's /proc."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from .host.process_tree import below, fields_of

__all__ = ["Usage", "usage_below"]


@dataclass(frozen=True)
class Usage:
    """What processes use."""

    cpu_ms: int
    """CPU time, in milliseconds; that of processes that have ended counts."""
    memory_kib: int
    """Memory that is in use now, in KiB; what several processes share is counted once."""


def usage_below(host: int) -> Usage:
    """What the programs of a process host use, and what those that have ended have used. Blocks.

    Args:
        host: process id of the host, which collects all processes that its programs leave behind.
    """
    ticks = sum(_ticks(host)[2:])
    memory = 0
    for pid in below(host):
        ticks += sum(_ticks(pid))
        memory += _memory_kib(pid)
    return Usage(ticks * 1000 // os.sysconf("SC_CLK_TCK"), memory)


def _ticks(pid: int) -> list[int]:
    """CPU time of a process, and of its children that have ended: user, system, user, system."""
    return [int(field) for field in fields_of(pid)[11:15]]


def _memory_kib(pid: int) -> int:
    """The memory of a process, with its part of what it shares with others."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:  # it has just ended, or is another user's
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
