"""Programs in a kernel have standard streams of the same kinds as the user's."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence

import pytest

from .commands import Commands
from .terminal import on_terminal

TALKS = """
import os, sys
sizes = [tuple(os.get_terminal_size(fd)) for fd in range(3) if os.isatty(fd)]
print("kinds", [os.isatty(fd) for fd in range(3)], sizes)
for number in range(50):
    print("out", number)
    print("error", number, file=sys.stderr)
print("hello", input("name? "))
for number in range(50):
    print("after", number)
print("bye", input("again? "))
"""
ANSWERS = "Ada\nBob\n"
WAYS = [
    "",
    "2>errors",
    ">output",
    ">output 2>&1",
    "| cat",
    "2>&1 | cat",
    "2>&1 >output | cat",
    "<answers",
    "<answers | cat",
    "</dev/null",
]
"""What people write behind a command line at a terminal."""


def outcome(commands: Commands, program: Sequence[str], way: str) -> list[str]:
    """What a program leaves on the terminal and in files."""
    # Without echo, what is typed can be there before it is asked for.
    script = f'stty -echo; echo ready; "$@" {way}'
    argv = ["/bin/sh", "-c", script, "sh", *program]
    with on_terminal(argv, env=commands.env, cwd=commands.work, window=(30, 100)) as run:
        run.expect("ready\r\n")
        run.send(ANSWERS)
        run.wait()
        shown = run.text().removeprefix("ready\n")
    written = []
    for name in ("output", "errors"):
        path = commands.work / name
        written.append(path.read_text() if path.exists() else "")
        path.unlink(missing_ok=True)
    shown = re.sub(r"/\S*/(?=talks\.py)", "", shown)
    if "| cat" in way and "2>" not in way:  # two ways lead to the terminal, so lines may be mixed
        shown = "".join(sorted(shown))
    return [shown, *written]


@pytest.mark.parametrize("way", WAYS)
def test_files_run_as_they_would_here(commands: Commands, way: str) -> None:
    (commands.work / "talks.py").write_text(TALKS)
    (commands.work / "answers").write_text(ANSWERS)
    here = outcome(commands, [sys.executable, "talks.py"], way)
    there = outcome(commands, commands.argv("run", "-q", "python", "talks.py"), way)
    assert there == here


@pytest.mark.usefixtures("c_compiler")
def test_c_prompts_without_a_flush(commands: Commands) -> None:
    code = r"""
        #include <stdio.h>
        int main(void) {
            char name[64];
            fprintf(stderr, "first\n");
            printf("name? ");
            if (scanf("%63s", name) != 1) return 4;
            printf("hello, %s!\n", name);
            return 0;
        }
    """
    with commands.terminal("run", "-q", "c", "-c", code) as run:
        run.expect("first\r\nname? ")
        run.send("Ada\n")
        run.expect("hello, Ada!")
        assert run.wait() == 0


@pytest.mark.parametrize("quiet", [False, True])
def test_a_program_that_is_typed(commands: Commands, quiet: bool) -> None:
    options = ["-q"] if quiet else []
    with commands.terminal("run", *options, "python", "-") as run:
        if not quiet:
            run.expect("∙ Reading the program from the terminal; Ctrl-D ends it.")
        run.send("print('ty' + 'ped')\n\x04")
        run.expect("typed")
        assert run.wait() == 0
        assert ("Reading the program" in run.text()) is not quiet


@pytest.mark.parametrize("of", ["os", "shutil"])  # only shutil looks at variables first
def test_the_window_is_the_users_own(commands: Commands, of: str) -> None:
    code = f"""
import os, shutil, signal
show = lambda *_: os.write(1, b"%d %d\\n" % tuple({of}.get_terminal_size()))
signal.signal(signal.SIGWINCH, show)
show()
input()
"""
    (commands.work / "size.py").write_text(code)
    with commands.terminal("run", "-q", "python", "size.py") as run:
        run.expect("80 24")
        run.resize(40, 132)
        run.expect("132 40")
        run.send("\n")
        assert run.wait() == 0


@pytest.mark.parametrize("way", ["", "| cat"])
def test_lines_of_the_interpreter_are_gathered_in_pipes(commands: Commands, way: str) -> None:
    code = """
import sys
for i in range(2000): print(i)
gathered = sys.stdout.blocks.active
print("gathered", gathered, file=sys.stderr)
"""
    argv = commands.argv("run", "-q", "python", "-c", code)
    with on_terminal(
        ["/bin/sh", "-c", f'"$@" {way}', "sh", *argv], env=commands.env, cwd=commands.work
    ) as run:
        run.expect(f"gathered {way == '| cat'}")
        assert run.wait() == 0
