"""The official client 23.9.10, unmodified: its commands on sessions, and what it lists."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from ..cli.commands import ACCESS_KEY, Commands, Result

Official = Callable[..., Result]


@pytest.fixture
def official(official_23: Path, commands: Commands, served: Mapping[str, str]) -> Official:
    """Runs a command of the official client against our gateway."""

    def run(*arguments: str) -> Result:
        return commands.run(*arguments, env=served, program=str(official_23 / "backend.ai"))

    return run


@pytest.fixture
def lab(commands: Commands, served: Mapping[str, str]) -> str:
    """A Python kernel called "lab-one" that has printed something."""
    run = ("run", "-q", "-t", "lab-one", "python", "-c", "print('from the lab')")
    assert commands.run(*run, env=served).code == 0
    return "lab-one"


def session_id(commands: Commands, served: Mapping[str, str]) -> str:
    (row,) = json.loads(commands.run("ps", "--json", env=served).text)
    return str(row["session_id"])


def test_sessions(
    official: Official, commands: Commands, served: Mapping[str, str], lab: str
) -> None:
    for command in (("ps",), ("session", "list"), ("admin", "session", "list")):
        listed = official(*command)
        assert listed.code == 0, listed.stderr
        assert lab in listed.text and "RUNNING" in listed.text and ACCESS_KEY in listed.text
    ident = session_id(commands, served)
    shown = official("session", "info", ident)
    assert shown.code == 0 and lab in shown.text and ident in shown.text and "python" in shown.text
    logs = official("session", "logs", lab)
    assert logs.code == 0 and "from the lab" in logs.text
    renamed = official("session", "rename", lab, "lab-two")
    assert renamed.code == 0 and "Session renamed to lab-two" in renamed.stderr
    ended = official("session", "rm", "lab-two")
    assert ended.code == 0 and "Done." in ended.stderr
    history = official("ps", "--status", "TERMINATED")
    assert "lab-two" in history.text and "TERMINATED" in history.text


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("admin image list", "python"),
        ("admin agent list", "ALIVE"),
        ("admin agent info i-local", "i-local"),
        ("admin keypair list", ACCESS_KEY),
        ("admin keypair info", ACCESS_KEY),
        ("admin user list", "superadmin"),
        ("admin keypair-resource-policy list", "default"),
        ("admin scaling-group list", "default"),
        ("admin scaling-group get-available default", "default"),
        ("admin domain list", "default"),
        ("admin group list", "default"),
        ("admin resource query-slots", "cpu (count)"),
        ("admin manager status", "running"),
        ("config", "backendai-trio/"),
    ],
)
def test_lists(official: Official, command: str, said: str) -> None:
    result = official(*command.split())
    assert result.code == 0, result.stderr
    assert said in result.text, result.text


def test_restart(official: Official, lab: str) -> None:
    assert official("session", "restart", lab).code == 0


def test_run(official: Official) -> None:
    result = official("run", "--rm", "python", "-c", "print('hello world')")
    assert result.code == 0, result.stderr
    assert "hello world" in result.text
