"""`gc`: what killed commands have left is found and ended, and nothing else."""

from __future__ import annotations

import json
import signal
import stat
from collections.abc import Mapping
from pathlib import Path

import pytest

from .commands import SECRET_KEY, Commands

FOREVER = "print('started'); io.flush(); while true do end"


def tokens(commands: Commands, served: Mapping[str, str]) -> set[str]:
    return {row["token"] for row in json.loads(commands.run("ps", "--json", env=served).stdout)}


def notes(commands: Commands) -> list[Path]:
    return list((commands.home / ".local" / "state" / "backendai-trio" / "kernels").glob("*"))


def leave_one(commands: Commands, served: Mapping[str, str], *sweep: str) -> None:
    """A command that is killed while its code runs."""
    with commands.start("run", "-q", "lua", "-c", FOREVER, *sweep, env=served) as run:
        run.expect("started")
        run.signal(signal.SIGKILL)
        assert run.wait() == -signal.SIGKILL


def test_what_was_left_is_ended(commands: Commands, served: Mapping[str, str]) -> None:
    leave_one(commands, served)
    (left,) = tokens(commands, served)
    (note,) = notes(commands)
    assert left in note.name and stat.S_IMODE(note.stat().st_mode) == 0o600
    assert SECRET_KEY not in note.read_text()
    dry = commands.run("gc", "--dry-run", env=served)
    assert (dry.code, dry.text) == (0, f"{left}\n")
    assert tokens(commands, served) == {left}
    result = commands.run("gc", env=served)
    assert result.code == 0 and f"{left}: ended." in result.stderr
    assert result.stderr.endswith("✔ Cleaned up 1 kernel.\n")
    assert tokens(commands, served) == set() and notes(commands) == []
    assert commands.run("gc", env=served).stderr == "✔ No kernel was left behind.\n"


def test_others_are_left_alone(commands: Commands, served: Mapping[str, str]) -> None:
    assert commands.run("run", "-q", "lua", "-t", "meant", "-c", "x = 1", env=served).code == 0
    with commands.start("run", "-q", "lua", "-c", FOREVER, env=served) as alive:
        alive.expect("started")
        before = tokens(commands, served)
        assert len(before) == 2 and "meant" in before
        assert commands.run("gc", "--dry-run", env=served).text == ""
        assert commands.run("gc", env=served).code == 0
        assert tokens(commands, served) == before
        alive.signal(signal.SIGTERM)
        alive.wait()
    assert tokens(commands, served) == {"meant"} and notes(commands) == []


def test_one_that_has_ended_meanwhile(commands: Commands, served: Mapping[str, str]) -> None:
    leave_one(commands, served)
    (note,) = notes(commands)
    left = json.loads(note.read_text().splitlines()[0])["token"]
    gone = commands.run("run", "-q", "lua", "-t", left, "--rm", "-c", "x = 1", env=served)
    assert gone.code == 0, gone.stderr
    assert f"{left}: had ended already." in commands.run("gc", env=served).stderr
    assert notes(commands) == []


def test_another_server_is_named(commands: Commands, served: Mapping[str, str]) -> None:
    leave_one(commands, served)
    other = dict(served) | {"BACKEND_ENDPOINT": "http://127.0.0.1:1"}
    result = commands.run("gc", env=other)
    assert result.code == 0 and served["BACKEND_ENDPOINT"] in result.stderr
    assert len(notes(commands)) == 1
    assert commands.run("gc", env=served).code == 0


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff"])
def test_a_file_that_is_no_note(
    commands: Commands, served: Mapping[str, str], content: bytes
) -> None:
    folder = commands.home / ".local" / "state" / "backendai-trio" / "kernels"
    folder.mkdir(parents=True)
    (folder / "x.json").write_bytes(content)
    assert commands.run("gc", env=served).code == 0


def test_a_home_that_cannot_be_written(commands: Commands, served: Mapping[str, str]) -> None:
    blocked = commands.home / ".local" / "state"
    blocked.parent.mkdir(exist_ok=True)
    blocked.write_text("a file, where a folder should be")
    result = commands.run("run", "-q", "lua", "-c", "print(1)", env=served)
    assert (result.code, result.stdout, result.stderr) == (0, b"1\n", "")
    assert commands.run("gc", env=served).code == 0


def test_kernels_on_this_machine_need_no_note(commands: Commands) -> None:
    with commands.start("run", "-q", "lua", "-c", FOREVER) as run:
        run.expect("started")
        assert notes(commands) == []
        run.signal(signal.SIGTERM)
        run.wait()
