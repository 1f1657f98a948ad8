"""Isolation of kernels from the machine: bubblewrap where it works, else a process group.

With bubblewrap a kernel's process host, and with it all its programs, runs in user, mount, process
and IPC namespaces of its own, without privileges. It can write to its own folder and to virtual
folders that are mounted writable. Of the machine's files it can read those of the operating system,
of the runtimes, and what the gateway was told to make readable (`file_view.py`); not the homes of
users. It sees no other processes and none of the user's terminals. The network is the machine's
or one of its own, and the use of CPU, memory and disk is not limited.

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
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import get_args

from ...config.user_dirs import config_folder, data_folder, state_folder
from ...errors import GatewayError
from ...wire.kernel_spec import WORK_FOLDER
from ..settings import RequestedIsolation, RequestedNetwork
from ..shares import Share
from .file_view import Mount, files_of_root, machine_mounts, options, own_mount
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
#: For the trial.
_WHOLE_MACHINE = ("--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc")

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
        hidden: files and folders that kernels cannot read, wherever they are.
        readable: files and folders that they can read, in addition to the operating system's and to
            those of the gateway's Python.
        network: what kernels reach (`GatewayOptions.network`).
    """

    name: str
    program: str = ""
    hidden: tuple[Path, ...] = ()
    readable: tuple[Path, ...] = ()
    network: RequestedNetwork = "host"

    @property
    def separates(self) -> bool:
        """Whether kernels have namespaces of their own."""
        return bool(self.program)

    def hiding(self, *paths: Path | None) -> Isolation:
        """The same isolation with more hidden files and folders."""
        more = tuple(path for path in paths if path is not None)
        return replace(self, hidden=self.hidden + more)

    def reading(self, *paths: Path) -> Isolation:
        """The same isolation with more readable files and folders (absolute paths)."""
        return replace(self, readable=self.readable + paths)

    def command(self, argv: Sequence[str], root: Path, shares: Iterable[Share]) -> list[str]:
        """The command that starts a process host with this isolation.

        Args:
            argv: the host's own command.
            root: the kernel's folder.
            shares: other folders that it may use. In a process group it may use all of them.
        """
        if not self.program:
            return list(argv)
        used = [own_mount(share.path, writable=share.writable) for share in shares]
        mounts = [*self._machine, *used, own_mount(root, writable=True)]
        if not _is_used(mounts):
            # Programs run in the folder itself: the gateway follows the links that they make there.
            mounts.append(own_mount(root / "work", writable=True, at=WORK_FOLDER))
        files = options(mounts)
        inside = [*_program(self.program, self.network), *files, "--", *argv]
        return ["/bin/sh", "-c", _REMOVER, "sh", str(root), *inside]

    @cached_property
    def _machine(self) -> list[Mount]:
        return machine_mounts([*_needed_paths(), *map(str, self.readable)], self.hidden)


PROCESS_GROUP = Isolation("process-group")


def _program(bubblewrap: str, network: RequestedNetwork) -> list[str]:
    """bubblewrap with the options for namespaces, and what must be started before it."""
    if network == "none":
        # bubblewrap would bring the loopback interface up. Inside, the user stays the same.
        own = ["--uid", str(os.geteuid()), "--gid", str(os.getegid())]
        return [_unshare(), "--map-root-user", "--net", "--", bubblewrap, *_NAMESPACES, *own]
    if network == "loopback":
        return [bubblewrap, *_NAMESPACES, "--unshare-net"]
    return [bubblewrap, *_NAMESPACES]


def _unshare() -> str:
    return shutil.which("unshare") or ""


def _is_used(mounts: Iterable[Mount]) -> bool:
    """Whether something is mounted where managers' kernels have the work folder, above or below:
    a folder could not be made there, or would get folders of the machine."""
    place = f"{WORK_FOLDER}/"
    paths = [f"{mount.words[-1].rstrip('/')}/" for mount in mounts]
    return any(path.startswith(place) or place.startswith(path) for path in paths)


def _needed_paths() -> set[str]:
    """Absolute paths of files and folders that programs need to start."""
    home = Path(os.path.expanduser("~"))  # noqa: PTH111 (there may be none)
    return {
        sys.executable,
        sys.prefix,
        sys.base_prefix,
        str(Path(__file__).parents[2]),
        "/etc/resolv.conf",
        *(
            path
            for path in os.environ.get("PATH", "").split(os.pathsep)
            if Path(path).is_absolute() and not home.is_relative_to(path)
        ),
    }


# -- the choice -----------------------------------------------------------------------------------


class Trial:
    """A test of whether bubblewrap works, run in the background. Made by `try_isolation`."""

    def __init__(self, requested: RequestedIsolation, network: RequestedNetwork) -> None:
        self._requested = requested
        self._network = network
        self._process: subprocess.Popen[bytes] | None = None
        self._program = "" if requested == "process-group" else shutil.which(_PROGRAM) or ""
        if self._program and (network != "none" or _unshare()):
            self._process = subprocess.Popen(
                [*_program(self._program, network), *_WHOLE_MACHINE, "--", "/bin/sh", "-c", ":"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )

    def result(self) -> Isolation:
        """The isolation of this machine's kernels. Blocks until the trial has ended.

        Raises:
            GatewayError: bubblewrap was requested, or is needed for the network, and does not work;
                the text says why.
        """
        if self._requested == "process-group":
            return PROCESS_GROUP
        problem = self._problem()
        if not problem:
            hidden = (config_folder(), data_folder(), state_folder(), *files_of_root())
            return Isolation("bubblewrap", self._program, hidden, network=self._network)
        if self._requested == "auto" and self._network == "host":
            return PROCESS_GROUP
        advice = "use the isolation 'process-group' to run them without it"
        if self._network != "host":
            advice = f"the network {self._network!r} needs it; without it there is only 'host'"
        raise GatewayError(f"kernels cannot be isolated with bubblewrap: {problem}; {advice}")

    def stop(self) -> None:
        """End the trial if it still runs."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()

    def _problem(self) -> str:
        if self._process is None and self._program:
            return "there is no unshare on PATH (it is part of util-linux)"
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
def try_isolation(
    requested: RequestedIsolation, network: RequestedNetwork = "host"
) -> Iterator[Trial]:
    """Start to test which isolation works; call `Trial.result` within the block.

    Args:
        requested: "auto" is bubblewrap where it works, and a process group elsewhere.
        network: what kernels reach.

    Raises:
        GatewayError: there is no such isolation or network, or the isolation does not have the
            network.
    """
    _check("isolation", requested, get_args(RequestedIsolation))
    _check("network", network, get_args(RequestedNetwork))
    if requested == "process-group" and network != "host":
        raise GatewayError(
            f"the network {network!r} needs the isolation 'bubblewrap'; in a process group there "
            "is only 'host'"
        )
    trial = Trial(requested, network)
    try:
        yield trial
    finally:
        trial.stop()


def _check(what: str, requested: str, known: tuple[str, ...]) -> None:
    if requested not in known:
        raise GatewayError(f"there is no {what} {requested!r}; use one of {', '.join(known)}")
