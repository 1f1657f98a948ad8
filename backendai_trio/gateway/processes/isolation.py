"""Isolation of kernels from the machine: bubblewrap where it works, else a process group.

With bubblewrap a kernel's process host, and with it all its programs, runs in user, mount, process
and IPC namespaces of its own, without privileges. It can write to its own folder and to virtual
folders that are mounted writable. It can read the rest of the machine's files as the user can,
except the data of gateways and clients of this library: key pairs, other kernels, and virtual
folders that it has not mounted. It sees no other processes and none of the user's terminals. The
network is the machine's, and the use of CPU, memory and disk is not limited.

The host is process 1 of its namespace: Linux ends all other processes with it, and they cannot
harm it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from ...config.user_dirs import config_folder, data_folder, state_folder
from ...errors import GatewayError
from ..settings import RequestedIsolation
from ..shares import Share
from .host.serving import ORPHANED

__all__ = ["PROCESS_GROUP", "Isolation", "Trial", "try_isolation"]

_PROGRAM = "bwrap"
#: How long a trial may take; usually it takes 15 ms.
_TRIAL_SECONDS = 10.0

_NAMESPACES = (
    "--unshare-user",
    "--unshare-pid",
    "--unshare-ipc",
    "--die-with-parent",
    "--as-pid-1",
    # For root, bubblewrap drops none by itself.
    "--cap-drop",
    "ALL",
)
#: A fresh /dev has no terminals except the kernel's own. Files in /proc that belong to root are
#: writable for a root without privileges, too.
_MACHINE = (
    *("--ro-bind", "/", "/"),
    *("--dev", "/dev"),
    *("--proc", "/proc"),
    *(
        argument
        for name in ("/proc/sys", "/proc/sysrq-trigger", "/proc/mtrr")
        for argument in ("--ro-bind-try", name, name)
    ),
)
#: Accelerators.
_DEVICES = ("nvidia*", "dri", "kfd", "dxg")
#: Folders with things that kernels must not reach: sockets of the user's session, of its agents and
#: of powerful daemons such as Docker's; and other kernels.
_HIDDEN = ("/run", "/tmp", "/var/tmp")  # noqa: S108

#: Runs outside of the namespaces: inside, a kernel's folder is a mount point, which cannot be
#: removed. After a gateway was killed, its last kernel removes the gateway's folder as well.
_REMOVER = f"""
root=$1; shift; "$@"; code=$?
rmdir "$root" "$root.staging" 2>/dev/null
if [ $code = {ORPHANED} ]; then rm -rf "$root.staging"; rmdir "${{root%/*}}" 2>/dev/null; fi
exit $code
"""


@dataclass(frozen=True)
class Isolation:
    """One of the two kinds of isolation.

    Attributes:
        name: "bubblewrap" or "process-group".
        program: bubblewrap's path; empty for a process group.
        hidden: folders whose contents kernels cannot see.
    """

    name: str
    program: str = ""
    hidden: tuple[Path, ...] = ()

    @property
    def separates(self) -> bool:
        """Whether kernels have namespaces of their own."""
        return bool(self.program)

    def hiding(self, *folders: Path | None) -> Isolation:
        """The same isolation with more hidden folders."""
        more = tuple(folder for folder in folders if folder is not None)
        return Isolation(self.name, self.program, self.hidden + more)

    def command(self, argv: Sequence[str], root: Path, shares: Iterable[Share]) -> list[str]:
        """The command that starts a process host with this isolation.

        Args:
            argv: the host's own command.
            root: the kernel's folder.
            shares: other folders that it may use. In a process group it may use all of them.
        """
        if not self.program:
            return list(argv)
        # Sorted by depth: the option for a deeper folder overrides those for the folders above.
        views = sorted(self._views(root, shares), key=lambda view: len(view[0].parts))
        places = [word for path, words in views for word in (*words, str(path))]
        inside = [self.program, *_NAMESPACES, *_MACHINE, *_devices(), *places, "--", *argv]
        return ["/bin/sh", "-c", _REMOVER, "sh", str(root), *inside]

    def _views(self, root: Path, shares: Iterable[Share]) -> Iterator[tuple[Path, tuple[str, ...]]]:
        """Folders, with bubblewrap's options for each (all but the last word: the folder)."""
        # Resolved, because bubblewrap does not mount over symbolic links, which stay as they are.
        hidden = {folder.resolve() for folder in self.hidden if folder.is_dir()}
        for folder in hidden:
            yield folder, ("--tmpfs",)
        for path in _needed_paths():
            if any(folder in path.parents for folder in hidden) and path.exists():
                yield path, ("--ro-bind", str(path))
        for share in shares:
            path = share.path.resolve()
            yield path, ("--bind" if share.writable else "--ro-bind", str(path))
        root = root.resolve()
        yield root, ("--bind", str(root))


