"""Standard streams: closed ones, dumb terminals, colors, passwords; and Ctrl-C early on."""

from __future__ import annotations

import fcntl
import os
import re
import select
import shlex
import signal
import subprocess
import sys
import termios
from collections.abc import Mapping

import pytest

from .commands import Commands
from .terminal import eventually

# -- closed streams -------------------------------------------------------------------------------


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("command", ["--version", "--help", "config", "rm lab1", "frobnicate"])
def test_closed_streams(
    commands: Commands, served: Mapping[str, str], command: str, closed: str
) -> None:
    """The exit code is the usual one, and there is no traceback."""
    made = commands.run("create", "-q", "-t", "lab1", "lua", env=served)
    assert made.code == 0, made.stderr
    codes = {"frobnicate": 125}
    result = commands.shell(f"backend.ai {command} {closed}", env=served)
    assert result.code == codes.get(command, 0), result
    assert "Traceback" not in result.stderr + result.text
    assert ("&-" in closed.replace("2>&-", "").replace("<&-", "")) <= (result.text == "")


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_the_exit_code_with_closed_streams(commands: Commands, closed: str) -> None:
    script = f"backend.ai run -q lua -c 'print(1); io.stderr:write(2); os.exit(3)' {closed}"
    result = commands.shell(script)
    assert (result.code, "Traceback" in result.stderr) == (3, False)


# Of commands that print, fail, and end with the code of a program.
FULL = [
    (["--version"], 125, 0, 125),
    (["config"], 125, 0, 125),
    (["nonsense"], 125, 125, 125),
    (["run", "--local", "-q", "lua", "-c", "os.exit(3)"], 3, 3, 3),
    (["run", "--local", "lua", "-c", "print(1)"], 125, 0, 125),
]


@pytest.mark.parametrize(("arguments", "full_output", "full_error", "both"), FULL, ids=str)
def test_a_full_disk(
    commands: Commands, arguments: list[str], full_output: int, full_error: int, both: int
) -> None:
    """What cannot be printed fails with its name; status lines that cannot are done without."""
    command = f"backend.ai {shlex.join(arguments)}"
    output = commands.shell(f"{command} >/dev/full")
    assert output.code == full_output
    assert ("standard output cannot be written: No space left" in output.stderr) == (
        full_output == 125 and "nonsense" not in arguments
    )
    error = commands.shell(f"{command} 2>/dev/full")
    assert (error.code, error.stderr) == (full_error, "")
    assert commands.shell(f"{command} >/dev/full 2>&1").code == both


