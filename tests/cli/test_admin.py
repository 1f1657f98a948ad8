"""`admin`, `images`, `resources` and `ps`: lists for people and for programs."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

import pytest

from .commands import ACCESS_KEY, SECRET_KEY, Commands, variables_of

Env = Mapping[str, str]
LISTS = [
    "agents",
    "images",
    "keypairs",
    "resource-policies",
    "scaling-groups",
    "users",
    "vfolders",
]


def test_ps(commands: Commands, served: Env) -> None:
    assert commands.run("ps", env=served).text == (
        "There are no compute sessions currently running.\n"
    )
    for token, *more in (("lab1",), ("lab2", "-r", "cpu=1")):
        commands.run("create", "-q", "python", "-t", token, *more, env=served)
    lines = commands.run("ps", env=served).text.splitlines()
    assert lines[0].split() == "Token Session ID Runtime Status Created at Slots".split()  # noqa: SIM905
    assert lines[2].startswith("lab2 ") and lines[2].endswith("cpu: 1")
    commands.run("rm", "-q", "lab1", env=served)
    lines = commands.run("ps", env=served).text.splitlines()
    assert len(lines) == 3 and lines[2].startswith("lab2 ") and "RUNNING" in lines[2]
    everything = json.loads(commands.run("ps", "--status", "ALL", "--json", env=served).text)
    assert [(row["token"], row["status"]) for row in everything] == [
        ("lab2", "RUNNING"),
        ("lab1", "TERMINATED"),
    ]
    ended = commands.run("admin", "sessions", "--status", "terminated", env=served).text
    assert "lab1" in ended and "lab2" not in ended
    own = commands.run("admin", "sessions", "--access-key", ACCESS_KEY, "--json", env=served)
    assert len(json.loads(own.text)) == 1
    commands.run("rm", "-q", "lab2", env=served)


def test_pages_and_columns_of_ps(commands: Commands, served: Env) -> None:
    for number in range(4):
        commands.run("create", "-q", "python", "-t", f"lab{number}", "--tag", "night", env=served)
    commands.run("rm", "-q", "lab3", env=served)

    def ps(*options: str) -> str:
        result = commands.run("ps", *options, env=served)
        assert (result.code, result.stderr) == (0, "")
        return result.text

    rows = json.loads(ps("--json", "--all"))
    assert [row["token"] for row in rows] == ["lab2", "lab1", "lab0"]  # not what has ended
    assert list(rows[0]) == [
        *("token", "runtime", "status", "created_at", "terminated_at", "session_id", "slots"),
        *("reason", "project", "resource_group", "tag", "access_key"),
    ]
    assert {(row["access_key"], row["tag"]) for row in rows} == {(ACCESS_KEY, "night")}
    shown = ps("-f", "token,tag", "--order", "+name", "--limit", "2", "--offset", "1", "--json")
    assert json.loads(shown) == [{"token": f"lab{number}", "tag": "night"} for number in (1, 2)]
    assert ps("-f", "token", "--filter", 'name == "lab2"').split() == ["Token", "─" * 5, "lab2"]
    ended = ps("--status", "ALL", "-f", "token", "--order", "name", "--json")
    assert [row["token"] for row in json.loads(ended)] == ["lab0", "lab1", "lab2", "lab3"]
    for options, reason in [
        (("-f", "token,nonsense"), "there is no column 'nonsense'; there are token, runtime"),
        (("-f", "token,"), "names with commas between"),
        (("--limit", "0"), "--limit: 0 is less than 1"),
        (("--status", "runing"), "did you mean 'RUNNING'?"),
    ]:
        assert reason in commands.run("ps", *options, env=served).problem(125)
    wrong = commands.run("ps", "--filter", "nonsense == 1", env=served)
    assert "there is no column 'nonsense'" in wrong.problem(126)
    for number in range(3):
        commands.run("rm", "-q", f"lab{number}", env=served)


def test_resources_are_accounted_for(commands: Commands) -> None:
    secret = {"BACKEND_SECRET_KEY": SECRET_KEY}
    limited = ("--access-key", ACCESS_KEY, "--resources", "cpu=2", "--resources", "mem=4g")
    with commands.serve(*limited, env=secret) as gateway:
        env = variables_of(gateway)
        for words in (("-t", "one"), ("--enqueue-only", "-t", "two")):
            sized = ("create", "-q", "python", "-r", "cpu=1.5", *words)
            assert commands.run(*sized, env=env).code == 0
        shown = commands.run("ps", "-f", "token,status,slots,reason", "--json", env=env)
        waits, runs = json.loads(shown.text)
        assert runs == {"token": "one", "status": "RUNNING", "slots": {"cpu": "1.5"}, "reason": ""}
        assert (waits["status"], waits["slots"]) == ("PENDING", {"cpu": "1.5"})
        assert "not enough cpu: 1.5 asked for, 0.5 of 2 free" in waits["reason"]
        free = json.loads(commands.run("resources", "--json", env=env).text)
        assert free["key_pair"]["using"] == {"cpu": "1.5", "mem": "0"}
        assert free["remaining"] == {"cpu": "0.5", "mem": str(4 << 30)}
        (agent,) = json.loads(commands.run("admin", "agents", "--json", env=env).text)
        assert agent["occupied_slots"] == {"cpu": "1.5", "mem": "0"}
        never = commands.run("run", "-r", "mem=5g", "python", "-c", "1", env=env).problem(126)
        assert "mem: 5g asked for, 4g in all; ask for at most -r mem=4g" in never
        assert commands.run("run", "-q", "python", "-c", "print(1)", env=env).stdout == b"1\n"
    wrong = commands.run("serve", "--port", "0", "--resources", "gpu=1", env=secret)
    assert "There is no resource slot 'gpu'" in wrong.problem(125)
    assert "--resources x: write it as SLOT=AMOUNT" in commands.run(
        "serve", "--port", "0", "--resources", "x", env=secret
    ).problem(125)


def test_ps_tells_why_a_kernel_waits(commands: Commands) -> None:
    secret = {"BACKEND_SECRET_KEY": SECRET_KEY}
    limited = ("--access-key", ACCESS_KEY, "--max-sessions", "1")
    with commands.serve(*limited, env=secret) as gateway:
        env = variables_of(gateway)
        for words in (("-t", "one"), ("--enqueue-only", "-t", "two")):
            assert commands.run("create", "-q", "python", *words, env=env).code == 0
        rows = json.loads(commands.run("ps", "-f", "token,status,reason", "--json", env=env).text)
        waits, runs = rows
        assert (waits["token"], waits["status"]) == ("two", "PENDING")
        assert "You cannot run more than 1 concurrent sessions" in waits["reason"]
        assert runs == {"token": "one", "status": "RUNNING", "reason": ""}
        assert "Reason" in commands.run("ps", env=env).text
        running = commands.run("ps", "--status", "RUNNING", env=env).text
        assert "one" in running and "Reason" not in running
        assert commands.run("rm", "-q", "one", "two", env=env).code == 0


@pytest.mark.parametrize(
    ("era", "options", "reason"),
    [
        ("20.03", ("ps", "--filter", 'name == "a"'), "20.09.21"),
        ("20.03", ("ps", "--order", "+name,-status"), "by one column"),
        ("18.12", ("ps", "--order", "name"), "does not sort"),
        ("18.12", ("ps", "--filter", "a == 1"), "does not filter"),
        ("18.12", ("admin", "images", "-f", "name,registry"), "images has no registry"),
        ("1.3", ("ps", "--all"), "list the sessions of one key pair"),
        ("18.12", ("ps", "--all"), "or those of --access-key"),
        ("18.12", ("resources",), "has no resource presets; managers have that from 19.03 on"),
        ("23.09", ("images", "--order", "name"), "does not sort images"),
        ("23.09", ("admin", "keypairs", "-f", "secret_key"), "secret_key is a secret"),
    ],
)
def test_what_a_list_cannot_do(
    commands: Commands, era: str, options: tuple[str, ...], reason: str
) -> None:
    secret = {"BACKEND_SECRET_KEY": SECRET_KEY}
    with commands.serve("--access-key", ACCESS_KEY, "--era", era, env=secret) as gateway:
        result = commands.run(*options, env=variables_of(gateway))
        assert reason in result.problem(125)


def test_columns_of_lists(commands: Commands, served: Env) -> None:
    shown = commands.run("admin", "keypairs", "-f", "access_key,num_queries", "--json", env=served)
    assert json.loads(shown.text) == [{"access_key": ACCESS_KEY, "num_queries": 0}]
    table = commands.run("images", "-f", "tag,name", "--limit", "1", env=served)
    assert table.text.split()[:2] == ["Tag", "Name"]
    assert len(table.text.splitlines()) == 3
    unknown = commands.run("admin", "users", "-f", "nonsense", env=served)
    assert "Cannot query field 'nonsense'" in unknown.problem(126)


@pytest.mark.parametrize("name", LISTS)
def test_lists(commands: Commands, served: Env, name: str) -> None:
    result = commands.run("admin", name, env=served)
    assert result.code == 0 and result.stderr == ""
    as_json = commands.run("admin", name, "--json", env=served)
    rows = json.loads(as_json.text)
    assert isinstance(rows, list)
    if rows:
        lines = result.text.splitlines()
        assert len(lines) == 2 + len(rows)  # one a row, however long: there is no window here
    else:
        assert result.text == f"There are no {name}.\n"
    assert SECRET_KEY not in as_json.text


def test_images_of_this_machine(commands: Commands) -> None:
    rows = json.loads(commands.run("images", "--json").text)
    assert {"python", "lua"} <= {row["name"] for row in rows}
    assert commands.nothing_is_left(2.0)


@pytest.mark.parametrize("columns", [60, 200])
def test_a_list_fits_the_window(commands: Commands, served: Env, columns: int) -> None:
    env = dict(served) | {"COLUMNS": str(columns)}
    with commands.terminal("admin", "keypairs", env=env) as shown:
        assert shown.wait() == 0
        text = shown.text()
    lines = [line.rstrip("\r") for line in text.split("\n")]
    assert ACCESS_KEY in text
    assert max(len(_plain(line)) for line in lines) <= columns


def _plain(line: str) -> str:

    return re.sub(r"\x1b\[[0-9;]*m", "", line)


def test_resources(commands: Commands, served: Env) -> None:
    commands.run("create", "-q", "python", "-t", "lab1", "-r", "cpu=1", env=served)
    shown = commands.run("resources", env=served)
    assert (shown.code, shown.stderr) == (0, "")
    rows = [line.split() for line in shown.text.splitlines()]
    assert ["Key", "pair", ACCESS_KEY] in rows and ["Sessions", "1", "of", "100"] in rows
    assert ["cpu", "unlimited", "1"] in [row[:3] for row in rows]
    assert ["default", "cpu:", "1,", "mem:", "0"] in [row[:5] for row in rows]
    told = json.loads(commands.run("resources", "--json", env=served).text)
    assert list(told) == [
        "limits", "key_pair", "project", "remaining", "resource_groups", "presets"
    ]  # fmt: skip
    assert told["limits"]["sessions"] == 1
    refused = commands.run("resources", "--resource-group", "gpu", env=served)
    assert "Unknown scaling group: gpu" in refused.problem(126)
    commands.run("rm", "-q", "lab1", env=served)


def test_announcement(commands: Commands, served: Env) -> None:
    assert commands.run("announcement", env=served).text == "There is no announcement.\n"
    told = commands.run("announcement", "--set", "Down on Friday\x1b[2J", env=served)
    assert (told.code, told.stderr) == (0, "✔ It is announced.\n")
    assert commands.run("announcement", env=served).text == "Down on Friday?[2J\n"
    as_json = commands.run("announcement", "--json", env=served).text
    assert json.loads(as_json) == {"message": "Down on Friday\x1b[2J"}
    changed = commands.run("announcement", "--set", "Up", "--json", env=served)
    assert (json.loads(changed.text), changed.stderr) == ({"message": "Up"}, "")
    assert commands.run("announcement", "--clear", "-q", env=served).stderr == ""
    assert json.loads(commands.run("announcement", "--json", env=served).text) == {"message": ""}
    for words, reason in ((["--set", ""], "--clear"), (["--set", "x", "--clear"], "not both")):
        assert reason in commands.run("announcement", *words, env=served).problem(125)


def test_query(commands: Commands, served: Env) -> None:
    text = "query($ak: String) { keypair(access_key: $ak) { access_key } }"
    expected = {"keypair": {"access_key": ACCESS_KEY}}
    given = commands.run("admin", "query", text, "--var", f"ak={ACCESS_KEY}", env=served)
    assert json.loads(given.text) == expected
    piped = commands.run("admin", "query", env=served, stdin=text.encode())
    assert json.loads(piped.text) == expected
    (commands.work / "q.graphql").write_text(
        "query($n: Int!) { compute_session_list(limit: $n, offset: 0) { total_count } }"
    )
    read = commands.run("admin", "query", "-f", "q.graphql", "--var", "n=1", env=served)
    assert json.loads(read.text) == {"compute_session_list": {"total_count": 0}}


def test_query_in_which_something_is_wrong(commands: Commands, served: Env) -> None:
    wrong = commands.run("admin", "query", "{ nonsense }", env=served)
    assert "Cannot query field 'nonsense'" in wrong.problem(126)
    both = commands.run("admin", "query", "{ a }", "-f", "/dev/null", env=served)
    assert "not both" in both.problem(125)
    assert "NAME=VALUE" in commands.run(
        "admin", "query", "{ a }", "--var", "x", env=served
    ).problem(125)
