"""`run --tty`: a program that has the user's terminal."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping

import pytest

from .commands import Commands

# The handler writes past `print`, which it may have interrupted. And `input` waits only for what is
# there: a signal that comes just before Python blocks in a read is not heard until the next one.
SCREEN = """
import os, select, signal, sys
print("size", *os.get_terminal_size(), os.isatty(0), os.isatty(2), flush=True)
def tell(number, frame):
    os.write(1, b"now %d %d\\n" % tuple(os.get_terminal_size()))
signal.signal(signal.SIGWINCH, tell)
try:
    while True:
        print("? ", end="", flush=True)
        while not select.select([0], [], [], 0.1)[0]:
            pass
        print("got", ascii(input()), flush=True)
except KeyboardInterrupt:
    print("interrupted", flush=True)
    sys.exit(5)
"""


def test_the_program_has_the_terminal(commands: Commands) -> None:
    with commands.terminal("run", "--tty", "python3", "-c", SCREEN) as run:
        before = run.modes()
        run.expect("size 80 24 True True")
        run.expect("? ")
        run.send("ünï\r")
        run.expect("got '\\xfcn\\xef'")
        run.resize(40, 132)
        run.expect("now 132 40")
        run.send("\x03")  # belongs to the program, not to us
        run.expect("interrupted")
        assert run.wait() == 5
        assert run.modes() == before


def test_the_terminal_is_restored_after_sigterm(commands: Commands) -> None:
    with commands.terminal("run", "--tty", "bash", "-c", "echo up; sleep 60") as run:
        before = run.modes()
        run.expect("up")
        run.signal(signal.SIGTERM)
        assert run.wait() == 143
        assert run.modes() == before


@pytest.mark.parametrize("term", ["screen", "vt100", "dumb", "xterm-kitty"])
def test_the_name_of_the_terminal(commands: Commands, served: Mapping[str, str], term: str) -> None:
    env = {**served, "TERM": term}
    for arguments in (
        ["run", "--tty", "bash", "-c", "echo is=$TERM"],
        ["run", "--tty", "python", "-c", "import os; print('is=' + os.environ['TERM'])"],
    ):
        with commands.terminal(*arguments, env=env) as run:
            run.expect(f"is={term}\r\n")
            assert run.wait() == 0
    with commands.terminal("shell", "-t", "lab1", "bash", env=env) as run:
        run.expect("detaches")
        run.send("echo i''s=$TERM\r")
        run.expect(f"is={term}\r\n")
        run.send("\x1d")
        assert run.wait() == 0
    # A program without a terminal of its own is not told about the user's.
    piped = commands.run("run", "-q", "-t", "lab1", "bash", "-c", "echo is=$TERM", env=env)
    assert piped.stdout == b"is=dumb\n"
    with commands.terminal("exec", "--tty", "lab1", "echo is=$TERM", env=env) as run:
        run.expect(f"is={term}\r\n")
        assert run.wait() == 0


def test_it_needs_a_terminal(commands: Commands) -> None:
    result = commands.run("run", "--tty", "python3", "-c", "print(1)")
    assert "terminal" in result.problem(125)
    assert os.linesep not in result.problem(125)