@pytest.mark.parametrize(("arguments", "_output", "code", "_both"), FULL, ids=str)
def test_a_reader_of_errors_that_has_gone(
    commands: Commands, arguments: list[str], _output: int, code: int, _both: int
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    ended = subprocess.run(
        commands.argv(*arguments),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=writing,
        env=commands.env,
        cwd=commands.work,
        check=False,
    )
    os.close(writing)
    assert ended.returncode == code


@pytest.mark.parametrize(
    ("options", "variables", "expected"),
    [
        ([], {}, "80 24"),  # where the terminal does not say, as here
        (["-e", "COLUMNS=33"], {}, "33 24"),
        (["--tty"], {}, "- -"),  # the program sees the terminal itself
        ([], {"COLUMNS": "7"}, "80 24"),
    ],
)
def test_programs_know_the_width_of_the_terminal(
    commands: Commands, options: list[str], variables: Mapping[str, str], expected: str
) -> None:
    code = "print((os.getenv('COLUMNS') or '-') .. ' ' .. (os.getenv('LINES') or '-'))"
    arguments = ["run", "--local", "-q", "lua", *options, "-c", code]
    with commands.terminal(*arguments, env=variables) as running:
        running.expect(expected)
        assert running.wait() == 0
    assert commands.run("run", "--local", "-q", "lua", "-c", code).text == "- -\n"


def test_a_closed_stream_does_not_become_a_file(commands: Commands) -> None:
    """The number of the stream is not taken by the next file that is opened."""
    (commands.work / "main.lua").write_text("print('in the program')")
    result = commands.shell("backend.ai run -q lua main.lua >&-")
    assert result.code == 0, result.stderr
    assert (commands.work / "main.lua").read_text() == "print('in the program')"


# -- non-blocking streams -------------------------------------------------------------------------


def unread(fd: int) -> int:
    """How many bytes are in a pipe."""
    return int.from_bytes(fcntl.ioctl(fd, termios.FIONREAD, bytes(4)), sys.byteorder)


def has_room(fd: int) -> bool:
    """Whether a pipe takes more."""
    return bool(select.select([], [fd], [], 0)[1])


PRINTS = "run -q -t lab1 python -c"


@pytest.mark.parametrize(
    ("stream", "command"),
    [
        ("stdout", [*PRINTS.split(), "print('x' * 299_999)"]),
        ("stderr", [*PRINTS.split(), "import sys; print('x' * 299_999, file=sys.stderr)"]),
        ("stdout", ["cp", "lab1:big", "-"]),
        ("stdout", ["logs", "lab1"]),
    ],
    ids=str,
)
def test_nothing_of_the_output_is_lost_in_a_non_blocking_pipe(
    commands: Commands, served: Mapping[str, str], stream: str, command: list[str]
) -> None:
    """As programs such as Node.js make theirs: writing waits until the pipe has room."""
    code = "print('x' * 299_999, file=open('big', 'w')); print('x' * 299_999)"
    assert commands.run(*PRINTS.split(), code, env=served).code == 0
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with subprocess.Popen(
        commands.argv(*command),
        env=commands.env | served,
        cwd=commands.work,
        stdin=subprocess.DEVNULL,
        **{stream: writing},  # type: ignore[call-overload]
    ) as process:
        full = eventually(lambda: not has_room(writing) or process.poll() is not None, 30)
        os.close(writing)
        with open(reading, "rb") as file:
            data = file.read()
    assert full and (process.returncode, len(data)) == (0, 300_000)
    commands.run("rm", "lab1", env=served)


@pytest.mark.parametrize(
    "command",
    ["run -q -t lab1 bash", "upload lab1 - --to f", "vfolder upload -q data - --to f"],
)
def test_input_of_a_non_blocking_pipe_is_read_to_its_end(
    commands: Commands, served: Mapping[str, str], command: str
) -> None:
    """Where nothing is there yet, it has not ended."""
    assert commands.run("create", "-q", "-t", "lab1", "bash", env=served).code == 0
    commands.run("vfolder", "create", "data", env=served)
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    with subprocess.Popen(
        commands.argv(*command.split()),
        env=commands.env | served,
        cwd=commands.work,
        stdin=reading,
        stdout=subprocess.PIPE,
    ) as process:
        os.close(reading)
        for line in (b"echo 1\n", b"echo 2\n"):
            os.write(writing, line)
            assert eventually(lambda: unread(writing) == 0 or process.poll() is not None, 30)
        os.close(writing)
        printed, _ = process.communicate(timeout=30)
    if "upload" in command:
        copy = ["vfolder", "download", "data"] if "vfolder" in command else ["download", "lab1"]
        target = "-b" if "vfolder" in command else "--dest"
        printed = commands.run(*copy, "f", target, "-", env=served).stdout
    assert (process.returncode, printed) == (
        0,
        b"echo 1\necho 2\n" if "upload" in command else b"1\n2\n",
    )
    commands.run("rm", "lab1", env=served)


# -- escape sequences -----------------------------------------------------------------------------

PLAIN = [
    {"TERM": "dumb"},
    {"TERM": ""},
    {"TERM": "unknown"},
    {"TERM": "dumb", "COLUMNS": "200"},
    {"NO_COLOR": "1"},
    {"NO_COLOR": "1", "FORCE_COLOR": "1"},
]


@pytest.mark.parametrize("env", PLAIN, ids=str)
def test_plain_text(commands: Commands, served: Mapping[str, str], env: Mapping[str, str]) -> None:
    (commands.work / "data").write_bytes(bytes(1000))
    for arguments in (
        ["run", "-t", "lab1", "lua", "-c", "print(1)"],
        ["ps"],
        ["upload", "lab1", "data"],
        ["rm", "lab1", "no-such-kernel"],
    ):
        with commands.terminal(*arguments, env={**served, **env}) as running:
            running.wait()
        assert b"\x1b" not in running.written["stdout"], (arguments, running.written)


@pytest.mark.parametrize("env", [{"TERM": "dumb"}, {"TERM": ""}], ids=str)
def test_repl_on_a_dumb_terminal(commands: Commands, env: Mapping[str, str]) -> None:
    with commands.terminal("repl", "-q", "python", env=env) as running:
        running.expect(">>> ")
        running.send("6 * 7\r")
        running.expect("42")
        running.expect(">>> ")
        running.send("for i in range(2):\r  print('it', i)\r\r")
        running.expect("it 0\r\nit 1")
        running.expect(">>> ")
        running.send("import getpass; len(getpass.getpass('se'+'cret? '))\r")
        running.expect("secret? ")
        assert not running.echoes()
        running.send("geheim\r")
        running.expect("6\r\n")
        running.expect(">>> ")
        running.send("\x04")
        assert running.wait() == 0
    assert b"\x1b" not in running.written["stdout"] and "geheim" not in running.text()


def test_forced_color_in_a_pipe(commands: Commands) -> None:
    result = commands.run("run", "lua", "-c", "print(1)", env={"FORCE_COLOR": "1"})
    assert "\x1b[92m✔ Cleaned up the kernel.\x1b[0m\n" in result.stderr
    assert "\x1b[2K" not in result.stderr and "⋯" not in result.stderr
    assert result.stdout == b"1\n"  # the program's own
    none = commands.run("run", "lua", "-c", "print(1)", env={"FORCE_COLOR": "0"})
    assert "\x1b" not in none.stderr


def test_forced_color_of_a_table(commands: Commands, served: Mapping[str, str]) -> None:
    assert commands.run("create", "lua", "-t", "lab1", env=served).code == 0
    table = commands.run("ps", env={**served, "FORCE_COLOR": "1"})
    assert re.search(r"\x1b\[[0-9;]*m", table.text)
    assert len(table.text.splitlines()) == 3  # as wide as in any pipe


# -- passwords ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "code",
    [
        "import getpass; print(len(getpass.getpass('secret? ')))",
        "import getpass; print('x' * 5000); print(len(getpass.getpass('secret? ')))",
        "import getpass; print(len(getpass.getpass('your\\nsecret? \\n')))",
    ],
    ids=["prompt", "after much output", "prompt of two lines"],
)
@pytest.mark.parametrize("command", ["run", "repl"])
def test_the_echo_is_off_when_a_prompt_is_shown(
    commands: Commands, command: str, code: str
) -> None:
    options = ["-c", code] if command == "run" else []
    with commands.terminal(command, "-q", "python", *options) as running:
        if command == "repl":
            running.expect("\x1b[?2004h")
            running.expect(">>>")
            running.send(f"{code}\r")
            running.expect("\x1b[?2004l")  # the editor has ended
        running.expect("secret? ")
        assert not running.echoes()
        running.send("geheim\n")
        running.expect("6\r\n")
        if command == "repl":
            running.expect(">>>")
            running.send("\x04")
        assert running.wait() == 0
    assert "geheim" not in running.text()


