"""The command of the benchmarks, as a program."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

__all__ = ["benchmarks"]

ROOT = Path(__file__).parent.parent.parent


def benchmarks(*arguments: str | Path, seconds: float = 300) -> subprocess.CompletedProcess[str]:
    """Run ``python -m benchmarks``.

    A test that is interrupted interrupts it as well, so that it ends the servers that it has
    started.

    Args:
        arguments: of the command.
        seconds: how long it may take.
    """
    argv = [sys.executable, "-m", "benchmarks", *map(str, arguments)]
    with subprocess.Popen(
        argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            output, errors = process.communicate(timeout=seconds)
        except BaseException:
            process.send_signal(signal.SIGINT)
            raise
    return subprocess.CompletedProcess(argv, process.returncode, output, errors)
