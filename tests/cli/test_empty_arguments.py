"""Empty arguments, as unset variables of a script leave them: refused, and nothing is sent."""

from __future__ import annotations

import pytest

from .commands import Commands

#: They would mean the current folder, all files, or no particular kernel. No server is asked.
REFUSED = [
    ["cp", "-r", "", "lab1:there"],
    ["cp", "a", "", "lab1:"],
    ["cp", "a", ""],
    ["cp", "lab1:a", ""],
    ["upload", "lab1", ""],
    ["upload", "lab1", "a", ""],
    ["upload", "lab1", "a", "--to", ""],
    ["upload", "", "a"],
    ["download", "lab1", ""],
    ["download", "lab1", "a", "--dest", ""],
    ["sync", "", "lab1:there"],
    ["sync", ".", ""],
    ["sync", "--delete", ".", "lab1:"],
    ["ls", "lab1", ""],
    ["ls", ""],
    ["run", "python", ""],
    ["run", "python", "a", ""],
    ["run", "python", "-t", "", "-c", "1"],
    ["run", "python", "-m", "", "-c", "1"],
    ["run", "python", "-c", "1", "--env-range", "X=case:1", "--results", ""],
    ["run", "", "-c", "1"],
    ["create", ""],
    ["repl", ""],
    ["batch", "", "ls"],
    ["serve", "--host", ""],
    ["serve", "--access-key", ""],
    ["serve", "--login", "", "--password-file", "x"],
    ["proxy", "--bind", ""],
    ["--profile", "", "ps"],
    ["admin", "sessions", "--access-key", ""],
    ["ssh", "-l", "", "lab1"],
    ["cp", "a", "lab1:", "--exclude", ""],
    ["exec", "", "ls"],
    ["rm", ""],
    ["rm", "lab1", ""],
    ["info", ""],
    ["restart", ""],
    ["logs", ""],
    ["rename", "lab1", ""],
    ["create", "python", "-t", ""],
    ["vfolder", "upload", "data", ""],
    ["vfolder", "upload", "data", "a", "--to", ""],
    ["vfolder", "upload", "data", "a", "-b", ""],
    ["vfolder", "download", "data", ""],
    ["vfolder", "download", "data", "a", "-b", ""],
    ["vfolder", "rm", "-r", "data", ""],
    ["vfolder", "mv", "data", "", "x"],
    ["vfolder", "delete", ""],
    ["vfolder", "ls", "data", ""],
]


@pytest.mark.parametrize("arguments", REFUSED, ids=" ".join)
def test_an_empty_argument(commands: Commands, arguments: list[str]) -> None:
    (commands.work / "a").touch()
    nowhere = {
        "BACKEND_ENDPOINT": "http://127.0.0.1:1",
        "BACKEND_ACCESS_KEY": "AKIATESTTESTTESTTEST",
        "BACKEND_SECRET_KEY": "x" * 40,
    }
    problem = commands.run(*arguments, env=nowhere).problem(125)
    assert "empty" in problem and "--help" in problem