def test_output_without_a_newline_is_shown_soon(commands: Commands) -> None:
    code = "import time; print('50 %', end='', flush=True); time.sleep(1000)"
    with commands.terminal("run", "-q", "python", "-c", code) as running:
        running.expect("50 %")
        running.send("\x03")
        assert running.wait() == 130


@pytest.mark.parametrize("arguments", [["config", "set", "secret_key"], ["login", "me"]], ids=str)
def test_the_echo_is_off_when_our_own_prompt_is_shown(
    commands: Commands, arguments: list[str]
) -> None:
    env = {"BACKEND_ENDPOINT": "http://127.0.0.1:1", "BACKEND_ENDPOINT_TYPE": "session"}
    for _ in range(3):
        with commands.terminal(*arguments, env=env) as running:
            running.expect(": ")
            assert not running.echoes()
            running.send("\x03")
            assert running.wait() == 130
            assert eventually(running.echoes)


# -- Ctrl-C before the commands are loaded --------------------------------------------------------


@pytest.mark.parametrize("program", ["backend.ai", "lcc", "lpython"])
def test_ctrl_c_while_modules_are_imported(commands: Commands, program: str) -> None:
    """Modules are imported for as long as a module of ours waits for a signal."""
    hook = commands.home / "hook"
    hook.mkdir()
    # Stands for an import that takes long: click is the first that is loaded.
    (hook / "click.py").write_text(
        "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nraise SystemExit('not reached')\n"
    )
    result = commands.run("--help", env={"PYTHONPATH": str(hook)}, program=program)
    assert (result.code, result.text, result.stderr) == (130, "", "")


@pytest.mark.parametrize("module", ["trio", "backendai_cli/run/runner.py"])
def test_ctrl_c_while_a_command_is_loaded(commands: Commands, module: str) -> None:
    hook = commands.home / "hook"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(
        "import os, signal, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {module.removesuffix('.py').replace('/', '.')!r}:\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Finder())\n"
    )
    arguments = ["run", "--local", "-q", "lua", "-c", "print(1)"]
    result = commands.run(*arguments, env={"PYTHONPATH": str(hook)})
    # The newline follows the ^C that a terminal shows.
    assert (result.code, result.text, result.stderr) == (130, "", "\n")


def test_an_ignored_signal_stays_ignored(commands: Commands) -> None:
    hook = commands.home / "hook"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(
        "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n"
    )
    result = commands.shell(
        "trap '' INT; PYTHONPATH=$HOME/hook backend.ai --version", {"LC_ALL": "C.UTF-8"}
    )
    assert result.code == 0 and "backend.ai" in result.text
    assert signal.getsignal(signal.SIGINT) is not signal.SIG_IGN
