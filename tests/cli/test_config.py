"""Settings as a person meets them: `config`, help, and one clear line for what is wrong."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from collections.abc import Mapping
from socketserver import StreamRequestHandler, ThreadingTCPServer

import pytest

from .commands import ACCESS_KEY, SECRET_KEY, Commands
from .plain_servers import KEYS, MANAGER, answering, running
from .terminal import on_terminal

SOMEWHERE = {"BACKEND_ENDPOINT": "https://manager.example.com/api/", **KEYS}


# -- config -----------------------------------------------------------------------------------


def test_nothing_is_set(commands: Commands) -> None:
    result = commands.run("config")
    assert (result.code, result.stderr) == (0, "")
    assert result.text == (
        "No server is configured: kernels run on this machine.\n"
        "Set BACKEND_ENDPOINT, BACKEND_ACCESS_KEY and BACKEND_SECRET_KEY to use one.\n"
    )


def test_nothing_is_set_json(commands: Commands) -> None:
    assert json.loads(commands.run("config", "--json").stdout) == {"endpoint": None}


def test_all_is_set(commands: Commands) -> None:
    result = commands.run("config", env=SOMEWHERE)
    assert (result.code, result.stderr) == (0, "")
    assert result.text == (
        'API endpoint: "https://manager.example.com/api"\n'
        'API version: "v2.20170315 to v6.20200815, as the server has it"\n'
        f'Access key: "{ACCESS_KEY}"\n'
        f'Secret key: "Secr{"*" * 32}fghi"\n'
        'Signature hash type: "sha256"\n'
    )


def test_all_is_set_json(commands: Commands) -> None:
    result = commands.run("config", "--json", env=SOMEWHERE)
    shown = json.loads(result.stdout)
    assert shown["endpoint"] == "https://manager.example.com/api"
    assert shown["access_key"] == ACCESS_KEY
    assert shown["secret_key"] == "Secr" + "*" * 32 + "fghi"


def test_the_old_names_work(commands: Commands) -> None:
    old = {name.replace("BACKEND_", "SORNA_"): value for name, value in SOMEWHERE.items()}
    assert commands.run("config", env=old) == commands.run("config", env=SOMEWHERE)
    both = old | {"BACKEND_ENDPOINT": "http://127.0.0.1:8081"}
    assert 'API endpoint: "http://127.0.0.1:8081"' in commands.run("config", env=both).text


def test_a_dotenv_file(commands: Commands) -> None:
    lines = [f"export {name}='{value}'\n" for name, value in SOMEWHERE.items()]
    (commands.work / ".env").write_text("# settings\n" + "".join(lines))
    assert commands.run("config") == commands.run("config", env=SOMEWHERE)
    other = {"BACKEND_ENDPOINT": "http://127.0.0.1:8081"}
    assert 'API endpoint: "http://127.0.0.1:8081"' in commands.run("config", env=other).text


def test_a_dotenv_file_that_is_no_text(commands: Commands) -> None:
    (commands.work / ".env").write_bytes(b"\xff\xfe\x00")
    assert ".env" in commands.run("config").problem(125)


# -- what is wrong with settings ----------------------------------------------------------------


@pytest.mark.parametrize("arguments", [["run", "-q", "python3", "-c", "1"], ["ps"], ["config"]])
@pytest.mark.parametrize(
    ("settings", "variable"),
    [
        ({"BACKEND_ENDPOINT": "http://127.0.0.1:8081"}, "BACKEND_ACCESS_KEY"),
        (SOMEWHERE | {"BACKEND_SECRET_KEY": ""}, "BACKEND_SECRET_KEY"),
        (SOMEWHERE | {"BACKEND_ACCESS_KEY": "AKIA-too-short"}, "BACKEND_ACCESS_KEY"),
        (SOMEWHERE | {"BACKEND_SECRET_KEY": SECRET_KEY[:-1]}, "BACKEND_SECRET_KEY"),
        (SOMEWHERE | {"BACKEND_SECRET_KEY": SECRET_KEY[:-1] + "\t"}, "BACKEND_SECRET_KEY"),
        (KEYS, "BACKEND_ENDPOINT"),
        (KEYS | {"BACKEND_ENDPOINT": ""}, "BACKEND_ENDPOINT"),
        (
            {
                "SORNA_ENDPOINT": "http://127.0.0.1:1",
                "SORNA_SECRET_KEY": "x",
                "SORNA_ACCESS_KEY": ACCESS_KEY,
            },
            "SORNA_SECRET_KEY",
        ),
        (KEYS | {"BACKEND_ENDPOINT": "manager.example.com"}, "BACKEND_ENDPOINT"),
        (KEYS | {"BACKEND_ENDPOINT": "ftp://manager.example.com"}, "BACKEND_ENDPOINT"),
        (KEYS | {"BACKEND_ENDPOINT": "http://127.0.0.1:99999"}, "BACKEND_ENDPOINT"),
        (SOMEWHERE | {"BACKEND_CONNECTION_TIMEOUT": "soon"}, "BACKEND_CONNECTION_TIMEOUT"),
        (SOMEWHERE | {"BACKEND_CA_FILE": "missing.pem"}, "BACKEND_CA_FILE"),
        (
            SOMEWHERE | {"BACKEND_SKIP_SSLCERT_VALIDATION": "perhaps"},
            "BACKEND_SKIP_SSLCERT_VALIDATION",
        ),
    ],
)
def test_a_wrong_setting(
    commands: Commands, settings: Mapping[str, str], variable: str, arguments: list[str]
) -> None:
    result = commands.run(*arguments, env=settings)
    assert variable in result.problem(125)
    assert SECRET_KEY[:-1] not in result.stderr


def test_a_password_in_the_endpoint_is_not_shown(commands: Commands) -> None:
    settings = KEYS | {"BACKEND_ENDPOINT": "https://me:xyzzy@manager.example.com"}
    result = commands.run("config", env=settings)
    assert "BACKEND_ENDPOINT" in result.problem(125) and "xyzzy" not in result.stderr


def test_a_secret_key_in_the_wrong_place_is_not_shown(commands: Commands) -> None:
    settings = {"BACKEND_ENDPOINT": "http://127.0.0.1:1", "BACKEND_ACCESS_KEY": SECRET_KEY}
    result = commands.run("config", env=settings)
    assert "BACKEND_SECRET_KEY: not set" in result.problem(125)
    assert "BACKEND_ACCESS_KEY: (malformed)" in result.stderr
    assert SECRET_KEY not in result.stderr


# -- what is wrong with servers -----------------------------------------------------------------


def nothing_ran(commands: Commands, settings: Mapping[str, str]) -> str:
    """Try to run code; returns the one line that is said instead."""
    result = commands.run("run", "python3", "-c", "print(6 * 7)", env=settings)
    problem = result.problem(125, 126, 127)
    assert SECRET_KEY not in result.stderr
    assert "this machine" not in result.stderr and result.text == ""
    listed = commands.run("ps", env=settings)
    assert listed.problem(125, 126, 127) == problem
    return problem


def test_nothing_listens(commands: Commands) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    problem = nothing_ran(commands, KEYS | {"BACKEND_ENDPOINT": f"http://127.0.0.1:{port}"})
    assert "BACKEND_ENDPOINT" in problem and f"http://127.0.0.1:{port}" in problem


def test_no_such_host(commands: Commands) -> None:
    problem = nothing_ran(commands, KEYS | {"BACKEND_ENDPOINT": "http://nowhere.invalid"})
    assert "BACKEND_ENDPOINT" in problem and "nowhere.invalid" in problem


@pytest.mark.parametrize(
    ("status", "kind", "body"),
    [
        (200, "text/html", b"<!DOCTYPE html>\n<title>It works!</title>\n"),
        (404, "text/html", b"<h1>Not Found</h1>"),
        (200, "application/json", b'{"name": "elasticsearch"}'),
        (200, "application/json", b"[1, 2"),
        (200, "application/json", b"null"),
        (302, "text/plain", b""),
        (503, "text/plain", b"Service Unavailable"),
        (200, "application/octet-stream", b"\x00\xff" * 50),
    ],
    ids=["page", "no page", "other json", "broken json", "null", "redirect", "error", "bytes"],
)
def test_another_http_server(commands: Commands, status: int, kind: str, body: bytes) -> None:
    with answering(lambda _method, _path: (status, kind, body)) as settings:
        problem = nothing_ran(commands, settings)
    assert "BACKEND_ENDPOINT" in problem


def test_server_that_takes_no_more_requests_for_now(commands: Commands) -> None:
    asked: list[str] = []

    def answer(method: str, path: str) -> tuple[int, str, bytes]:
        if method == "GET":
            return 200, "application/json", MANAGER
        asked.append(path)
        if len(asked) == 1:
            return 429, "application/problem+json", b'{"type": "rate-limit-exceeded"}'
        return 200, "application/json", b'{"data": {"answer": 42}}'

    with answering(answer) as settings:
        result = commands.run("admin", "query", "query { answer }", env=settings)
    assert (result.code, json.loads(result.text)) == (0, {"answer": 42})
    assert result.stderr == (
        f"! {settings['BACKEND_ENDPOINT']} takes no more requests of this key pair for now; "
        "waiting for up to 300 s\n"
    )


class _Greeter(StreamRequestHandler):
    """Talks first, in another protocol, and hangs up."""

    def handle(self) -> None:
        self.request.recv(65536)
        self.wfile.write(b"220 mail.example.com ESMTP\r\n")


def test_a_server_that_is_no_http_server(commands: Commands) -> None:
    with running(ThreadingTCPServer(("127.0.0.1", 0), _Greeter)) as settings:
        assert "BACKEND_ENDPOINT" in nothing_ran(commands, settings)


def test_the_wrong_key_pair(commands: Commands, served: Mapping[str, str]) -> None:
    wrong = SECRET_KEY[::-1]
    result = commands.run("ps", env=dict(served) | {"BACKEND_SECRET_KEY": wrong})
    problem = result.problem(126)
    assert wrong not in problem and "BACKEND_SECRET_KEY" in problem


# -- help and the like ----------------------------------------------------------------------------


def test_help(commands: Commands) -> None:
    """Each command's own is in test_habits.py."""
    section = commands.run("--help").text.partition("Commands:\n")[2]
    names = re.findall(r"^  (\w+)  +\w", section, re.MULTILINE)
    assert {"config", "help", "ps", "run", "serve"} <= set(names)
    assert commands.run("run", "-h") == commands.run("run", "--help")


