"""What stands on a terminal after Ctrl-C: lines that begin at the left, and how it has ended."""

from __future__ import annotations

import signal
from collections.abc import Mapping

import pytest

from .commands import ACCESS_KEY, SECRET_KEY, Commands, variables_of
from .runs import FOREVER
from .terminal import Running, eventually

INTERRUPTED = "∙ Interrupted.\n"
STUBBORN = """
import time
while True:
    try:
        print("started", flush=True)
        time.sleep(100)
    except KeyboardInterrupt:
        pass
"""


def lines_begin_at_the_left(run: Running) -> None:
    for line in run.text().splitlines():
        assert not any(mark in line[1:] for mark in "∙✔✘⋯!"), run.text()
        assert "^C" not in line or line.endswith("^C"), run.text()


def test_at_a_program(commands: Commands) -> None:
    with commands.terminal("run", "python", "-c", FOREVER) as run:
        run.expect("started")
        run.send("\x03")
        assert run.wait() == 130
    assert "^C\n∙ Interrupting the program; Ctrl-C again ends the kernel.\n" in run.text()
    lines_begin_at_the_left(run)


def test_twice_at_a_program(commands: Commands) -> None:
    with commands.terminal("run", "python", "-c", STUBBORN) as run:
        run.expect("started")
        run.send("\x03")
        run.expect("again ends the kernel")
        run.expect("started")
        run.send("\x03")
        assert run.wait() == 130
    assert run.text().endswith(INTERRUPTED)
    lines_begin_at_the_left(run)


def test_at_a_prompt(commands: Commands) -> None:
    with commands.terminal("run", "python", "-c", "input('name? ')") as run:
        run.expect("name? ")
        run.send("\x03")
        assert run.wait() == 130
    assert "name? ^C\n∙ Interrupting the program" in run.text()
    lines_begin_at_the_left(run)


def test_while_a_kernel_waits(commands: Commands) -> None:
    secret = {"BACKEND_SECRET_KEY": SECRET_KEY}
    with commands.serve("--access-key", ACCESS_KEY, "--max-sessions", "1", env=secret) as gateway:
        env = variables_of(gateway)
        with commands.start("run", "python", "-c", FOREVER, env=env) as first:
            first.expect("started")
            with commands.terminal("run", "python", "-c", "1", env=env) as run:
                run.expect("PENDING")
                run.send("\x03")
                assert run.wait() == 130
    assert run.text().endswith(INTERRUPTED)
    lines_begin_at_the_left(run)


def test_during_an_upload(commands: Commands) -> None:
    with (commands.work / "large").open("wb") as file:
        file.truncate(4 << 30)
    with commands.terminal("run", "bash", "large", "--exec", "true") as run:
        run.expect("Uploading")
        run.send("\x03")
        assert run.wait() == 130
    assert run.text().endswith(INTERRUPTED)
    lines_begin_at_the_left(run)


@pytest.mark.parametrize(
    ("answer", "end"), [("\x03", "\n∙ Cancelled.\n"), ("n\r", "n\n∙ Cancelled.\n")]
)
def test_at_a_question(
    commands: Commands, served: Mapping[str, str], answer: str, end: str
) -> None:
    assert commands.run("vfolder", "create", "data", env=served).code == 0
    with commands.terminal("vfolder", "delete", "data", env=served) as run:
        run.expect("[y/N]: ")
        run.send(answer)
        # A signal that comes just before Python blocks in a read is not heard until the next one.
        while not eventually(lambda: run.ended, 1.0):
            run.send(answer)
        assert run.wait() == 130
    assert run.text().endswith(end)


def test_in_a_pipe_only_the_exit_code_tells(commands: Commands) -> None:
    with commands.start("run", "-q", "python", "-c", STUBBORN) as run:
        run.expect("started")
        run.signal(signal.SIGTERM)
        assert run.wait() == 143
    assert run.text("stderr") == ""


def test_a_signal_is_named(commands: Commands) -> None:
    with commands.terminal("run", "-q", "python", "-c", STUBBORN) as run:
        run.expect("started")
        run.signal(signal.SIGTERM)
        assert run.wait() == 143
    assert run.text().endswith("started\n∙ Ended by SIGTERM.\n")
