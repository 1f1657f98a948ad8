"""`admin`, `images`, `ps` and `doctor`: lists for people and for programs."""

from __future__ import annotations

import json
import os
import re
import socket
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
    import re

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


def test_dotfiles(commands: Commands, served: Env) -> None:
    assert commands.run("dotfile", "list", env=served).text == "There are no dotfiles.\n"
    (commands.work / "rc").write_text("alias ü=ls\n")
    made = commands.run("dotfile", "set", ".bashrc", "rc", env=served)
    assert (made.code, made.stderr) == (0, "✔ The dotfile .bashrc is created.\n")
    made = commands.run(
        "dotfile", "set", ".run", "-", "--permission", "755", env=served, stdin=b"x"
    )
    assert made.code == 0, made.stderr
    again = commands.run("dotfile", "set", ".bashrc", "rc", env=served)
    assert again.stderr == "✔ The dotfile .bashrc is replaced.\n"
    assert commands.run("dotfile", "get", ".bashrc", env=served).text == "alias ü=ls\n"
    rows = json.loads(commands.run("dotfile", "list", "--json", env=served).text)
    assert {"path": ".run", "permission": "755", "size": 1, "data": "x"} in rows
    shown = commands.run("dotfile", "list", "-f", "size,path", env=served).text.split()
    assert shown[:2] == ["Size", "Path"] and "12" in shown
    listed = commands.run("run", "-q", "python", "-c", "print(open('.run').read())", env=served)
    assert listed.text == "x\n"
    (commands.work / "latin").write_bytes(b"\xfc")
    for words, reason in [
        (("set", ".a", "latin"), "a dotfile is text in UTF-8"),
        (("set", ".a", "rc", "--permission", "rw"), "three octal digits"),
    ]:
        assert reason in commands.run("dotfile", *words, env=served).problem(125)
    assert commands.run("dotfile", "delete", "-q", ".bashrc", ".run", env=served).stderr == ""
    assert "No such dotfile" in commands.run("dotfile", "get", ".run", env=served).problem(126)
    reserved = commands.run("dotfile", "set", ".ssh", "rc", env=served)
    assert "reserved" in reserved.problem(126)


@pytest.mark.usefixtures("ssh_keygen")
def test_ssh_key(commands: Commands, served: Env) -> None:
    assert "ssh-key generate FILE" in commands.run("ssh-key", "show", env=served).problem(125)
    made = commands.run("ssh-key", "generate", "id", env=served)
    assert (made.code, made.text) == (0, ""), made.stderr
    private, public = commands.work / "id", commands.work / "id.pub"
    assert private.stat().st_mode & 0o777 == 0o600
    assert "PRIVATE KEY" in private.read_text()
    assert commands.run("ssh-key", "show", env=served).text == public.read_text()
    again = commands.run("ssh-key", "generate", "id", env=served)
    assert "id exists already; replace it with -f" in again.problem(125)
    before = private.read_text()
    unasked = commands.run("ssh-key", "generate", "-f", "id", env=served).problem(125)
    assert "key pair of the server is about to be replaced" in unasked and "--yes" in unasked
    assert private.read_text() == before
    assert commands.run("ssh-key", "show", env=served).text == public.read_text()
    assert commands.run("ssh-key", "generate", "-q", "-y", "-f", "id", env=served).stderr == ""
    assert private.read_text() != before
    (commands.work / "own").write_text(before)
    missing = commands.run("ssh-key", "upload", "own", env=served)
    assert "cannot read own.pub" in missing.problem(125)
    (commands.work / "own.pub").write_text("ssh-rsa AAAA me\n")
    assert "--yes" in commands.run("ssh-key", "upload", "own", env=served).problem(125)
    assert commands.run("ssh-key", "upload", "-q", "--yes", "own", env=served).code == 0
    assert commands.run("ssh-key", "upload", "-q", "own", env=served).code == 0  # is so already
    assert commands.run("ssh-key", "show", env=served).text == "ssh-rsa AAAA me\n"
    swapped = commands.run("ssh-key", "upload", "own.pub", env=served)
    assert swapped.code == 125
    assert sorted(path.name for path in commands.work.iterdir()) == [
        "id", "id.pub", "own", "own.pub"
    ]  # fmt: skip
    nowhere = commands.run("ssh-key", "generate", "-y", "missing/id", env=served)
    assert "cannot write missing/id" in nowhere.problem(125)


