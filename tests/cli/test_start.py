"""What starts at once stays so: neither the event loop nor the tables are loaded for it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from .commands import ACCESS_KEY, SECRET_KEY, Commands

SETTINGS = {
    "BACKEND_ENDPOINT": "http://127.0.0.1:8081",
    "BACKEND_ACCESS_KEY": ACCESS_KEY,
    "BACKEND_SECRET_KEY": SECRET_KEY,
}
HEAVY = {"asyncio", "anyio", "httptools", "hypercorn", "prompt_toolkit", "pygments", "rich"}
HEAVY |= {"sqlite3", "starlette", "trio"}


def loaded(commands: Commands, *arguments: str) -> set[str]:
    """The packages that a command loads."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "backendai_cli", *arguments],
        capture_output=True,
        text=True,
        env=commands.env | SETTINGS,
        cwd=commands.work,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["help"],
        ["run", "--help"],
        ["repl", "--help"],
        ["config"],
        ["config", "--json"],
        ["config", "list"],
        ["completion", "bash"],
    ],
)
def test_no_event_loop_and_no_tables(commands: Commands, arguments: list[str]) -> None:
    assert loaded(commands, *arguments) & HEAVY == set()


def test_the_check_sees_what_is_loaded(commands: Commands) -> None:
    assert "trio" in loaded(commands, "run", "--local", "python", "-c", "1")
