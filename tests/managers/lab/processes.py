"""Background processes that outlive the command that starts them, and end by process id.

A note of a process holds its id and its start time, so that an id that was given to another process
since is never signalled.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

__all__ = ["LabError", "Processes", "last_lines"]

_POLL_SECONDS = 0.2
_START_SECONDS = 300.0
"""A server that does not serve within this time never will, however busy the machine is."""


class LabError(Exception):
    """A server cannot be installed or started; the text says what to do."""


class Processes:
    """The processes of one server.

    Attributes:
        notes: folder of the notes, ``NAME.pid`` each; the servers write some of their own there.
        logs: folder of ``NAME.log``, standard output and errors.
    """

    def __init__(self, notes: Path, logs: Path) -> None:
        self.notes = notes
        self.logs = logs

    def log(self, name: str) -> Path:
        """Where a process writes."""
        return self.logs / f"{name}.log"

    def pid(self, name: str) -> int | None:
        """Id of the process, None when it does not run."""
        try:
            pid, started = self._note(name).read_text().split()
        except (OSError, ValueError):
            return None
        return int(pid) if _start_time(int(pid)) == started else None

    def names(self, pattern: str) -> list[str]:
        """Names of the processes that have a note, e.g. of ``kernel-*``."""
        return sorted(note.stem for note in self.notes.glob(f"{pattern}.pid"))

    def start(
        self, name: str, command: Sequence[str], *, cwd: Path, env: Mapping[str, str]
    ) -> None:
        """Start a process in a session of its own, and note it.

        Not by `subprocess`, which complains of processes that nobody waits for.
        """
        log = str(self.log(name))
        pid = os.posix_spawnp(
            "env",
            ["env", "--chdir", str(cwd), *command],
            dict(env),
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
        )
        self._note(name).write_text(f"{pid} {_start_time(pid)}\n")

    def wait_ready(
        self, name: str, ready: Callable[[], bool], *, seconds: float = _START_SECONDS
    ) -> None:
        """Wait until a process serves.

        Raises:
            LabError: it ended, or was not ready in time.
        """
        deadline = time.monotonic() + seconds
        while not ready():
            ended = self.pid(name) is None
            if ended or time.monotonic() > deadline:
                why = "ended" if ended else f"was not ready within {seconds:g} s"
                tail = last_lines(self.log(name))
                raise LabError(f"{name} {why}; the end of {self.log(name)}:\n{tail}")
            time.sleep(_POLL_SECONDS)

    def end(self, name: str, number: signal.Signals, *, seconds: float) -> bool:
        """End a process: ask with a signal, and kill its group when it does not heed it in time.

        Returns:
            Whether it had to be killed.
        """
        killed = False
        if (pid := self.pid(name)) is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
            deadline = time.monotonic() + seconds
            while self.pid(name) is not None and time.monotonic() < deadline:
                _reap(pid)
                time.sleep(_POLL_SECONDS)
            if self.pid(name) is not None:
                killed = True
                with suppress(ProcessLookupError):  # it has just ended by itself
                    os.killpg(pid, signal.SIGKILL)  # `start` made it the leader of its group
                while self.pid(name) is not None:
                    _reap(pid)
                    time.sleep(_POLL_SECONDS)
        self._note(name).unlink(missing_ok=True)
        return killed

    def _note(self, name: str) -> Path:
        return self.notes / f"{name}.pid"


def last_lines(path: Path, count: int = 25) -> str:
    """The end of a log."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 64 * 1024))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return "(there is no log)"
    return "\n".join(lines[-count:])


def _start_time(pid: int) -> str | None:
    """When a process started, in clock ticks since boot; None if it has ended."""
    try:
        # The second field, in parentheses, may hold anything.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]


def _reap(pid: int) -> None:
    """Collect a process that this very program has started."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        pass  # an earlier command started it
