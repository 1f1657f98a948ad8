"""What keeps kernels apart from this machine, and what does not, as facts for people."""

from __future__ import annotations

import os

from ...wire.versions import Protection
from ..kernel_limits import KernelLimits
from .isolation import Isolation

__all__ = ["protections_of"]

_NETWORKS = {
    "host": (False, "kernels reach what this machine does, its own servers included"),
    "loopback": (True, "each kernel has a localhost of its own, and nothing else"),
    "none": (True, "kernels have none"),
}


def protections_of(isolation: Isolation, limits: KernelLimits) -> tuple[Protection, ...]:
    """What holds for the kernels of a gateway here.

    Args:
        isolation: of all kernels.
        limits: of all kernels; those that one is created with come on top.
    """
    holds, how = _NETWORKS[isolation.network]
    return (
        _files(separate=isolation.separates),
        _processes(separate=isolation.separates),
        Protection("network", holds, how),
        _memory(limits),
        _cores(limits),
        _process_count(limits, separate=isolation.separates),
        _each("open files", limits.open_files, "", "open-files"),
        _each("CPU time", limits.cpu_seconds, " s", "cpu-time"),
        _disk(limits),
    )


def _files(*, separate: bool) -> Protection:
    if separate:
        how = "kernels read those of the system and its runtimes, and what serve --readable names"
        return Protection("files", True, how)
    return Protection("files", False, "kernels read and write those of the gateway's user")


def _processes(*, separate: bool) -> Protection:
    if separate:
        return Protection("processes", True, "kernels see and signal their own")
    return Protection("processes", False, "kernels see and signal those of the gateway's user")


def _memory(limits: KernelLimits) -> Protection:
    if not limits.memory_bytes:
        return _unlimited("memory", "memory")
    how = f"{limits.memory_bytes:,} bytes for all programs of a kernel, except files in memory"
    return Protection("memory", True, how)


def _cores(limits: KernelLimits) -> Protection:
    if not limits.cores:
        return _unlimited("CPU cores", "cores")
    how = f"{limits.cores} for each kernel, but a program can choose others"
    return Protection("CPU cores", False, how)


def _process_count(limits: KernelLimits, *, separate: bool) -> Protection:
    what = "number of processes"
    if not limits.processes:
        return _unlimited(what, "processes")
    if not separate:
        how = "not limited: without bubblewrap, all processes of the user count"
    elif os.geteuid() == 0:
        how = "not limited: Linux does not count those of root, who runs the gateway"
    else:
        return Protection(what, True, f"{limits.processes:,} for each kernel")
    return Protection(what, False, how)


def _each(what: str, limit: int, unit: str, option: str) -> Protection:
    if not limit:
        return _unlimited(what, option)
    return Protection(what, True, f"{limit:,}{unit} for each process")


def _disk(limits: KernelLimits) -> Protection:
    if not limits.file_bytes:
        return Protection(
            "disk", False, "not limited; serve --limit file-size=AMOUNT limits each file"
        )
    how = f"{limits.file_bytes:,} bytes for each file, but any number of files"
    return Protection("disk", False, how)


def _unlimited(what: str, option: str) -> Protection:
    return Protection(what, False, f"not limited; serve --limit {option}=AMOUNT limits it")
