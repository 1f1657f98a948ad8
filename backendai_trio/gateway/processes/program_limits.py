"""The limits of a kernel as the process host sets them for each program."""

from __future__ import annotations

import os
import random
import resource

from ..kernel_limits import KernelLimits

__all__ = ["chosen_cores", "resource_limits"]


def resource_limits(limits: KernelLimits, *, separate: bool) -> dict[int, int]:
    """The limits that Linux keeps for each process, by the resource."""
    found = {
        resource.RLIMIT_DATA: 2 * limits.memory_bytes,
        resource.RLIMIT_NOFILE: limits.open_files,
        resource.RLIMIT_CPU: limits.cpu_seconds,
        resource.RLIMIT_FSIZE: limits.file_bytes,
        # In the machine's user namespace, all other processes of the user count, too.
        resource.RLIMIT_NPROC: limits.processes if separate else 0,
    }
    return {which: limit for which, limit in found.items() if limit}


def chosen_cores(count: int) -> list[int]:
    """Some of the CPU cores of the gateway; all of them if there are no more."""
    available = sorted(os.sched_getaffinity(0))
    return random.sample(available, count) if 0 < count < len(available) else []
