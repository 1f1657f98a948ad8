"""Ctrl-C and signals at `backend.ai run`: the code is interrupted, and no kernel is left."""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping

import pytest

from ..local_kernels import work_folder
from .commands import ACCESS_KEY, SECRET_KEY, Commands, variables_of
from .runs import FOREVER, GREETING_C, write
from .terminal import Running, eventually, on_pipes


def started(run: Running, commands: Commands, text: str = "started") -> None:
    run.expect(text)
    assert commands.kernel_processes()


@pytest.mark.parametrize(
    ("code", "shown"),
    [(FOREVER, "started"), ("input('your name? ')", "your name? ")],
    ids=["loop", "prompt"],
)
def test_ctrl_c(commands: Commands, code: str, shown: str) -> None:
    with commands.terminal("run", "python3", "-c", code) as run:
        started(run, commands, shown)
        run.send("\x03")
        run.expect("Interrupting the program; Ctrl-C again ends the kernel.")
        run.expect("KeyboardInterrupt")
        assert run.wait(5) == 130
        assert commands.kernel_processes() == []
    assert run.text().endswith("✔ Cleaned up the kernel.\n")


@pytest.mark.usefixtures("c_compiler")
def test_ctrl_c_at_the_prompt_of_a_c_program(commands: Commands) -> None:
    with commands.terminal("run", "c", *write(commands, GREETING_C)) as run:
        started(run, commands, "your name? ")
        run.send("\x03")
        assert run.wait(5) == 130
        assert commands.kernel_processes() == []


def test_a_program_that_takes_ctrl_c_its_own_way(commands: Commands) -> None:
    code = """
import time
try:
    print("started", flush=True)
    while True: time.sleep(1)
except KeyboardInterrupt:
    print("I was interrupted")
"""
    with commands.terminal("run", "-q", "python3", "-c", code) as run:
        started(run, commands)
        run.send("\x03")
        run.expect("I was interrupted")
        assert run.wait(5) == 0


def test_ctrl_c_again_ends_the_kernel(commands: Commands) -> None:
    code = f"import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n{FOREVER}"
    with commands.terminal("run", "python3", "-c", code) as run:
        started(run, commands)
        run.send("\x03")
        run.expect("Ctrl-C again ends the kernel.")
        run.send("\x03")
        assert run.wait(5) == 130
        assert commands.kernel_processes() == []


@pytest.mark.parametrize("option", [("-t", "stays"), ("--keep",)])
def test_ctrl_c_again_leaves_a_kernel_that_stays(
    commands: Commands, served: Mapping[str, str], option: tuple[str, ...]
) -> None:
    with commands.terminal("run", *option, "python3", "-c", FOREVER, env=served) as run:
        run.expect("started")
        run.send("\x03")
        run.expect("Ctrl-C again leaves; the kernel stays.")
        assert run.wait(5) == 130
    token = re.search(r"Client session token: (\S+)", run.text())
    assert token is not None
    assert commands.run("rm", token[1], env=served).code == 0


def test_ctrl_c_again_when_the_program_would_have_stopped_later(commands: Commands) -> None:
    code = """
import time
while True:
    try:
        print("started", flush=True)
        time.sleep(1000)
    except KeyboardInterrupt:
        print("not yet", flush=True)
"""
    with commands.terminal("run", "python3", "-c", code) as run:
        started(run, commands)
        run.send("\x03")
        run.expect("not yet")
        run.send("\x03")
        assert run.wait(5) == 130
        assert commands.kernel_processes() == []


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_signal_ends_the_kernel(commands: Commands, name: str) -> None:
    number = getattr(signal, name)
    with commands.start("run", "python3", "-c", FOREVER) as run:
        started(run, commands)
        run.signal(number)
        assert run.wait(5) == 128 + number
        assert commands.kernel_processes() == []
    assert "Traceback" not in run.text("stderr")


def test_nohup(commands: Commands) -> None:
    """A signal that is ignored when the command starts stays ignored."""
    code = """
import os, time
print("started", flush=True)
while not os.path.exists("go-on"): time.sleep(0.01)
print("done")
"""
    argv = commands.argv("run", "-q", "python3", "-c", code)
    script = """trap "" HUP INT; exec "$@" """
    with on_pipes(["/bin/sh", "-c", script, "sh", *argv], env=commands.env) as run:
        run.expect("started")
        run.signal(signal.SIGHUP)
        run.signal(signal.SIGINT)
        (work_folder(commands.tmp) / "go-on").touch()
        assert run.wait() == 0
    assert run.text() == "started\ndone\n" and run.text("stderr") == ""


def test_sigterm_when_the_program_ignores_interrupts(commands: Commands) -> None:
    code = f"import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n{FOREVER}"
    with commands.start("run", "python3", "-c", code) as run:
        started(run, commands)
        run.signal(signal.SIGTERM)
        assert run.wait(5) == 143
        assert commands.kernel_processes() == []


def test_sigkill(commands: Commands) -> None:
    code = f"import subprocess; subprocess.Popen(['sleep', '1000'])\n{FOREVER}"
    with commands.start("run", "python3", "-c", code) as run:
        run.expect("started")
        assert len(commands.kernel_processes()) >= 3  # host, interpreter, sleep
        assert commands.kernel_files()
        run.signal(signal.SIGKILL)
        assert run.wait() == -signal.SIGKILL
        assert commands.nothing_is_left(2.0), (commands.kernel_processes(), commands.kernel_files())


def test_a_kernel_of_a_server_ends_with_ctrl_c_too(
    commands: Commands, served: Mapping[str, str]
) -> None:
    with commands.terminal("run", "python3", "-c", FOREVER, env=served) as run:
        run.expect("started")
        run.send("\x03")
        assert run.wait(5) == 130
    assert (
        commands.run("ps", env=served).text == "There are no compute sessions currently running.\n"
    )


def test_ctrl_c_when_the_server_has_died(commands: Commands) -> None:
    keys = {"BACKEND_SECRET_KEY": SECRET_KEY}
    with commands.serve("--access-key", ACCESS_KEY, env=keys) as gateway:
        variables = variables_of(gateway)
        with commands.start("run", "python3", "-c", FOREVER, env=variables) as run:
            run.expect("started")
            gateway.signal(signal.SIGKILL)
            gateway.wait()
            run.signal(signal.SIGINT)
            if not eventually(lambda: run.ended, 2):
                run.signal(signal.SIGINT)
            assert run.wait(5) in (125, 130)
            said = run.text("stderr")
    assert variables["BACKEND_ENDPOINT"] in said
    assert "Traceback" not in said and "Warning: " not in said and ".py" not in said, said
