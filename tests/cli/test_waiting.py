"""Kernels that wait for their turn, as a person sees them."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator, Mapping

import pytest

from .commands import ACCESS_KEY, SECRET_KEY, Commands, variables_of
from .terminal import eventually

Env = Mapping[str, str]
REASON = "You cannot run more than 1 concurrent sessions"


@pytest.fixture(params=["", "23.09", "26.9"])
def narrow(commands: Commands, request: pytest.FixtureRequest) -> Iterator[Env]:
    """A gateway that runs one kernel at a time, which is there already, called "first"."""
    secret = {"BACKEND_SECRET_KEY": SECRET_KEY}
    era = ["--era", request.param] if request.param else []
    with commands.serve(
        "--access-key", ACCESS_KEY, "--max-sessions", "1", *era, env=secret
    ) as gateway:
        env = variables_of(gateway) | {"COLUMNS": "200"}
        assert commands.run("create", "-q", "lua", "-t", "first", env=env).code == 0
        yield env | {"ERA": request.param}


def states(commands: Commands, env: Env) -> dict[str, str]:
    query = "query { compute_session_list(limit: 9, offset: 0) { items { name status } } }"
    answer = json.loads(commands.run("admin", "query", query, env=env).text)
    rows = answer["compute_session_list"]["items"]
    ended = ("TERMINATED", "CANCELLED")
    return {row["name"]: row["status"] for row in rows if row["status"] not in ended}


def test_run_shows_why_it_waits_and_runs_in_the_end(commands: Commands, narrow: Env) -> None:
    command = ("run", "lua", "-c", "print('turn')")
    with commands.terminal(*command, env=narrow) as running:
        told = "next in the queue" if narrow["ERA"] == "26.9" else REASON
        running.expect(f"PENDING{' ' if narrow['ERA'] == '26.9' else ''}")
        running.expect(told)
        assert commands.run("rm", "-q", "first", env=narrow).code == 0
        running.expect("is ready.")
        running.expect("turn")
        assert running.wait() == 0
    assert states(commands, narrow) == {}


def test_ctrl_c_leaves_nothing_in_the_queue(commands: Commands, narrow: Env) -> None:
    for command in (
        ["run", "lua", "-c", "1"],
        ["create", "lua"],
        ["run", "-t", "x", "lua", "-c", "1"],
    ):
        with commands.terminal(*command, env=narrow) as running:
            running.expect("PENDING")
            running.send("\x03")
            assert running.wait() == 130
        assert states(commands, narrow) == {"first": "RUNNING"}


def test_nothing_is_shown_in_a_pipe(commands: Commands, narrow: Env) -> None:
    with commands.start("create", "lua", "-t", "later", env=narrow) as running:
        assert eventually(lambda: "later" in states(commands, narrow))
        running.signal(signal.SIGTERM)
        assert running.wait() == 143
        assert "PENDING" not in running.text("stderr")
    assert states(commands, narrow) == {"first": "RUNNING"}


def test_max_wait(commands: Commands, narrow: Env) -> None:
    for command in (["create", "lua"], ["run", "lua", "-c", "1"]):
        result = commands.run(*command, "--max-wait", "1.5", env=narrow)
        problem = result.problem(124)
        assert "did not run within 1.5 s" in problem
        # A slow machine is not told the state in time.
        if ": it was" in problem:
            assert "it was PENDING" in problem
            assert ("next in the queue" if narrow["ERA"] == "26.9" else REASON) in problem
        assert states(commands, narrow) == {"first": "RUNNING"}


def test_enqueue_only(commands: Commands, narrow: Env) -> None:
    made = commands.run("create", "lua", "-t", "later", "--enqueue-only", "--json", env=narrow)
    assert made.code == 0, made.stderr
    assert json.loads(made.text) | {"id": ""} == {"token": "later", "id": "", "created": True}
    assert "is queued." in made.stderr
    assert states(commands, narrow)["later"] == "PENDING"
    shown = commands.run("info", "later", env=narrow).text
    assert "PENDING" in shown
    if narrow["ERA"] != "26.9":
        assert REASON in shown
    assert commands.run("rm", "-q", "later", env=narrow).code == 0
    assert "'backend.ai create --enqueue-only'" in commands.run(
        "run", "lua", "-c", "1", "--enqueue-only", env=narrow
    ).problem(125)
    assert "takes no --max-wait" in commands.run(
        "create", "lua", "--enqueue-only", "--max-wait", "3", env=narrow
    ).problem(125)


def test_a_gateway_without_a_queue_refuses_at_once(commands: Commands) -> None:
    secret = {"BACKEND_SECRET_KEY": SECRET_KEY}
    options = ("--access-key", ACCESS_KEY, "--max-sessions", "1", "--max-waiting", "0")
    with commands.serve(*options, env=secret) as gateway:
        env = variables_of(gateway)
        assert commands.run("create", "-q", "lua", "-t", "first", env=env).code == 0
        refused = commands.run("create", "lua", "-t", "second", env=env)
        assert refused.code == 126
        assert "Too many kernels: this gateway runs at most 1; destroy one first" in refused.stderr
        assert states(commands, env) == {"first": "RUNNING"}