@pytest.mark.usefixtures("ssh_keygen")
def test_what_an_ssh_key_replaces(
    commands: Commands, served: Env, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link that was named is followed; a pipe or a socket stays, and no key pair is made."""
    (commands.work / "keys").mkdir()
    (commands.work / "id").symlink_to("keys/id")
    for overwrite in ((), ("--yes", "-f")):  # a link to nothing, and to a file
        made = commands.run("ssh-key", "generate", *overwrite, "id", env=served)
        assert made.code == 0, made.stderr
        assert (commands.work / "id").is_symlink()
        assert "PRIVATE KEY" in (commands.work / "keys" / "id").read_text()
        assert (commands.work / "keys" / "id").stat().st_mode & 0o777 == 0o600
    before = commands.run("ssh-key", "show", env=served).text
    os.mkfifo(commands.work / "pipe")
    (commands.work / "link").symlink_to("pipe")
    monkeypatch.chdir(commands.work)  # the path of a socket must be short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
        for name in ("pipe", "socket", "link"):
            refused = commands.run("ssh-key", "generate", "--yes", "-f", name, env=served)
            assert "a device, a pipe or a socket" in refused.problem(125)
    assert (commands.work / "pipe").is_fifo() and (commands.work / "socket").is_socket()
    assert commands.run("ssh-key", "show", env=served).text == before


@pytest.mark.usefixtures("ssh_keygen")
def test_ssh_key_that_cannot_be_written(commands: Commands, served: Env) -> None:
    (commands.work / "id.pub").symlink_to("/dev/full")
    public = commands.run("ssh-key", "generate", "-f", "id", env=served).problem(125)
    assert "cannot write id.pub: No space left on device" in public
    assert "private key is in id;" in public
    assert "PRIVATE KEY" in (commands.work / "id").read_text()
    # A file of no bytes at most: that shows before the server replaces the pair that it has.
    before = commands.run("ssh-key", "show", env=served).text
    script = "ulimit -f 0; backend.ai ssh-key generate --yes other"
    private = commands.shell(script, served).problem(125)
    assert "cannot write other: File too large" in private and "new key pair" not in private
    assert commands.run("ssh-key", "show", env=served).text == before
    assert sorted(path.name for path in commands.work.iterdir()) == ["id", "id.pub"]


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


def test_templates(commands: Commands, served: Env) -> None:
    assert commands.run("template", "list", env=served).text == "There are no templates.\n"
    words = ("-r", "cpu=1", "-e", "A=1", "--tag", "t")
    made = commands.run("template", "create", "lab", "lua", *words, env=served)
    assert (made.code, made.stderr) == (0, "✔ The template lab is created.\n")
    (row,) = json.loads(commands.run("template", "list", "--json", env=served).text)
    assert (row["name"], row["id"], row["image"]) == ("lab", made.text.strip(), "lua")
    definition = json.loads(commands.run("template", "get", "lab", env=served).text)
    assert definition == row["definition"]
    assert definition["spec"]["resources"] == {"cpu": "1"}
    code = "print(os.getenv('A'), os.getenv('B'))"
    run = commands.run("run", "-q", "lua", "--template", "lab", "-e", "B=2", "-c", code, env=served)
    assert run.text.split() == ["1", "2"]
    job = commands.run("batch", "-q", "-", "--template", row["id"], "--", "echo $A", env=served)
    assert job.text == "1\n"
    made = commands.run("create", "-q", "-", "--template", "lab", "-t", "one", env=served)
    assert made.text == "one\n"
    assert json.loads(commands.run("info", "one", "--json", env=served).text)["runtime"] == "lua"
    commands.run("rm", "-q", "one", env=served)
    replaced = commands.run("template", "update", "lab", "python", env=served)
    assert replaced.stderr == "✔ The template lab is replaced.\n"
    for line, reason in [
        (("create", "-"), "name the template with --template"),
        (("template", "create", "x", "lua", "--priority", "1"), "does not hold a priority"),
        (("template", "create", "x", "lua", "--no-reuse"), "does not hold --max-wait and"),
    ]:
        assert reason in commands.run(*line, env=served).problem(125)
    gone = commands.run("template", "delete", "lab", "lab", env=served)
    assert "✔ The template lab is deleted." in gone.stderr and gone.code == 126
    for line in (("create", "-", "--template", "lab"), ("template", "get", "lab")):
        problem = commands.run(*line, env=served).problem(126)
        assert "No template 'lab'; 'backend.ai template list' lists" in problem
    assert commands.run("ps", "--json", env=served).text == "[]\n"
