"""Processes that measure on order: one for each client, so that none disturbs the other."""

from __future__ import annotations

import json
import select
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

__all__ = ["CLIENTS", "MeasuringFailed", "Worker", "completed", "open_worker"]

CLIENTS = Path(__file__).parent / "clients"
PATIENCE_SECONDS = 600.0
END_SECONDS = 60.0


class MeasuringFailed(Exception):
    """A measurement came to no figure."""


def completed(
    argv: Sequence[str], env: Mapping[str, str], cwd: Path | None = None, **options: Any
) -> subprocess.CompletedProcess[Any]:
    """Run a command to its end, whatever its exit code, with its output captured.

    Raises:
        MeasuringFailed: it took more than ten minutes.
    """
    try:
        return subprocess.run(
            argv, env=dict(env), cwd=cwd, capture_output=True, timeout=PATIENCE_SECONDS, **options
        )
    except subprocess.TimeoutExpired as exc:
        raise MeasuringFailed(f"{' '.join(argv[:4])} took too long") from exc


class Worker:
    """A process that measures on order."""

    def __init__(self, process: subprocess.Popen[str], name: str, log: IO[bytes]) -> None:
        self._process = process
        self._name = name
        self._log = log

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, *order: object) -> dict[str, Any]:
        """Have it measure something.

        Raises:
            MeasuringFailed: it failed, ended, or took more than ten minutes.
        """
        process = self._process
        assert process.stdin is not None and process.stdout is not None
        said = f"{self._name}: {' '.join(map(str, order))[:80]}"
        try:
            process.stdin.write(json.dumps(order) + "\n")
            process.stdin.flush()
        except OSError as exc:
            raise MeasuringFailed(f"{said}: the process has ended") from exc
        ready, _, _ = select.select([process.stdout], [], [], PATIENCE_SECONDS)
        line = process.stdout.readline() if ready else ""
        if not line:
            self._log.seek(0)
            log = self._log.read()[-500:].decode(errors="replace")
            raise MeasuringFailed(f"{said}: {'ended' if ready else 'took too long'}: {log}")
        figures: dict[str, Any] = json.loads(line)
        if "error" in figures:
            raise MeasuringFailed(f"{said}: {figures['error']}")
        return figures

    def seconds(self, *order: object) -> float:
        """The figure called "seconds" of a measurement."""
        return float(self.ask(*order)["seconds"])


@contextmanager
def open_worker(
    python: Path | str, program: str, env: Mapping[str, str], *arguments: str
) -> Iterator[Worker]:
    """Start a client: a program in the folder `clients`, which a Python runs."""
    argv = [str(python), "-W", "ignore", str(CLIENTS / program), *arguments]
    # Official clients print a line and a bar for each file.
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen(
            argv,
            cwd=env.get("HOME"),
            env=dict(env),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        try:
            yield Worker(process, program, log)
        finally:
            assert process.stdin is not None
            try:
                process.stdin.close()
                process.wait(END_SECONDS)
            except (OSError, subprocess.TimeoutExpired):
                process.kill()