def test_help_of_all(commands: Commands) -> None:
    result = commands.run("--help")
    assert (result.code, result.stderr) == (0, "")
    assert commands.run() == commands.run("help") == commands.run("-h") == result
    assert max(map(len, result.text.splitlines())) <= 80


def test_version(commands: Commands) -> None:
    from backendai_trio import __version__

    result = commands.run("--version")
    assert (result.code, result.text) == (0, f"backend.ai (trio) {__version__}\n")
    for program in ("lcc", "lpython"):
        assert __version__ in commands.run("--version", program=program).text


@pytest.mark.parametrize(
    ("typed", "meant"), [("rnu", "run"), ("serv", "serve"), ("conf", "config")]
)
def test_an_unknown_command(commands: Commands, typed: str, meant: str) -> None:
    problem = commands.run(typed).problem(125)
    assert repr(typed) in problem and repr(meant) in problem


def test_an_unknown_command_like_no_other(commands: Commands) -> None:
    assert "backend.ai --help" in commands.run("xyzzy").problem(125)


def test_the_module(commands: Commands) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "backendai_cli", "run", "-q", "python3", "-c", "print('hello')"],
        capture_output=True,
        env=commands.env,
        cwd=commands.work,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"hello\n", b"")


@pytest.mark.usefixtures("c_compiler")
def test_lcc(commands: Commands) -> None:
    (commands.work / "main.c").write_text(
        '#include <stdio.h>\nint main(void) { puts("hello"); return 3; }\n'
    )
    result = commands.run("-q", "main.c", program="lcc")
    assert (result.code, result.stdout, result.stderr) == (3, b"hello\n", "")


