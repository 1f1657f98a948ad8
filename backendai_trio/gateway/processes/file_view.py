"""The files of the machine that a kernel under bubblewrap sees, as options of bubblewrap.

A kernel's file system is empty at first. Folders of the machine are then mounted into it: those
that are named here and by the gateway read-only, the kernel's own writable. A named path may lead
through symbolic links; they are made anew inside, so that programs find their files as outside.
"""

# Paths are strings here: this is part of the start of the first kernel.
# ruff: noqa: PTH110, PTH112, PTH115, PTH118, PTH120

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["SYSTEM_FOLDERS", "files_of_root", "machine_mounts", "options", "own_mount"]

SYSTEM_FOLDERS = (
    *("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/opt", "/sys"),
    *("/nix/store", "/gnu/store"),
)
"""Where the operating system keeps its programs and what they need; always readable."""
_EMPTY = ("/run", "/tmp", "/var/tmp")  # noqa: S108
"""Folders that a kernel has for itself. On the machine they have sockets of the user's session, of
its agents and of powerful daemons such as Docker's, and other kernels."""
_DEBUGGING = ("/sys/kernel/debug", "/sys/kernel/tracing", "/sys/firmware")
"""Folders of which only root can read the files, which says nothing when root runs the gateway."""
_READ_ONLY = ("/proc/sys", "/proc/sysrq-trigger", "/proc/mtrr")
"""Files in /proc that belong to root are writable for a root without privileges, too."""
_ACCELERATORS = ("nvidia*", "dri", "kfd", "dxg")
_MAX_LINKS = 40  # as in Linux

#: Of mounts at the same path the last one counts.
_NAMED, _HIDDEN, _OWN = range(3)


@dataclass(frozen=True)
class Mount:
    """An option of bubblewrap that puts something at a path of a kernel's file system."""

    depth: int
    rank: int
    words: tuple[str, ...]
    """The option, and at the end the path."""

    @staticmethod
    def at(path: str, rank: int, *option: str) -> Mount:
        """The mount at an absolute path."""
        return Mount(path.rstrip("/").count("/"), rank, (*option, path))


def machine_mounts(readable: Iterable[str], hidden: Iterable[Path]) -> list[Mount]:
    """What all kernels see of the machine.

    Args:
        readable: absolute paths of files and folders to read, in addition to `SYSTEM_FOLDERS`;
            those that do not exist are left out.
        hidden: files and folders that stay unreadable inside of readable ones.
    """
    links: dict[str, str] = {}
    named = {place for path in (*SYSTEM_FOLDERS, *readable) if (place := _follow(path, links))}
    empty = {os.path.realpath(path) for path in _EMPTY}
    covers = dict.fromkeys(named, _NAMED)
    for path in (*empty, *_DEBUGGING, *map(str, hidden)):
        covers[os.path.realpath(path)] = _HIDDEN
    found: list[Mount] = []
    for path, kind in covers.items():
        is_in_named = _cover_of(path, covers) == _NAMED
        if kind == _NAMED and not is_in_named:
            found.append(Mount.at(path, _NAMED, "--ro-bind-try", path))
        elif kind == _HIDDEN and (is_in_named or path in empty):
            if os.path.isdir(path):
                found.append(Mount.at(path, _HIDDEN, "--tmpfs"))
            elif os.path.exists(path):  # a device that cannot be opened there
                found.append(Mount.at(path, _HIDDEN, "--ro-bind-try", os.devnull))
    for link, target in links.items():
        if target and _cover_of(link, covers) != _NAMED:
            found.append(Mount.at(link, _NAMED, "--symlink", target))
    # A fresh /dev has no terminals except the kernel's own.
    found += (Mount.at("/dev", _HIDDEN, "--dev"), Mount.at("/proc", _HIDDEN, "--proc"))
    for path in _READ_ONLY:
        found.append(Mount.at(path, _HIDDEN, "--ro-bind-try", path))
    for pattern in _ACCELERATORS:
        for device in map(str, Path("/dev").glob(pattern)):
            found.append(Mount.at(device, _HIDDEN, "--dev-bind", device))
    return found


def own_mount(folder: Path, *, writable: bool, at: str = "") -> Mount:
    """A folder that one kernel uses.

    Args:
        folder: the folder.
        writable: whether the kernel may change it.
        at: where the kernel sees it; default: where it is.
    """
    path = os.path.realpath(folder)
    return Mount.at(at or path, _OWN, "--bind" if writable else "--ro-bind", path)


def options(mounts: Iterable[Mount]) -> list[str]:
    """The mounts as options of bubblewrap, the file system's root at last being read-only."""
    # The option for a deeper path overrides those for the folders above.
    ordered = sorted(mounts, key=lambda mount: (mount.depth, mount.rank))
    return [word for mount in ordered for word in mount.words] + ["--remount-ro", "/"]


def files_of_root() -> Iterator[Path]:
    """What only root can read of /etc: it must not be readable for kernels of a root's gateway."""
    if os.geteuid() != 0:
        return
    for folder in (Path("/etc"), Path("/etc/ssh"), Path("/etc/ssl"), Path("/etc/security")):
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    is_link = entry.is_symlink()
                    if not is_link and not entry.stat(follow_symlinks=False).st_mode & 0o004:
                        yield Path(entry.path)
        except OSError:
            continue  # there is none


def _follow(path: str, links: dict[str, str]) -> str:
    """Where an absolute path leads, "" if nowhere.

    Args:
        path: the path.
        links: gets where each step on the way leads, "" for one that is no link.
    """
    place, names, followed = "/", path.split("/")[::-1], 0
    while names:
        name = names.pop()
        if name in ("", "."):
            continue
        if name == "..":
            place = os.path.dirname(place)
            continue
        step = os.path.join(place, name)
        target = links.get(step)
        if target is None:
            try:
                target = links[step] = os.readlink(step)
            except OSError:  # it is no link, or does not exist
                target = links[step] = ""
        if not target:
            place = step
            continue
        followed += 1
        if followed > _MAX_LINKS:
            return ""
        if target.startswith("/"):
            place = "/"
        names += target.split("/")[::-1]
    return place if os.path.exists(place) else ""


def _cover_of(path: str, covers: dict[str, int]) -> int | None:
    """Whether the next folder above a path that an option is for is named or hidden."""
    while path != "/":
        path = os.path.dirname(path)
        if path in covers:
            return covers[path]
    return None
