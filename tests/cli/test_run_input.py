"""Input of `backend.ai run`: at a terminal, from a pipe, and where there is none."""

from __future__ import annotations

import os

import pytest

from .commands import ACCESS_KEY, NO_SERVER, SECRET_KEY, Commands, Result, variables_of
from .runs import GREETING_C, STATUS, write
from .terminal import eventually


@pytest.mark.usefixtures("c_compiler")
def test_a_c_program_asks_at_a_terminal(commands: Commands) -> None:
    files = write(commands, GREETING_C)
    with commands.terminal("run", "c", *files) as run:
        run.expect("your name? ")
        run.send("LABLUP\n")
        run.expect("hello, LABLUP!")
        assert run.wait() == 0
    status = STATUS.fullmatch(run.text().removeprefix(NO_SERVER))
    assert status is not None
    assert status["between"] == (
        "✔ Uploading done.\n✔ Build finished.\nmyvalue is 42\nyour name? LABLUP\nhello, LABLUP!\n"
    )


@pytest.mark.usefixtures("c_compiler")
def test_a_c_program_asks_a_pipe(commands: Commands) -> None:
    result = commands.run("run", "c", *write(commands, GREETING_C), stdin=b"LABLUP\n")
    assert (result.code, result.text) == (0, "myvalue is 42\nyour name? hello, LABLUP!\n")
    status = STATUS.fullmatch(result.stderr.removeprefix(NO_SERVER))
    assert status is not None and status["between"] == "✔ Uploading done.\n✔ Build finished.\n"


@pytest.mark.usefixtures("c_compiler")
def test_a_c_program_asks_where_nothing_answers(commands: Commands) -> None:
    result = commands.run("run", "c", *write(commands, GREETING_C))
    assert (result.code, result.text) == (4, "myvalue is 42\nyour name? no name\n")


def test_a_python_program_asks_at_a_terminal(commands: Commands) -> None:
    code = "for _ in range(2): print('hello,', input('your name? '))"
    with commands.terminal("run", "-q", "python3", "-c", code) as run:
        for name in ("Ada", "Grace"):
            run.expect("your name? ")
            run.send(f"{name}\n")
            run.expect(f"hello, {name}")
        assert run.wait() == 0


def test_the_end_of_input_at_a_terminal(commands: Commands) -> None:
    code = "import sys; print('[', sys.stdin.read(), ']', flush=True)"
    with commands.terminal("run", "-q", "python3", "-c", code) as run:
        assert eventually(lambda: bool(commands.kernel_processes()))
        run.send("one\ntwo\n")
        run.expect("two")
        run.send("\x04")
        run.expect("[ one")
        assert run.wait() == 0


def test_every_line_of_a_pipe_is_read(commands: Commands) -> None:
    lines = "".join(f"line {number} é\n" for number in range(200)).encode()
    code = "import sys\nfor line in sys.stdin: print(line, end='')"
    result = commands.run("run", "-q", "python3", "-c", code, stdin=lines)
    assert result == Result(0, lines, "")


def test_a_slow_pipe_is_input_as_well(commands: Commands) -> None:
    """Programs on managers get it as a file, so it is read to its end before they run."""
    (commands.work / "count.py").write_text("import sys\nprint(len(sys.stdin.readlines()))")
    reader, writer = os.pipe()
    secret = {"BACKEND_SECRET_KEY": SECRET_KEY}
    with (
        commands.serve("--access-key", ACCESS_KEY, "--era", "23.09", env=secret) as gateway,
        commands.start("run", "python", "count.py", env=variables_of(gateway), stdin=reader) as run,
    ):
        os.close(reader)
        run.expect("Waiting for the end of standard input", on="stderr")
        os.write(writer, b"one\ntwo\n")
        os.close(writer)
        assert (run.wait(), run.text()) == (0, "2\n"), run.text("stderr")


def test_input_is_left_to_the_next_command(commands: Commands) -> None:
    (commands.work / "input").write_text("one\ntwo\n")
    result = commands.shell("{ backend.ai run -q python3 -c 'print(1)'; cat; } <input")
    assert result == Result(0, b"1\none\ntwo\n", "")


def test_a_password_is_not_shown(commands: Commands) -> None:
    code = "import getpass; print(len(getpass.getpass('secret? ')), 'characters')"
    with commands.terminal("run", "-q", "python3", "-c", code) as run:
        before = run.modes()
        run.expect("secret? ")
        assert eventually(lambda: not run.echoes())
        run.send("xyzzy\n")
        run.expect("5 characters")
        assert run.wait() == 0
        assert "xyzzy" not in run.text()
        assert run.modes() == before


def test_the_terminal_is_restored_after_ctrl_c_at_a_password(commands: Commands) -> None:
    code = "import getpass; getpass.getpass('secret? ')"
    with commands.terminal("run", "-q", "python3", "-c", code) as run:
        before = run.modes()
        run.expect("secret? ")
        assert eventually(lambda: not run.echoes())
        run.send("\x03")
        assert run.wait() == 130
        assert run.modes() == before
