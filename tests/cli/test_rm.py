"""`backend.ai rm`: several kernels, by name or by filter."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

import pytest

from .commands import ACCESS_KEY, SECRET_KEY, Commands, variables_of
from .terminal import on_terminal

Env = Mapping[str, str]


@pytest.fixture(params=["", "18.12", "20.09", "26.9"])
def lab(commands: Commands, request: pytest.FixtureRequest) -> Iterator[Env]:
    """A gateway with kernels a1, a2 and b1."""
    secret = {"BACKEND_SECRET_KEY": SECRET_KEY}
    era = ["--era", request.param] if request.param else []
    with commands.serve("--access-key", ACCESS_KEY, *era, env=secret) as gateway:
        env = variables_of(gateway) | {"ERA": request.param}
        made = commands.shell(
            "for t in lab-a1 lab-a2 lab-b1; do backend.ai create -q lua -t $t || exit 1; done", env
        )
        assert made.code == 0, made.stderr
        yield env


def tokens(commands: Commands, env: Env) -> list[str]:
    rows = json.loads(commands.run("ps", "--json", env=env).text)
    return sorted(row["token"] for row in rows)


def test_several_with_one_summary(commands: Commands, lab: Env) -> None:
    result = commands.run("rm", "lab-a1", "nobody", "lab-b1", "lab-a1", env=lab)
    assert result.code == 126
    assert result.stderr.endswith("∙ 2 of 3 kernels ended.\n")
    assert "'nobody'" in result.stderr
    assert tokens(commands, lab) == ["lab-a2"]
    assert commands.run("rm", "lab-a2", env=lab).stderr == "✔ Ended the kernel lab-a2.\n"


def test_by_name(commands: Commands, lab: Env) -> None:
    for answer, code in (("n", 130), ("y", 0)):
        with commands.terminal("rm", "--name", "lab-a*", env=lab) as running:
            running.expect("lab-a2")
            running.expect("These 2 kernels are about to be ended. Go on? [y/N]")
            running.send(f"{answer}\n")
            assert running.wait() == code
    assert running.text().endswith("∙ 2 kernels ended.\n")
    assert tokens(commands, lab) == ["lab-b1"]
    assert commands.run("rm", "--name", "lab-b*", "--yes", env=lab).code == 0
    none = commands.run("rm", "--name", "lab*", "-y", env=lab)
    assert (none.code, none.stderr) == (0, "∙ There are no such kernels.\n")


@pytest.mark.parametrize("status", ["running", "ALL", "live"])
def test_by_status(commands: Commands, lab: Env, status: str) -> None:
    assert commands.run("rm", "--status", status, "--yes", env=lab).code == 0
    assert tokens(commands, lab) == []


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ("RUNING", "did you mean 'RUNNING'?"),
        ("RUNNING,RUNING", "did you mean 'RUNNING'?"),
        ("ALL,RUNNING", "--status: ALL goes with no other status"),
        ("", "--status: the name of a status is empty"),
    ],
)
def test_a_wrong_status(commands: Commands, status: str, reason: str) -> None:
    for command in (["rm", "--yes"], ["ps"], ["admin", "sessions"]):
        assert reason in commands.run(*command, "--status", status).problem(125)


@pytest.mark.parametrize("redirected", ["", ">out", "2>out", "<file"])
def test_a_question_needs_a_terminal(commands: Commands, served: Env, redirected: str) -> None:
    """The table is part of the question, and stays out of what standard output goes to."""
    for words in ("create -q lua -t lab1", "create -q lua -t lab2"):
        assert commands.shell(f"backend.ai {words}", served).code == 0
    (commands.work / "file").write_text("y\n")
    line = " ".join(commands.argv("rm", "--name", "'lab*'"))
    with on_terminal(
        ["/bin/sh", "-c", f"{line} {redirected}"],
        env=commands.env | dict(served),
        cwd=commands.work,
    ) as running:
        if redirected in ("", ">out"):
            running.expect("lab1")
            running.expect("Go on? [y/N]")
            running.send("y\n")
        code = running.wait()
    asked = redirected in ("", ">out")
    assert code == (0 if asked else 125)
    assert tokens(commands, served) == ([] if asked else ["lab1", "lab2"])
    if redirected == ">out":
        assert (commands.work / "out").read_text() == ""


def test_no_terminal(commands: Commands, served: Env) -> None:
    assert "confirm it with --yes" in commands.run("rm", "--name", "x*", env=served).problem(125)


def test_by_force(commands: Commands, lab: Env) -> None:
    forced = commands.run("rm", "--force", "lab-a1", env=lab)
    if lab["ERA"] == "18.12":
        assert "by force; managers can from 20.03 on" in forced.problem(125)
    else:
        assert forced.code == 0
    recursive = commands.run("rm", "--recursive", "lab-a2", env=lab)
    if lab["ERA"] in ("18.12", "20.09"):
        assert "managers can from 23.03.1 on" in recursive.problem(125)
    else:
        assert recursive.code == 0


def test_kernels_or_a_choice(commands: Commands, served: Env) -> None:
    for words in ([], ["lab1", "--status", "RUNNING"]):
        assert "name kernels, or choose them" in commands.run("rm", *words, env=served).problem(125)
