"""A census of what may leak: taken before and after, the two must agree in the end."""

from __future__ import annotations

import os
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import trio

from benchmarks.processes import family

from ..local_kernels import kernel_processes

__all__ = ["Census", "Place", "settle", "settled"]

SETTLING_SECONDS = 10.0
"""Far longer than anything takes to end; nothing waits for it when all is well."""
_REMEMBERED = re.compile(r"/vfolders/[^/]+(/uploads|/files(/.*)?)?$")
"""What a gateway is to keep: virtual folders and what is in them, but no incomplete uploads."""


@dataclass(frozen=True)
class Census:
    """What there is of each kind, and how often."""

    kernels: Counter[str]
    """Tokens, as the gateway lists them."""
    kernel_processes: Counter[str]
    threads: Counter[str]
    fds: Counter[str]
    """What the file descriptors of this process lead to."""
    children: Counter[str]
    """The processes below this one."""
    files: Counter[str]
    """All below the folders that are watched: temporary files, work folders of kernels, partial
    uploads and downloads, entries of the journal."""

    def beyond(self, before: Census) -> list[str]:
        """What there is now that was not there before, a line for each kind."""
        found = []
        for entry in fields(self):
            more = getattr(self, entry.name) - getattr(before, entry.name)
            if more:
                listed = ", ".join(sorted(more)[:8])
                found.append(f"{more.total()} {entry.name.replace('_', ' ')}: {listed}")
        return found


@dataclass(frozen=True)
class Place:
    """Where a census looks.

    Attributes:
        folders: folders that are watched; kernels have their files below them.
        tokens: lists the kernels of the gateway.
    """

    folders: tuple[Path, ...]
    tokens: Callable[[], Iterable[str]] = tuple

    def census(self) -> Census:
        """Take one."""
        processes = [pid for folder in self.folders for pid in kernel_processes(folder)]
        return Census(
            kernels=Counter(self.tokens()),
            kernel_processes=Counter(map(_described, processes)),
            threads=Counter(filter(_counts, (item.name for item in threading.enumerate()))),
            fds=_fds(),
            children=Counter(map(_described, family(os.getpid())[1:])),
            files=Counter(
                path
                for folder in self.folders
                for path in _paths_below(folder)
                if not _REMEMBERED.search(path)
            ),
        )


def _paths_below(folder: Path) -> Iterator[str]:
    """All files and folders below a folder, but for those that vanish meanwhile."""
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            yield os.path.join(parent, name)


def _counts(thread: str) -> bool:
    """Trio keeps threads for some seconds to use them again, and names them by what they do."""
    return not thread.startswith("Trio thread") and " from " not in thread


def _fds() -> Counter[str]:
    """Sockets and pipes count by their kind: their numbers are new each time."""
    found: Counter[str] = Counter()
    for name in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue  # that of the listing itself
        found[target.partition(":[")[0]] += 1
    return found


def _described(pid: int) -> str:
    """A process by what it runs."""
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return "ended"
    return b" ".join(arguments[:3]).decode(errors="replace")[:80] or "zombie"


def settle(place: Place, before: Census, seconds: float = SETTLING_SECONDS) -> list[str]:
    """Wait until nothing is left; returns what is when the time is over."""
    deadline = time.monotonic() + seconds
    while (left := place.census().beyond(before)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return left


async def settled(place: Place, before: Census, seconds: float = SETTLING_SECONDS) -> list[str]:
    """`settle` in Trio, where the gateway of this process goes on meanwhile."""
    deadline = trio.current_time() + seconds
    while (  # noqa: ASYNC110 (nothing tells that a process has ended)
        left := place.census().beyond(before)
    ) and trio.current_time() < deadline:
        await trio.sleep(0.02)
    return left
