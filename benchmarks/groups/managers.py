"""Whole commands and streams on real managers, ours beside the official client of the release."""

from __future__ import annotations

import os
import secrets
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from ..peers import ROOT
from ..rows import OURS, Limit, Row
from ..servers import backend_ai
from ..setting import Setting
from ..turns import in_turns
from ..workers import MeasuringFailed, Worker, open_worker
from .startup import seconds

NAME = "managers"
TITLE = "Real managers, with the official client of their release"
PROGRAM = ROOT / "tests" / "managers" / "manager.py"
OUTPUT = "for _ in range(5 << 10): print('x' * 1023)"
OUTPUT_BYTES = 5 << 20
FOLDER_FILES, FOLDER_BYTES = 50, 200 << 20
AT_ONCE = 20
"""Most files of an upload to a session (docs/protocol.md, section 5)."""


def measure(setting: Setting) -> Iterator[Row]:
    for release in setting.managers:
        with running(release) as variables:
            yield from _rows(setting, release, variables)


@contextmanager
def running(release: str) -> Iterator[dict[str, str]]:
    """A manager of the lab, and what leads an ordinary user to it.

    One that runs already is started anew, since 23.9.10 slows down with every request that names a
    session; one that did not is stopped afterwards.

    Raises:
        MeasuringFailed: it does not start.
    """
    ran = _manage(release, "status", check=False).returncode == 0
    _manage(release, "restart" if ran else "start")
    try:
        said = _manage(release, "env", "--user", "user").stdout
        words = shlex.split(said)
        yield dict(word.split("=", 1) for word in words if "=" in word)
    finally:
        if not ran:
            _manage(release, "stop", check=False)


def _manage(release: str, *action: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, str(PROGRAM), release, *action]
    done = subprocess.run(argv, capture_output=True, text=True)
    if check and done.returncode:
        raise MeasuringFailed(f"manager {release}, {action[0]}: {done.stderr[-500:]}")
    return done


def _rows(setting: Setting, release: str, variables: Mapping[str, str]) -> Iterator[Row]:
    with setting.place() as (folder, env), ExitStack() as stack:
        served = env | dict(variables)
        limit = Limit(1, release)
        on = f"{release}: "
        yield from _streams(setting, release, served, stack)
        commands = {OURS: backend_ai()}
        if release in setting.peers:
            commands[release] = str(setting.peers[release] / "backend.ai")
        jobs = _Jobs(folder, served)
        for title, job in jobs.all.items():
            measures = {who: partial(job, who, command) for who, command in commands.items()}
            rounds = setting.round_count(5, 2)
            samples = in_turns(measures, rounds, warm_up=False, twice=False)
            yield Row(NAME, on + title, samples, limit=limit)


def _streams(
    setting: Setting, release: str, env: Mapping[str, str], stack: ExitStack
) -> Iterator[Row]:
    """Streams of both clients, each in a session that stays."""
    workers: dict[str, Worker] = {
        OURS: stack.enter_context(open_worker(sys.executable, "ours_streams.py", env))
    }
    if release in setting.peers:
        python = setting.peers[release] / "python"
        workers[release] = stack.enter_context(open_worker(python, "official_streams.py", env))
    rounds = setting.round_count(5, 2)
    limit = Limit(1, release)
    firsts: dict[str, Callable[[], float]] = {
        who: partial(worker.seconds, "first_output") for who, worker in workers.items()
    }
    samples = in_turns(firsts, rounds, warm_up=False, twice=False)
    name = f"{release}: create of a Python session, until it has printed"
    yield Row(NAME, name, samples, limit=limit)
    opened: list[Worker] = []
    try:
        for worker in workers.values():
            worker.ask("open", "python")
            opened.append(worker)
        for title, size in (("print(1)", 0), ("5 MiB of output", OUTPUT_BYTES)):
            streams: dict[str, Callable[[], float]] = {
                who: partial(worker.seconds, *(("execute", size) if size else ("hello",)))
                for who, worker in workers.items()
            }
            samples = in_turns(streams, rounds)
            name = f"{release}: streaming execute, {title}"
            yield Row(NAME, name, samples, size=size, limit=limit, headline=bool(size))
    finally:
        for worker in opened:
            worker.ask("close")


class _Jobs:
    """Commands: each job is done by one client, and prepared and cleaned up by ours."""

    def __init__(self, work: Path, env: Mapping[str, str]) -> None:
        self._work = work
        self._env = env
        self._small = [f"small-{number}.txt" for number in range(100)]
        for name in self._small:
            (work / name).write_bytes(os.urandom(1000))
        (work / "large").mkdir()
        for number in range(FOLDER_FILES):
            data = os.urandom(FOLDER_BYTES // FOLDER_FILES)
            (work / "large" / f"{number}.bin").write_bytes(data)
        self.all: dict[str, Callable[[str, str], float]] = {
            "backend.ai run, print(1)": partial(self._code, "print(1)"),
            "backend.ai run, 5 MB of output": partial(self._code, OUTPUT),
            "upload of 100 files to a session": self._files,
            "upload of 200 MB to a virtual folder": self._folder,
        }

    def _run(self, command: str, *arguments: str) -> float:
        return seconds([command, *arguments], self._env, self._work)

    def _code(self, code: str, who: str, command: str) -> float:
        ends = [] if who == OURS else ["--rm"]
        return self._run(command, "run", "-q", *ends, "python", "-c", code)

    def _files(self, who: str, command: str) -> float:
        token = f"bench-{secrets.token_hex(4)}"
        self._run(backend_ai(), "create", "-q", "-t", token, "python")
        try:
            if who == OURS:
                return self._run(command, "upload", token, *self._small)
            # A manager takes no more at once, and the official client leaves that to its user.
            parts = [self._small[at : at + AT_ONCE] for at in range(0, len(self._small), AT_ONCE)]
            return sum(self._run(command, "session", "upload", token, *part) for part in parts)
        finally:
            self._run(backend_ai(), "rm", "-q", token)

    def _folder(self, _who: str, command: str) -> float:
        name = f"bench-{secrets.token_hex(4)}"
        self._run(backend_ai(), "vfolder", "create", name)
        try:
            return self._run(command, "vfolder", "upload", name, "-r", "large")
        finally:
            self._run(backend_ai(), "vfolder", "delete", name)
