"""Commands on kernels that stay: create, rm, info, exec, logs and the like."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

import pytest

from .commands import Commands
from .plain_servers import MANAGER, answering

Env = Mapping[str, str]


@pytest.fixture
def lab(commands: Commands, served: Env) -> Iterator[str]:
    """A Python kernel called "lab", on a served gateway."""
    result = commands.run("create", "python", "-t", "lab", env=served)
    assert (result.code, result.text) == (0, "lab\n")
    yield "lab"
    commands.run("rm", "-q", "lab", env=served)


def tokens(commands: Commands, env: Env) -> list[str]:
    return [row["token"] for row in json.loads(commands.run("ps", "--json", env=env).text)]


def test_create_prints_the_token_alone(commands: Commands, served: Env) -> None:
    result = commands.run("create", "lua", env=served)
    assert result.code == 0
    assert result.stderr.startswith("✔ Kernel (ID: ") and result.stderr.endswith(") is ready.\n")
    (token,) = result.text.splitlines()
    assert tokens(commands, served) == [token]
    again = commands.run("start", "lua", "-t", token, "--json", env=served)
    assert json.loads(again.text) | {"id": ""} == {"token": token, "id": "", "created": False}
    assert "exists already" in again.stderr
    assert commands.run("rm", "-q", token, env=served).stderr == ""
    assert tokens(commands, served) == []


def test_official_names(commands: Commands, served: Env) -> None:
    made = commands.run("session", "create", "lua", "--name", "lab-one", env=served)
    assert (made.code, made.text) == (0, "lab-one\n")
    listed = commands.run("session", "list", "--json", env=served)
    assert [row["token"] for row in json.loads(listed.text)] == ["lab-one"]
    assert commands.run("session", "destroy", "--forced", "lab-one", env=served).code == 0
    assert tokens(commands, served) == []
    assert "'list'" in commands.run("session", "lst", env=served).problem(125)


def test_create_in_which_something_is_wrong(commands: Commands, served: Env) -> None:
    assert "installed here: " in commands.run("create", "nosuchlang", env=served).problem(127)
    assert "-r cpu: write it as SLOT=AMOUNT" in commands.run(
        "create", "python", "-r", "cpu", env=served
    ).problem(125)
    assert "cannot be a client token" in commands.run(
        "create", "python", "-t", "a b", env=served
    ).problem(125)
    assert tokens(commands, served) == []


@pytest.mark.parametrize(
    ("resource", "said"),
    [
        ("foo=4", "There is no resource slot 'foo'; this machine has cpu and mem"),
        ("mem=4q", "'4q' is no amount of mem"),
        ("cpu=-1", "'-1' is no amount of cpu"),
    ],
)
def test_resources_that_this_machine_does_not_have(
    commands: Commands, served: Env, resource: str, said: str
) -> None:
    for command in (("create", "python"), ("run", "-q", "python", "-c", "1")):
        result = commands.run(command[0], "-r", resource, *command[1:], env=served)
        assert said in result.problem(126)
    assert tokens(commands, served) == []


def test_resources_that_it_has(commands: Commands, served: Env) -> None:
    for amount in ("mem=512", "mem=1.5g", "mem=2GiB", "cpu=0.5"):
        done = commands.run("run", "-q", "-r", amount, "python", "-c", "print(1)", env=served)
        assert done.stdout == b"1\n", done


@pytest.mark.parametrize(
    "command", [("run", "-q", "lab", "-c", "1"), ("create", "lab"), ("batch", "lab", "--", "true")]
)
def test_a_kernel_in_place_of_a_runtime(
    commands: Commands, served: Env, lab: str, command: tuple[str, ...]
) -> None:
    problem = commands.run(*command, env=served).problem(127)
    assert "lab is a kernel that runs: write python -t lab in its place" in problem


@pytest.mark.parametrize("word", ["rm", "kill", "destroy"])
def test_rm_tries_all(commands: Commands, served: Env, lab: str, word: str) -> None:
    result = commands.run(word, "nobody", lab, "-s", env=served)
    assert result.code == 126
    assert "no kernel is named 'nobody'" in result.stderr
    assert "✔ Ended the kernel lab.\n" in result.stderr
    assert "cpu_used_msec" in result.stderr
    assert tokens(commands, served) == []


def test_info(commands: Commands, served: Env, lab: str) -> None:
    shown = commands.run("info", lab, env=served)
    assert re.search(r"^Runtime +python\n", shown.text, re.MULTILINE)
    assert re.search(r"^Status +RUNNING\n", shown.text, re.MULTILINE)
    assert re.search(r"^Age +[0-9.]+ s\n", shown.text, re.MULTILINE)
    told = json.loads(commands.run("info", lab, "--json", env=served).text)
    assert (told["kernel"], told["runtime"]) == ("lab", "python")
    assert "no kernel is named 'nobody'" in commands.run("info", "nobody", env=served).problem(126)


@pytest.mark.parametrize(
    ("language", "code"),
    [
        # In the interpreter, in a child that has ended, and in one that goes on.
        ("python", "import time\nkept = b'x' * (64 << 20)\nwhile time.process_time() < 0.5: pass"),
        (
            "python",
            "import subprocess, sys\nkept = b'x' * (64 << 20)\nloop = 'import time\\n'"
            "'while time.process_time() < 0.5: pass'\nsubprocess.run([sys.executable, '-c', loop])",
        ),
        (
            "bash",
            "python3 -c \"import time\nkept = b'x' * (64 << 20)\n"
            "while time.process_time() < 0.5: pass"
            '\nprint(flush=True)\ntime.sleep(1000)" >ready & until [ -s ready ]; do sleep .1; done',
        ),
    ],
)
def test_info_has_what_the_kernel_uses(
    commands: Commands, served: Env, language: str, code: str
) -> None:
    ran = commands.run("run", "-q", language, "-t", "busy", "-c", code, env=served)
    assert ran.code == 0, ran.stderr
    told = json.loads(commands.run("info", "busy", "--json", env=served).text)
    assert 400 <= told["cpu_ms"] < 60_000
    assert 64 << 10 <= told["memory_used_kib"] < 512 << 10
    shown = commands.run("info", "busy", env=served).text
    assert re.search(r"^Memory used +\d+(\.\d+)? MiB\n", shown, re.MULTILINE), shown
    commands.run("rm", "busy", env=served)


def test_state_restart_and_complete(commands: Commands, served: Env, lab: str) -> None:
    commands.run("run", "-q", "-t", lab, "python", "-c", "number_of_things = 5", env=served)
    found = commands.run("complete", lab, "number_of", env=served)
    assert found.text == "number_of_things\n"
    found = commands.run("complete", lab, "a = 1\nnumber_of", "--json", env=served)
    assert json.loads(found.text) == ["number_of_things"]
    commands.run("exec", lab, "--", "touch", "kept", env=served)
    assert commands.run("restart", lab, env=served).stderr == "✔ Restarted the kernel lab.\n"
    assert commands.run("complete", lab, "number_of", env=served).text == ""
    assert commands.run("exec", lab, "ls", env=served).text == "kept\n"


def test_rename(commands: Commands, served: Env, lab: str) -> None:
    assert commands.run("rename", lab, "other", env=served).code == 0
    assert tokens(commands, served) == ["other"]
    assert "cannot be a client token" in commands.run("rename", "other", "/", env=served).problem(
        125
    )
    commands.run("rename", "-q", "other", lab, env=served)


def test_interrupt(commands: Commands, served: Env, lab: str) -> None:
    forever = "print('started', flush=True)\nwhile True: pass"
    with commands.start("run", "-q", "-t", lab, "python", "-c", forever, env=served) as run:
        run.expect("started")
        assert commands.run("interrupt", lab, env=served).code == 0
        assert run.wait() == 130


def test_exec(commands: Commands, served: Env, lab: str) -> None:
    result = commands.run("exec", lab, "--", "sh", "-c", "echo $1; exit 3", "-", "a b", env=served)
    assert (result.code, result.text, result.stderr) == (3, "a b\n", "")
    result = commands.run("exec", lab, "echo a b | wc -w; echo no >&2", env=served)
    assert (result.code, result.text.strip(), result.stderr) == (0, "2", "no\n")
    result = commands.run("exec", lab, "cat", stdin=b"\x00\xff bytes\n", env=served)
    assert result.stdout == b"\x00\xff bytes\n"
    assert "no kernel is named" in commands.run("exec", "nobody", "ls", env=served).problem(126)
    assert commands.run("exec", lab, env=served).code == 125


def test_exec_on_a_terminal(commands: Commands, served: Env, lab: str) -> None:
    script = "read answer; test -t 1 && echo you typed $answer; exit 7"
    with commands.terminal("exec", "--tty", lab, "--", "sh", "-c", script, env=served) as shell:
        shell.send("this\r")
        shell.expect("you typed this")
        assert shell.wait() == 7
    assert "--tty needs a terminal" in commands.run("exec", "--tty", lab, "sh", env=served).problem(
        125
    )


def test_logs(commands: Commands, served: Env, lab: str) -> None:
    commands.run("run", "-q", "-t", lab, "python", "-c", "print('héllo')", env=served)
    assert commands.run("logs", lab, env=served).text == "héllo\n"


def test_logs_are_followed_until_the_kernel_ends(commands: Commands, served: Env, lab: str) -> None:
    with commands.start("logs", "-f", lab, env=served) as logs:
        for text in ("first", "second"):
            commands.run("run", "-q", "-t", lab, "python", "-c", f"print('{text}')", env=served)
            logs.expect(text)
        commands.run("rm", "-q", lab, env=served)
        assert logs.wait() == 0
        assert logs.text() == "first\nsecond\n"
        assert "The kernel has ended." in logs.text("stderr")


def test_log_that_a_manager_keeps_is_followed_to_the_kernels_end(commands: Commands) -> None:
    """Measured on 23.09.10: the log of a session that has ended is given as before."""
    logs = ["first\n", "first\n", "first\nlast\n"]
    about = {"image": "python", "lang": "python"}
    asked: list[str] = []

    def answer(method: str, path: str) -> tuple[int, str, bytes]:
        asked.append(path)
        if path == "/":
            return 200, "application/json", MANAGER
        if path == "/session/lab/logs":
            text = logs.pop(0) if len(logs) > 1 else logs[0]
            return 200, "application/json", json.dumps({"result": {"logs": text}}).encode()
        if path == "/session/lab":
            status = "RUNNING" if len(logs) > 1 else "TERMINATED"
            return 200, "application/json", json.dumps(about | {"status": status}).encode()
        return 404, "application/problem+json", b"{}"

    with answering(answer) as settings:
        result = commands.run("logs", "-f", "lab", env=settings)
    assert (result.code, result.text) == (0, "first\nlast\n"), (result.stderr, asked)
    assert "The kernel has ended." in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["create", "python"],
        ["rm", "x"],
        ["info", "x"],
        ["restart", "x"],
        ["interrupt", "x"],
        ["rename", "x", "y"],
        ["complete", "x", "y"],
        ["exec", "x", "y"],
        ["logs", "x"],
        ["attach", "x"],
    ],
)
def test_without_a_server(commands: Commands, arguments: list[str]) -> None:
    """There is nothing they could be about; no gateway is started for it."""
    if arguments[0] == "attach":
        with commands.terminal(*arguments) as attach:
            attach.expect("no server is configured")
            assert attach.wait() == 125
        return
    result = commands.run(*arguments)
    assert "no server is configured" in result.problem(125)
    assert len(result.stderr.splitlines()) == 1
