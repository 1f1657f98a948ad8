"""What processes use, from Linux's /proc."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

__all__ = [
    "CpuTime",
    "descriptors",
    "family",
    "peak_bytes",
    "proportional_bytes",
    "resident_bytes",
    "threads",
]


def resident_bytes(pid: int) -> int:
    """Memory that a process has."""
    return _status(pid, "VmRSS") * 1024


def peak_bytes(pid: int, *, reset: bool = False) -> int:
    """Most memory that a process has had since the last reset.

    Args:
        pid: the process.
        reset: begin anew.
    """
    if reset:
        Path(f"/proc/{pid}/clear_refs").write_text("5")
    return _status(pid, "VmHWM") * 1024


def proportional_bytes(pids: Iterable[int]) -> int:
    """Memory of processes, what several of them share counted once (PSS).

    Those that have ended count nothing. Of a process host only root may know what it shares; for
    other users all of its memory counts.
    """
    return sum(map(_proportional_bytes, pids))


def _proportional_bytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024
    except PermissionError:
        return resident_bytes(pid)
    except (FileNotFoundError, ProcessLookupError):
        return 0


def family(pid: int) -> list[int]:
    """A process and all below it, those included that have ended and were not waited for."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                stat = Path(f"/proc/{name}/stat").read_text(errors="replace")
            except OSError:
                continue  # it has just ended
            children.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(int(name))
    found = [pid]
    for one in found:
        found += children.get(one, [])
    return found


def descriptors(pid: int) -> int:
    """How many file descriptors a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def threads(pid: int) -> int:
    """How many threads a process has."""
    return _status(pid, "Threads")


class CpuTime:
    """CPU time of one process, from the call on.

    Args:
        pid: the process.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._start = self._used()

    def seconds(self) -> float:
        """What it has used since."""
        return self._used() - self._start

    def _used(self) -> float:
        fields = Path(f"/proc/{self._pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _status(pid: int, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))
