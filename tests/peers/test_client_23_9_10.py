"""The official client 23.9.10, unmodified, moves files against `backend.ai serve`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from ..cli.commands import Commands, Result

Official = Callable[..., Result]
SECONDS = 60.0


@pytest.fixture
def official(official_23: Path, commands: Commands, served: Mapping[str, str]) -> Official:
    """Runs a command of the official client, with a kernel called lab1 there."""
    made = commands.run("run", "-q", "-t", "lab1", "python", "-c", "pass", env=served)
    assert made.code == 0, made.stderr
    # Its command line takes the URL without a path, and the API's own endpoint type.
    env = dict(served) | {"BACKEND_ENDPOINT_TYPE": "api", "PYTHONWARNINGS": "ignore"}

    def run(*arguments: str) -> Result:
        program = str(official_23 / "backend.ai")
        return commands.run(*arguments, env=env, program=program, seconds=SECONDS)

    return run


def test_upload_download_and_list(official: Official, commands: Commands) -> None:
    folder = commands.work / "some" / "where"
    folder.mkdir(parents=True)
    (folder / "ünï code.txt").write_bytes(b"text\r\n")
    large = os.urandom(3 * 1024 * 1024)
    (commands.work / "large.bin").write_bytes(large)
    sent = official("session", "upload", "lab1", "some/where/ünï code.txt", "large.bin")
    assert sent.code == 0, sent.stderr + sent.text
    listed = official("session", "ls", "lab1", ".")
    assert "large.bin" in listed.text and "3.0 MiB" in listed.text, listed.text + listed.stderr
    got = official("session", "download", "lab1", "large.bin", "some", "--dest", str(commands.home))
    assert got.code == 0, got.stderr + got.text
    assert (commands.home / "large.bin").read_bytes() == large
    assert (commands.home / "some/where/ünï code.txt").read_bytes() == b"text\r\n"


def test_what_is_not_there(official: Official) -> None:
    got = official("session", "download", "lab1", "missing")
    assert got.code != 0
    assert "no such file" in (got.text + got.stderr).lower()
