"""Processes and what they have started, by /proc. The gateway and its process hosts use it."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
else:
    import _signal as signal


def fields_of(pid: int) -> list[bytes]:
    """The fields of /proc/PID/stat from the state on: state, ppid, pgrp, session, ...

    Returns:
        An empty list if there is no such process.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 (pathlib costs 10 ms)
            # The name before the state may have spaces and parentheses.
            return file.read().rpartition(b")")[2].split()
    except OSError:
        return []


def below(root: int, *, session: bool = False) -> list[int]:
    """All living descendants of `root`; with `session` also the members of its session."""
    parents: dict[int, int] = {}
    found: set[int] = set()
    for name in os.listdir("/proc"):  # noqa: PTH208
        if name.isdigit() and (fields := fields_of(int(name))) and fields[0] not in b"ZX":
            parents[int(name)] = int(fields[1])
            if session and int(fields[3]) == root:
                found.add(int(name))
    for pid in parents:
        up, seen = pid, 0
        while up in parents and up != root and seen < len(parents):
            up, seen = parents[up], seen + 1
        if up == root and pid != root:
            found.add(pid)
    return list(found)


def kill(pids: list[int]) -> None:
    """Send SIGKILL to each of `pids` that still exists."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
