"""`backend.ai events`: what happens to sessions, while it happens."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Mapping

import pytest

from .commands import ACCESS_KEY, SECRET_KEY, Commands, variables_of
from .terminal import Running, eventually

FOLLOWING = "∙ Following events. Ctrl-C ends it.\n"
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d"


def follows(running: Running) -> None:
    running.expect(FOLLOWING, on="stderr")


def test_all_events(commands: Commands, served: Mapping[str, str]) -> None:
    with commands.start("events", env=served) as events:
        follows(events)
        assert commands.run("run", "-t", "lab", "--rm", "python", "-c", "1", env=served).code == 0
        # Each line is there as soon as it is known, though this is a pipe.
        events.expect(" session_terminated lab user-requested (exit code 0)\n")
        assert not events.ended
        events.signal(signal.SIGINT)
        assert events.wait() == 130
        lines = events.text().splitlines()
        assert events.text("stderr") == FOLLOWING
    assert all(re.match(rf"{TIME} \w+ lab\b", line) for line in lines), lines
    assert lines[0].split()[1] == "session_enqueued"


def test_one_session(commands: Commands, served: Mapping[str, str]) -> None:
    assert commands.run("run", "-t", "lab", "python", "-c", "1", env=served).code == 0
    with commands.start("events", "lab", "--json", env=served) as events:
        follows(events)
        assert commands.run("run", "--rm", "python", "-c", "1", env=served).code == 0
        assert commands.run("run", "-t", "lab", "--rm", "python", "-c", "1", env=served).code == 0
        assert events.wait() == 0
        said = [json.loads(line) for line in events.text().splitlines()]
    assert {event["token"] for event in said} == {"lab"}
    last = said[-1]
    assert re.fullmatch(TIME, last.pop("time"))
    assert last.pop("data")["ownerAccessKey"] == ACCESS_KEY
    session_id = last.pop("session_id")
    assert re.fullmatch(r"[0-9a-f-]{36}", session_id)
    assert last == {
        "name": "session_terminated",
        "token": "lab",
        "reason": "user-requested",
        "exit_code": 0,
    }


def test_session_that_is_not_there(commands: Commands, served: Mapping[str, str]) -> None:
    assert "'lab'" in commands.run("events", "lab", env=served).problem(126)


def test_no_server(commands: Commands) -> None:
    assert "BACKEND_ENDPOINT" in commands.run("events").problem(125)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_other_signals(commands: Commands, served: Mapping[str, str], name: str) -> None:
    with commands.start("events", env=served) as events:
        follows(events)
        number = getattr(signal, name)
        events.signal(number)
        assert events.wait() == 128 + number


def test_reader_that_has_enough(commands: Commands, served: Mapping[str, str]) -> None:
    script = (
        "backend.ai events 2>/dev/null | head -n 1 & sleep 1;backend.ai run -q python -c 1; wait"
    )
    done = commands.shell(script, env=served)
    assert (done.code, done.stderr) == (0, "")
    assert done.text.count("\n") == 1
    assert "session_enqueued" in done.text


def test_gateway_that_ends(commands: Commands) -> None:
    with commands.serve(
        "--access-key", ACCESS_KEY, env={"BACKEND_SECRET_KEY": SECRET_KEY}
    ) as gateway:
        env = variables_of(gateway)
        assert commands.run("run", "-t", "lab", "python", "-c", "1", env=env).code == 0
        with (
            commands.start("events", env=env) as all_,
            commands.start("events", "lab", env=env) as one,
        ):
            follows(all_)
            follows(one)
            gateway.signal(signal.SIGTERM)
            assert (all_.wait(), one.wait()) == (0, 0)
            for events in (all_, one):
                assert "session_terminated lab gateway-closed (exit code 0)\n" in events.text()
            assert all_.text("stderr").endswith("! The server closed the stream of events.\n")
        gateway.wait()
    assert eventually(lambda: gateway.ended)
