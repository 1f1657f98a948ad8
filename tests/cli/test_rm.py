"""`backend.ai rm`: several kernels, by name or by filter."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

import pytest

from .commands import ACCESS_KEY, SECRET_KEY, Commands, variables_of

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
    assert "give --yes" in commands.run("rm", "--name", "lab-a*", env=lab).problem(125)
    with commands.terminal("rm", "--name", "lab-a*", env=lab) as running:
        running.expect("lab-a2")
        running.expect("End 2 kernels? [y/N]")
        running.send("n\n")
        assert running.wait() == 0
    assert tokens(commands, lab) == ["lab-a1", "lab-a2", "lab-b1"]
    with commands.terminal("rm", "--name", "lab-a*", env=lab) as running:
        running.expect("[y/N]")
        running.send("y\n")
        running.expect("2 kernels ended.")
        assert running.wait() == 0
    assert tokens(commands, lab) == ["lab-b1"]
    assert commands.run("rm", "--status", "running", "--yes", env=lab).code == 0
    assert tokens(commands, lab) == []
    none = commands.run("rm", "--name", "lab*", "-y", env=lab)
    assert (none.code, none.stderr) == (0, "∙ There are no such kernels.\n")


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