def test_lpython(commands: Commands) -> None:
    (commands.work / "main.py").write_text("import sys; print(sys.argv[0]); sys.exit(3)\n")
    result = commands.run("-q", "main.py", program="lpython")
    assert (result.code, result.stderr) == (3, "") and result.text.endswith("main.py\n")
    assert commands.run("-q", "-c", "print(1)", program="lpython").stdout == b"1\n"


@pytest.mark.parametrize("program", ["lcc", "lpython"])
def test_help_of_the_short_names(commands: Commands, program: str) -> None:
    result = commands.run("--help", program=program)
    assert result.code == 0
    # What it says must work when typed: there is no `lcc run`, and the runtime is given.
    assert result.text.startswith(f"Usage: {program} [OPTIONS] [FILES]... [-- ARGS...]\n")


@pytest.mark.parametrize("words", [("config", "set", "endpoint"), ("login",)])
def test_no_question_goes_into_a_file(commands: Commands, words: tuple[str, ...]) -> None:
    line = " ".join([*commands.argv(*words), "2>err"])
    env = commands.env | {
        "BACKEND_ENDPOINT": "http://127.0.0.1:1", "BACKEND_ENDPOINT_TYPE": "session",
    }  # fmt: skip
    with on_terminal(["/bin/sh", "-c", line], env=env, cwd=commands.work) as running:
        assert running.wait() == 125
    assert "where standard error is redirected" in (commands.work / "err").read_text()
