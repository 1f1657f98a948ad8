"""What keeps kernels apart from the machine: bubblewrap where it works, else a process group.

With bubblewrap a kernel's process host, and with it all programs, runs in user, mount, process and
IPC namespaces of its own, without privileges. It can write its own folder and the virtual folders
that it has mounted for writing; the rest of the machine's files it can read as the user can. What
gateways and clients of this library keep (key pairs, other kernels, folders that it has not
mounted) it does not see, nor other processes, nor the user's terminals. The network is the
machine's, and nothing limits how much of the machine is used.

The host is process 1 in there: Linux ends all others with it, and lets none of them harm it.
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
from ..settings import WantedIsolation
from .host_main import ORPHANED

__all__ = ["PROCESS_GROUP", "Isolation", "Share", "Trial", "try_isolation"]

_PROGRAM = "bwrap"
#: How long a trial may take; usually it is 15 ms.
_TRIAL_SECONDS = 10.0

_NAMESPACES = (
    "--unshare-user",
    "--unshare-pid",
    "--unshare-ipc",
    "--die-with-parent",
    "--as-pid-1",
    # Of root, bubblewrap drops none by itself.
    "--cap-drop",
    "ALL",
)
#: A fresh /dev has no terminals but the kernel's own. Files in /proc that belong to root can be
#: written by a root without privileges, too.
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
#: Accelerators, as far as there are any.
_DEVICES = ("nvidia*", "dri", "kfd", "dxg")
#: Where others put what is not for kernels: sockets of the user's session, of its agents, and of
#: daemons that would do anything for the user (Docker's); and other kernels.
_OTHERS = ("/run", "/tmp", "/var/tmp")  # noqa: S108

#: Stays outside: a kernel's folder is a mount point inside, which cannot be removed there. When
#: the gateway was killed, its own folder is nobody's, and empty after the last kernel.
_REMOVER = f"""
root=$1; shift; "$@"; code=$?
rmdir "$root" 2>/dev/null
if [ $code = {ORPHANED} ]; then rmdir "${{root%/*}}" 2>/dev/null; fi
exit $code
"""


@dataclass(frozen=True)
class Share:
    """A folder outside its own that a kernel may use."""

    path: Path
    writable: bool


@dataclass(frozen=True)
class Isolation:
    """One of the two ways, ready to be used.

    Attributes:
        name: "bubblewrap" or "process-group".
        program: bubblewrap's path; empty for a process group.
        hidden: folders whose contents kernels do not see.
    """

    name: str
    program: str = ""
    hidden: tuple[Path, ...] = ()

    @property
    def separates(self) -> bool:
        """Whether kernels have namespaces of their own."""
        return bool(self.program)

    def hiding(self, *folders: Path | None) -> Isolation:
        """The same, with more folders hidden."""
        more = tuple(folder for folder in folders if folder is not None)
        return Isolation(self.name, self.program, self.hidden + more)

    def command(self, argv: Sequence[str], root: Path, shares: Iterable[Share]) -> list[str]:
        """What starts a process host so that it is kept apart.

        Args:
            argv: the host's own command.
            root: the kernel's folder.
            shares: what it may use beside that. In a process group it may use everything.
        """
        if not self.program:
            return list(argv)
        # By depth: what is deeper in the tree decides, whatever is said about the folders above.
        views = sorted(self._views(root, shares), key=lambda view: len(view[0].parts))
        places = [word for path, words in views for word in (*words, str(path))]
        inside = [self.program, *_NAMESPACES, *_MACHINE, *_devices(), *places, "--", *argv]
        return ["/bin/sh", "-c", _REMOVER, "sh", str(root), *inside]

    def _views(self, root: Path, shares: Iterable[Share]) -> Iterator[tuple[Path, tuple[str, ...]]]:
        """Places, and the options that say what is seen there, without the place itself."""
        # Resolved, because bubblewrap mounts over no symbolic link. The links are still there.
        hidden = {folder.resolve() for folder in self.hidden if folder.is_dir()}
        for folder in hidden:
            yield folder, ("--tmpfs",)
        for path in _needed():
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


def _needed() -> set[Path]:
    """What programs are found by, host and interpreters first: seen also in hidden folders."""
    needed = {
        sys.prefix,
        sys.base_prefix,
        str(Path(__file__).parents[2]),
        "/etc/resolv.conf",
        *os.environ.get("PATH", "").split(os.pathsep),
    }
    paths = {Path(name) for name in needed if os.path.isabs(name)}  # noqa: PTH117 (of a string)
    return paths | {path.resolve() for path in paths}


# -- which one it is ------------------------------------------------------------------------------


class Trial:
    """Finds out whether bubblewrap works, while something else is done. See `try_isolation`."""

    def __init__(self, wanted: WantedIsolation) -> None:
        self._wanted = wanted
        self._process: subprocess.Popen[bytes] | None = None
        self._program = "" if wanted == "process-group" else shutil.which(_PROGRAM) or ""
        if self._program:
            self._process = subprocess.Popen(
                [self._program, *_NAMESPACES, *_MACHINE, "--", "/bin/sh", "-c", ":"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )

    def result(self) -> Isolation:
        """What kernels get. Waits for the end of the trial.

        Raises:
            GatewayError: bubblewrap was asked for, and it does not work; the text says why.
        """
        if self._wanted == "process-group":
            return PROCESS_GROUP
        problem = self._problem()
        if not problem:
            folders = (*map(Path, _OTHERS), config_folder(), data_folder(), state_folder())
            return Isolation("bubblewrap", self._program, folders)
        if self._wanted == "auto":
            return PROCESS_GROUP
        raise GatewayError(
            f"kernels cannot be isolated with bubblewrap: {problem}; "
            "choose the isolation 'process-group' to run them without"
        )

    def stop(self) -> None:
        """End it, if it still goes on."""
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
            _, said = self._process.communicate(timeout=_TRIAL_SECONDS)
        except subprocess.TimeoutExpired:
            return f"{self._program} did not answer"
        if self._process.returncode == 0:
            return ""
        return said.decode(errors="replace").strip() or f"{self._program} failed"


@contextmanager
def try_isolation(wanted: WantedIsolation) -> Iterator[Trial]:
    """Begin to find out what isolation there can be.

    Args:
        wanted: "auto" is bubblewrap where that works, and a process group elsewhere.

    Raises:
        GatewayError: there is no such isolation.
    """
    if wanted not in (known := get_args(WantedIsolation)):
        raise GatewayError(f"there is no isolation {wanted!r}; choose {', '.join(known)}")
    trial = Trial(wanted)
    try:
        yield trial
    finally:
        trial.stop()
