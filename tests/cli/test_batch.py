"""`backend.ai batch`: a command in a session of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

import pytest

from .commands import ACCESS_KEY, SECRET_KEY, Commands, variables_of
from .terminal import eventually

Env = Mapping[str, str]


@pytest.fixture(params=["", "23.09"])
def server(commands: Commands, request: pytest.FixtureRequest) -> Iterator[Env]:
    secret = {"BACKEND_SECRET_KEY": SECRET_KEY}
    era = ["--era", request.param] if request.param else []
    with commands.serve("--access-key", ACCESS_KEY, *era, env=secret) as gateway:
        yield variables_of(gateway)


def test_output_and_exit_code(commands: Commands, server: Env) -> None:
    (commands.work / "main.py").write_text("import sys; print(sys.argv[1:]); sys.exit(3)")
    words = ["main.py", "--", "python", "main.py", "a b", "--epochs"]
    result = commands.run("batch", "python", *words, env=server)
    assert (result.code, result.text) == (3, "['a b', '--epochs']\n"), result.stderr
    assert "✔ The batch session runs." in result.stderr
    assert "∙ The command has failed with exit code 3 (task-failed)." in result.stderr
    line = commands.run("batch", "-q", "python", "--", "echo x | tr x y; exit 0", env=server)
    assert (line.code, line.text, line.stderr) == (0, "y\n", "")
    assert json.loads(commands.run("ps", "--json", env=server).text) == []


def test_without_a_server(commands: Commands) -> None:
    (commands.work / "a.txt").write_text("here\n")
    result = commands.run("batch", "python", "a.txt", "--", "cat", "a.txt")
    assert (result.code, result.text) == (0, "here\n"), result.stderr


def test_ctrl_c_ends_the_session(commands: Commands, server: Env) -> None:
    with commands.terminal("batch", "python", "--", "echo up; sleep 60", env=server) as running:
        running.expect("up")
        running.send("\x03")
        assert running.wait() == 130
    assert json.loads(commands.run("ps", "--json", env=server).text) == []


def test_wrong_usage(commands: Commands, server: Env) -> None:
    for words, told in (
        (["python"], "write the command behind --"),
        (["python", "--"], "write the command behind --"),
        (["python", "nonesuch.py", "--", "true"], "nonesuch.py"),
        (["python", "--enqueue-only", "--max-wait", "3", "--", "true"], "follows nothing"),
        (["python", "--", " "], "needs a command"),
    ):
        assert told in commands.run("batch", *words, env=server).problem(125)
    assert "nosuchlang" in commands.run("batch", "nosuchlang", "--", "true", env=server).problem(
        127
    )
    assert "go together" in commands.run("create", "python", "--type", "batch", env=server).problem(
        125
    )


def test_limit_that_an_older_manager_lacks_creates_nothing(commands: Commands, server: Env) -> None:
    result = commands.run(
        "batch", "python", "--timeout", "0.5", "--", "sleep 60; echo never", env=server
    )
    if result.code == 124:  # our own gateway
        assert result.text == ""
        assert "The command was ended at its time limit of 0.5 s (--timeout)." in result.stderr
    else:
        assert "managers have that from 24.12 on" in result.problem(125)
    assert json.loads(commands.run("ps", "--json", env=server).text) == []


@pytest.mark.parametrize(
    "words",
    [
        ["batch", "python", "--enqueue-only", "-t", "job1", "--", "echo", "later"],
        ["create", "python", "--type", "batch", "--startup-command", "echo later", "-t", "job1"],
    ],
    ids=["batch", "create"],
)
def test_session_that_nobody_follows(commands: Commands, server: Env, words: list[str]) -> None:
    made = commands.run(*words, env=server)
    assert (made.code, made.text) == (0, "job1\n"), made.stderr
    assert "is queued." in made.stderr
    query = "query { compute_session_list(limit: 9, offset: 0) { items { id status result } } }"

    def session() -> dict[str, str]:
        answer = json.loads(commands.run("admin", "query", query, env=server).text)
        (row,) = answer["compute_session_list"]["items"]
        return row

    assert eventually(lambda: session()["status"] == "TERMINATED")
    row = session()
    assert row["result"] == "SUCCESS"
    shown = commands.run("logs", "job1", env=server)
    assert shown.text == "later\n", shown.stderr
    assert commands.run("logs", "--task", row["id"], env=server).text == "later\n"
    assert "goes with neither" in commands.run(
        "logs", "--task", "-f", row["id"], env=server
    ).problem(125)
    assert "'nobody'" in commands.run("logs", "nobody", env=server).problem(126)
