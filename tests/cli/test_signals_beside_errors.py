"""A signal that comes while a command is failing: no traceback, and the exit code of the signal."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import signal, sys
import click
from backendai_cli.errors import main_with_exit_code
from backendai_cli.termination import EndedBySignal
from backendai_trio import ConnectionFailed

@click.command()
def failing():
    ended = KeyboardInterrupt() if sys.argv[1] == "SIGINT" else EndedBySignal(signal.SIGTERM)
    inner = BaseExceptionGroup("inner", [ended])
    raise BaseExceptionGroup("a nursery's", [ConnectionFailed("the server is gone"), inner])

main_with_exit_code(failing, [], "failing")
"""


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_signal_beside_an_error(name: str, code: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, name], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (code, "", "")