PROCESS_GROUP = Isolation("process-group")


def _devices() -> list[str]:
    found = [path for pattern in _DEVICES for path in Path("/dev").glob(pattern)]
    return [word for path in found for word in ("--dev-bind", str(path), str(path))]


def _needed_paths() -> set[Path]:
    """Files and folders that programs need to start; visible even inside of hidden folders."""
    needed = {
        sys.prefix,
        sys.base_prefix,
        str(Path(__file__).parents[2]),
        "/etc/resolv.conf",
        *os.environ.get("PATH", "").split(os.pathsep),
    }
    paths = {Path(name) for name in needed if os.path.isabs(name)}  # noqa: PTH117 (of a string)
    return paths | {path.resolve() for path in paths}


# -- the choice -----------------------------------------------------------------------------------


class Trial:
    """A test of whether bubblewrap works, run in the background. Made by `try_isolation`."""

    def __init__(self, requested: RequestedIsolation) -> None:
        self._requested = requested
        self._process: subprocess.Popen[bytes] | None = None
        self._program = "" if requested == "process-group" else shutil.which(_PROGRAM) or ""
        if self._program:
            self._process = subprocess.Popen(
                [self._program, *_NAMESPACES, *_MACHINE, "--", "/bin/sh", "-c", ":"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )

    def result(self) -> Isolation:
        """The isolation of this machine's kernels. Blocks until the trial has ended.

        Raises:
            GatewayError: bubblewrap was requested and does not work; the text says why.
        """
        if self._requested == "process-group":
            return PROCESS_GROUP
        problem = self._problem()
        if not problem:
            folders = (*map(Path, _HIDDEN), config_folder(), data_folder(), state_folder())
            return Isolation("bubblewrap", self._program, folders)
        if self._requested == "auto":
            return PROCESS_GROUP
        raise GatewayError(
            f"kernels cannot be isolated with bubblewrap: {problem}; "
            "use the isolation 'process-group' to run them without it"
        )

    def stop(self) -> None:
        """End the trial if it still runs."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()

    def _problem(self) -> str:
        if self._process is None:
            return f"there is no {_PROGRAM} on PATH (the package is called bubblewrap)"
        try:
            os.close(os.pidfd_open(os.getpid()))
        except OSError as exc:
            return f"this system has no pidfd ({exc.strerror})"
        try:
            _, output = self._process.communicate(timeout=_TRIAL_SECONDS)
        except subprocess.TimeoutExpired:
            return f"{self._program} did not answer"
        if self._process.returncode == 0:
            return ""
        return output.decode(errors="replace").strip() or f"{self._program} failed"


@contextmanager
def try_isolation(requested: RequestedIsolation) -> Iterator[Trial]:
    """Start to test which isolation works; call `Trial.result` within the block.

    Args:
        requested: "auto" is bubblewrap where it works, and a process group elsewhere.

    Raises:
        GatewayError: there is no such isolation.
    """
    if requested not in (known := get_args(RequestedIsolation)):
        raise GatewayError(f"there is no isolation {requested!r}; use one of {', '.join(known)}")
    trial = Trial(requested)
    try:
        yield trial
    finally:
        trial.stop()
