"""A connection that breaks while a command runs: the user is told, and it goes on."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator, Mapping

import pytest

from .broken_way import broken_way
from .commands import ACCESS_KEY, SECRET_KEY, Commands, url_of, variables_of
from .runs import FOREVER
from .terminal import Running

LOST, BACK = "is lost; trying again for 60 s.", "The connection is back."


def test_run(commands: Commands, served: Mapping[str, str]) -> None:
    code = "print('up', flush=True)\nprint('got', input())\n"
    with broken_way(served["BACKEND_ENDPOINT"]) as way:
        env = {**served, "BACKEND_ENDPOINT": way.url}
        with commands.start("run", "python", "-c", code, env=env, stdin=subprocess.PIPE) as run:
            run.expect("up\n")
            way.cut()
            lost = f"! The connection to {way.url} {LOST} Ctrl-C leaves.\n"
            run.expect(lost, on="stderr")
            run.expect(f"✔ {BACK}\n", on="stderr")
            run.send("it\n")
            run.expect("got it\n")
            assert run.wait() == 0


def test_shell(commands: Commands, served: Mapping[str, str]) -> None:
    with broken_way(served["BACKEND_ENDPOINT"]) as way:
        env = {**served, "BACKEND_ENDPOINT": way.url}
        with commands.terminal("shell", "bash", env=env) as shell:
            shell.expect("work")  # the prompt
            way.cut()
            # The terminal is raw: a line begins where lines begin only after both of these.
            shell.expect(LOST)
            told(shell)
            shell.expect(BACK)
            told(shell)
            shell.send("exit $((3 + 4))\r")
            assert shell.wait() == 7


@pytest.fixture
def server(commands: Commands) -> Iterator[Running]:
    """A gateway that a test may kill."""
    secret = {"BACKEND_SECRET_KEY": SECRET_KEY}
    with commands.serve("--access-key", ACCESS_KEY, env=secret) as gateway:
        yield gateway


def test_the_server_is_killed_under_a_run(commands: Commands, server: Running) -> None:
    with commands.terminal("run", "python", "-c", FOREVER, env=variables_of(server)) as run:
        run.expect("started")
        server.signal(signal.SIGKILL)
        run.expect(f"! The connection to {url_of(server)} {LOST} Ctrl-C leaves.")
        run.expect(f"Not back yet: cannot connect to {url_of(server)}: connection refused")
        run.send("\x03")
        run.expect("The server is not reached: leaving without it.")
        run.expect("may still run")
        assert run.wait() == 130
        assert "Interrupting the program" not in run.text()


def test_the_server_is_killed_under_a_program_on_the_terminal(
    commands: Commands, server: Running
) -> None:
    code = "echo started; sleep 100"
    with commands.terminal("run", "--tty", "bash", "-c", code, env=variables_of(server)) as run:
        run.expect("started")
        server.signal(signal.SIGKILL)
        run.expect("Ctrl-C leaves.")
        run.send("\x03")  # a byte for the program, as long as there is one
        assert run.wait() == 130


def test_the_server_is_killed_under_a_shell(commands: Commands, server: Running) -> None:
    with commands.terminal("shell", "bash", env=variables_of(server)) as shell:
        shell.expect("work")
        server.signal(signal.SIGKILL)
        before = shell.expect("! The connection to")
        assert before.partition("\x1b[93m")[0].endswith("\r\n"), before  # not within the prompt
        shell.expect("Ctrl-] leaves.")
        shell.send("\x1d")
        assert shell.wait() == 0


def test_the_server_is_killed_under_a_prompt(commands: Commands, server: Running) -> None:
    with commands.terminal("repl", "python", env=variables_of(server)) as repl:
        repl.expect(">>>")
        repl.send("import time; print('star' + 'ted'); time.sleep(100)\r")
        repl.expect("started")
        server.signal(signal.SIGKILL)
        repl.expect("Ctrl-C twice leaves.")
        repl.send("\x03")
        repl.expect("interrupted once the connection is back; Ctrl-C again leaves.")
        repl.send("\x03")
        assert repl.wait() == 130


def test_the_server_is_stopped_under_a_run(commands: Commands, server: Running) -> None:
    with commands.start("run", "-q", "python", "-c", FOREVER, env=variables_of(server)) as run:
        run.expect("started")
        server.signal(signal.SIGTERM)
        assert run.wait() == 125
        assert run.text("stderr") == (
            f"✘ the outcome of the run is not known: {url_of(server)} closed the stream: "
            "the server was stopped, and has ended its kernels\n"
        )


def test_the_kernel_is_ended_under_a_run(commands: Commands, served: Mapping[str, str]) -> None:
    arguments = ["run", "-q", "python", "-t", "ended", "-c", FOREVER]
    with commands.start(*arguments, env=served) as run:
        run.expect("started")
        assert commands.run("rm", "ended", env=served).code == 0
        assert run.wait() == 125
        assert "closed the stream: the kernel was ended by a request\n" in run.text("stderr")


def told(shell: Running) -> None:
    """The end of a status line on a raw terminal."""
    before = shell.expect("\r\n")
    assert "\n" not in before
