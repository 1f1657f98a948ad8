"""`backend.ai doctor`: what works here, and what does not."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from .commands import ACCESS_KEY, SECRET_KEY, Commands, variables_of

Env = Mapping[str, str]


def test_doctor(commands: Commands, served: Env) -> None:
    result = commands.run("doctor", env=served)
    assert result.code == 0, result.text
    assert served["BACKEND_ENDPOINT"] in result.text
    for found in ("accepted by the server", "Clock", "Isolation", "python"):
        assert found in result.text
    assert SECRET_KEY not in result.text + result.stderr
    wrong = commands.run(
        "doctor", "--json", env=dict(served) | {"BACKEND_SECRET_KEY": SECRET_KEY[::-1]}
    )
    assert wrong.code == 125
    bad = [finding for finding in json.loads(wrong.text) if not finding["good"]]
    assert [finding["what"] for finding in bad] == ["Key pair"]
    assert "BACKEND_SECRET_KEY" in bad[0]["advice"]


def test_what_doctor_says_of_kernels(commands: Commands) -> None:
    options = ("--access-key", ACCESS_KEY, "--limit", "memory=1g", "--isolation", "process-group")
    keys = {"BACKEND_SECRET_KEY": SECRET_KEY}
    with commands.serve(*options, env=keys) as gateway:
        variables = variables_of(gateway)
        table = commands.run("doctor", env=variables)
        found = commands.run("doctor", "--json", env=variables)
        gateway.expect("Kernels are not kept apart. files: kernels read and write", on="stderr")
    assert re.search(r"^memory +yes +1,073,741,824 bytes", table.text, re.MULTILINE)
    assert re.search(
        r"^network +no +kernels reach what this machine does", table.text, re.MULTILINE
    )
    held = {item["what"]: item["holds"] for item in json.loads(found.text)}
    expected = {"memory": True, "files": False, "processes": False, "Client": None}
    assert held | expected == held


def test_doctor_without_a_server(commands: Commands) -> None:
    result = commands.run("doctor")
    assert result.code == 0
    assert "kernels run on this machine" in result.text
    assert commands.nothing_is_left(2.0)
    away = commands.run(
        "doctor",
        env={
            "BACKEND_ENDPOINT": "http://127.0.0.1:9",
            "BACKEND_ACCESS_KEY": ACCESS_KEY,
            "BACKEND_SECRET_KEY": SECRET_KEY,
        },
    )
    assert away.code == 125 and "✘ Connection: cannot connect" in away.text
    half = commands.run("doctor", env={"BACKEND_ENDPOINT": "http://127.0.0.1:9"})
    assert half.code == 125 and "BACKEND_ACCESS_KEY" in half.text
