"""`backend.ai app --stdio`: bytes through, both ends of it, and what ends it."""

from __future__ import annotations

import os
import pty
import random
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator, Mapping

import pytest

from ..app_servers import SERVER
from .commands import ACCESS_KEY, SECRET_KEY, Commands, variables_of
from .terminal import eventually


@pytest.fixture
def port(commands: Commands, served: Mapping[str, str]) -> Iterator[str]:
    """A port that a program in the kernel lab1 listens on."""
    commands.env |= served
    made = commands.run("run", "-q", "-t", "lab1", "python", "-c", SERVER)
    assert made.code == 0, made
    yield made.text.strip()
    assert commands.run("rm", "lab1").code == 0


def test_bytes_go_through_and_ends_are_passed_on(commands: Commands, port: str) -> None:
    """The answer comes after the end of standard input, and the command ends with it."""
    data = random.Random(7).randbytes(3_000_000)
    done = commands.run("app", "lab1", port, "--stdio", stdin=data)
    assert (done.code, done.stderr) == (0, "")
    assert done.stdout == data[::-1]


def test_service_that_closes_first(commands: Commands, port: str) -> None:
    """Its end is the end of standard output, while standard input is still open."""
    with subprocess.Popen(
        commands.argv("app", "lab1", port, "--stdio"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=commands.env,
        cwd=commands.work,
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(b"quit!")
        process.stdin.flush()
        giving_up = threading.Timer(30, process.kill)
        giving_up.start()
        try:
            assert process.stdout.read() == b"bye"
            assert process.poll() is None  # it was not killed
            process.stdin.close()
            assert process.wait() == 0
        finally:
            giving_up.cancel()


def test_service_that_resets(commands: Commands, port: str) -> None:
    done = commands.run("app", "lab1", port, "--stdio", stdin=b"reset")
    assert "reset" in done.problem(125)


def test_reader_that_goes(commands: Commands, port: str) -> None:
    """Nothing is written any more, and the command ends all the same."""
    read_end, write_end = os.pipe()
    process = subprocess.Popen(
        commands.argv("app", "lab1", port, "--stdio"),
        stdin=subprocess.PIPE,
        stdout=write_end,
        env=commands.env,
        cwd=commands.work,
    )
    os.close(write_end)
    assert process.stdin is not None
    process.stdin.write(b"echo!x")
    process.stdin.flush()
    assert os.read(read_end, 1) == b"x"
    os.close(read_end)
    assert process.wait(30) == 0
    process.stdin.close()


def test_files_as_standard_streams(commands: Commands, port: str) -> None:
    (commands.work / "in").write_bytes(b"hello")
    done = commands.shell(f"backend.ai app lab1 {port} --stdio <in >out")
    assert done.code == 0, done
    assert (commands.work / "out").read_bytes() == b"olleh"


def test_ctrl_c_is_left_to_the_other_program(commands: Commands, port: str) -> None:
    """OpenSSH's programs share a terminal with their ProxyCommand, and sftp goes on after it."""
    with commands.start("app", "lab1", port, "--stdio", stdin=subprocess.PIPE) as running:
        running.send("echo!x")
        running.expect("x")
        running.signal(signal.SIGINT)
        running.send("y")
        running.expect("y")
        running.signal(signal.SIGTERM)
        assert running.wait() == 128 + signal.SIGTERM


@pytest.mark.parametrize("stdout", ["terminal", "file", "socket"])
def test_ctrl_c_ends_what_is_no_proxy_command(commands: Commands, port: str, stdout: str) -> None:
    """OpenSSH gives its ProxyCommand two pipes; of others, the end of the reader may not show."""
    shown = commands.work / "shown"
    if stdout == "terminal":
        reading, writing = pty.openpty()
    elif stdout == "file":
        shown.touch()
        reading, writing = (os.open(shown, flag) for flag in (os.O_RDONLY, os.O_WRONLY))
    else:
        reading, writing = (end.detach() for end in socket.socketpair())
    with subprocess.Popen(
        commands.argv("app", "lab1", port, "--stdio"),
        stdin=subprocess.PIPE,
        stdout=writing,
        env=commands.env,
        cwd=commands.work,
    ) as process:
        os.close(writing)
        giving_up = threading.Timer(30, process.kill)
        giving_up.start()
        try:
            assert process.stdin is not None
            process.stdin.write(b"echo!x")
            process.stdin.flush()
            assert eventually(lambda: os.read(reading, 1) == b"x", 20)
            process.send_signal(signal.SIGINT)
            assert process.wait() == 130
        finally:
            giving_up.cancel()
            os.close(reading)


def test_ended_while_it_connects(commands: Commands) -> None:
    """A program that closes its end of the pipes need not wait for a server that is slow."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        env = {
            "BACKEND_ENDPOINT": f"http://127.0.0.1:{silent.getsockname()[1]}",
            "BACKEND_ACCESS_KEY": ACCESS_KEY,
            "BACKEND_SECRET_KEY": SECRET_KEY,
        }
        reading, writing = os.pipe()
        process = subprocess.Popen(
            commands.argv("app", "lab1", "80", "--stdio"),
            env=commands.env | env,
            stdin=subprocess.PIPE,
            stdout=writing,
        )
        os.close(writing)
        connection, _ = silent.accept()
        os.close(reading)
        with connection, process:
            assert process.wait(30) == 0


def test_kernel_that_ends_under_it(commands: Commands, port: str) -> None:
    with commands.start("app", "lab1", port, "--stdio", stdin=subprocess.PIPE) as running:
        running.send("echo!x")
        running.expect("x")
        assert commands.run("rm", "lab1").code == 0
        assert running.wait() == 0
    assert commands.run("create", "-q", "-t", "lab1", "lua").code == 0  # for the fixture


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("lab1", "nonesuch"), "No such app"),
        (("nonesuch", "1"), "No such kernel"),
        (("lab1", "1", "--bind", "1234"), "--bind"),
        (("lab1", "1", "--arg", "'"), "quotation marks do not match"),
        (("lab1", "1", "--arg", ""), "--arg is empty"),
        (("lab1", "1", "-e", "=x"), "NAME=VALUE"),
        (("lab1", "1", "-e", "NO_SUCH"), "NO_SUCH"),
        (("lab1", "1", "-p", "80"), "1024"),
    ],
)
def test_problems(commands: Commands, port: str, arguments: tuple[str, ...], reason: str) -> None:
    assert reason in commands.run("app", "--stdio", *arguments).problem(125, 126)


@pytest.mark.parametrize(
    ("option", "name"),
    [("--arg=-v", "argument '-v'"), ("--arg=--x y z", "argument '--x'"),
     ("-eTERM", "variable 'TERM'"), ("--env=A=b", "variable 'A'"), ("-p8080", "port 8080")],
)  # fmt: skip
def test_options_that_a_service_does_not_take(
    commands: Commands, port: str, option: str, name: str
) -> None:
    for stdio in ((), ("--stdio",)):
        assert name in commands.run("app", "lab1", port, option, *stdio).problem(125)
    assert name in commands.run("start-service", "lab1", port, option).problem(125)


def test_on_a_manager_without_half_close(commands: Commands) -> None:
    """The end of input cannot be passed on: the answer is read until the service closes."""
    secret = {"BACKEND_SECRET_KEY": SECRET_KEY}
    with commands.serve("--era", "23.09", "--access-key", ACCESS_KEY, env=secret) as gateway:
        commands.env |= variables_of(gateway)
        made = commands.run("run", "-q", "-t", "lab1", "python", "-c", SERVER)
        port = made.text.strip()
        done = commands.run("app", "lab1", port, "--stdio", stdin=b"quit!")
        assert (done.code, done.stdout) == (0, b"bye"), done
        assert commands.run("rm", "lab1").code == 0
