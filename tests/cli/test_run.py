"""`backend.ai run`, from a shell: what is shown where, exit codes, and options."""

from __future__ import annotations

import hashlib
import re
import signal
import subprocess
import sys
from collections.abc import Mapping

import pytest

from .commands import ACCESS_KEY, NO_SERVER, SECRET_KEY, Commands, Result, variables_of
from .runs import STATUS, python, write


def test_hello_world(commands: Commands) -> None:
    result = commands.run("run", "python3", "-c", "print('hello world')")
    assert (result.code, result.stdout) == (0, b"hello world\n")
    assert result.stderr.startswith(NO_SERVER)
    status = STATUS.fullmatch(result.stderr.removeprefix(NO_SERVER))
    assert status is not None and status["between"] == ""
    assert "\x1b" not in result.stderr and "\r" not in result.stderr


def test_quiet(commands: Commands) -> None:
    result = python(commands, "import sys; print('out'); print('err', file=sys.stderr)")
    assert result == Result(0, b"out\n", "err\n")


def test_a_server_is_not_talked_about_when_there_is_one(
    commands: Commands, served: Mapping[str, str]
) -> None:
    result = commands.run("run", "python3", "-c", "print(1)", env=served)
    assert result.stdout == b"1\n"
    assert STATUS.fullmatch(result.stderr)


def test_local_wins_over_a_server(commands: Commands) -> None:
    nowhere = {"BACKEND_ENDPOINT": "http://127.0.0.1:1/"}
    result = commands.run("run", "-q", "--local", "python3", "-c", "print(1)", env=nowhere)
    assert result == Result(0, b"1\n", "")


@pytest.mark.usefixtures("c_compiler")
def test_c_code(commands: Commands) -> None:
    code = '#include <stdio.h>\nint main() {printf("hello world\\n");}'
    result = commands.run("run", "c", "-c", code)
    assert (result.code, result.stdout) == (0, b"hello world\n")


def test_lua(commands: Commands) -> None:
    result = commands.run("run", "-q", "lua5", "-c", 'print("hello world")')
    assert result == Result(0, b"hello world\n", "")


def test_colours_and_progress_are_for_terminals(commands: Commands) -> None:
    with commands.terminal("run", "python3", "-c", "print('hello')") as run:
        assert run.wait() == 0
    shown = run.written["stdout"].decode()
    assert "\x1b[92m✔ Cleaned up the kernel.\x1b[0m" in shown
    # The lines that tell what is going on take each other's place.
    assert "⋯ Creating a temporary kernel...\x1b[0m\r\x1b[2K" in shown
    status = STATUS.fullmatch(run.text().removeprefix(NO_SERVER))
    assert status is not None and status["between"] == "hello\n"


def test_no_color(commands: Commands) -> None:
    with commands.terminal("run", "python3", "-c", "print(1)", env={"NO_COLOR": "1"}) as run:
        assert run.wait() == 0
    shown = run.written["stdout"].decode()
    assert "✔ Cleaned up the kernel." in shown
    assert not re.search(r"\x1b\[[0-9;]*m", shown)


def test_much_output_arrives_whole(commands: Commands) -> None:
    size = 10_000_000
    code = f"import random, sys; sys.stdout.buffer.write(random.Random(1).randbytes({size}))"
    expected = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    assert len(expected) == size
    result = python(commands, code)
    assert result.code == 0
    assert len(result.stdout) == size
    assert hashlib.sha256(result.stdout).digest() == hashlib.sha256(expected).digest()


def test_bytes_stay_as_they_are(commands: Commands) -> None:
    code = "import sys; sys.stdout.buffer.write(bytes(range(256)) * 3)"
    assert python(commands, code).stdout == bytes(range(256)) * 3


def test_a_reader_that_has_enough(commands: Commands) -> None:
    script = '{ backend.ai run -q python3 -c "while True: print(12345)"; echo $? >code; } | head -1'
    result = commands.shell(script)
    assert result == Result(0, b"12345\n", "")
    assert (commands.work / "code").read_text() == "141\n"


def test_statistics(commands: Commands) -> None:
    result = commands.run("run", "-s", "python3", "-c", "sum(range(10**6))")
    names = re.findall(r"^∙ (\w+) +\d[\d,.]*( \w+)?$", result.stderr, re.MULTILINE)
    assert {"cpu_used_msec", "mem_max_bytes", "io_read_bytes"} <= {name for name, _ in names}
    assert result.stderr.index("Cleaned up") < result.stderr.index("cpu_used_msec")


@pytest.mark.parametrize("code", [0, 1, 3, 255])
def test_the_exit_code_is_the_programs(commands: Commands, code: int) -> None:
    assert python(commands, f"import sys; sys.exit({code})") == Result(code, b"", "")


def test_an_exception_is_the_programs_own(commands: Commands) -> None:
    result = python(commands, "1/0")
    assert (result.code, result.stdout) == (1, b"")
    assert result.stderr.endswith("ZeroDivisionError: division by zero\n")
    assert result.stderr.count("Traceback") == 1


@pytest.mark.usefixtures("c_compiler")
def test_a_compile_error(commands: Commands) -> None:
    (commands.work / "main.c").write_text("int main(void) { return nonsense; }\n")
    result = commands.run("run", "c", "main.c")
    assert result.code not in (0, 125, 126, 127) and result.stdout == b""
    assert re.search(r"main\.c:1:\d+: error: .*nonsense", result.stderr)
    assert re.search(r"✘ Build failed \(exit code \d+\); nothing was run\.", result.stderr)


@pytest.mark.parametrize("name", ["SIGKILL", "SIGSEGV", "SIGTERM"])
@pytest.mark.usefixtures("c_compiler")
def test_a_signal_is_128_and_its_number(commands: Commands, name: str) -> None:
    code = f"#include <signal.h>\nint main(void) {{ raise({name}); return 0; }}"
    result = commands.run("run", "-q", "c", "-c", code)
    assert result.code == 128 + getattr(signal, name)
    assert result.stderr.startswith(f"✘ The program was killed by {name} (")


@pytest.mark.parametrize(
    ("files", "code", "said"),
    [
        ({"x.py": "import ctypes; ctypes.string_at(0)"}, 139, "killed by SIGSEGV (Segmentation"),
        ({"x.py": "import os; os.abort()"}, 134, "killed by SIGABRT (Aborted)"),
        ({"x.sh": "kill -9 $$"}, 137, "killed by SIGKILL (Killed); perhaps there was too little"),
        ({"x.sh": "kill -BUS $$"}, 135, "killed by SIGBUS (Bus error)"),
        ({"x.sh": "kill -PIPE $$"}, 141, ""),
        ({"x.sh": "exit 200"}, 200, ""),
    ],
)
def test_programs_that_are_killed_say_so(
    commands: Commands, files: dict[str, str], code: int, said: str
) -> None:
    (name,) = write(commands, files)
    result = commands.run("run", "-q", "python" if name == "x.py" else "bash", name)
    assert result.code == code
    assert said in result.stderr and bool(said) == bool(result.stderr)


def test_a_managers_kernel_without_an_interpreter(commands: Commands) -> None:
    """It tells nothing but this exit code."""
    replaced = "type('A', (list,), {'__setitem__': lambda *_: os._exit(127)})()"
    secret = {"BACKEND_SECRET_KEY": SECRET_KEY}
    with commands.serve("--access-key", ACCESS_KEY, "--era", "26.9", env=secret) as gateway:
        env = variables_of(gateway)
        done = commands.run("run", "-q", "python", "-c", "import os; os._exit(127)", env=env)
        assert "when their interpreter could not start" in done.problem(127)
        code = "import sys; print('no such tool'); sys.exit(127)"
        done = commands.run("run", "-q", "python", "-c", code, env=env)
        assert (done.code, done.text, done.stderr) == (127, "no such tool\n", "")
        code = f"import os, sys; sys.argv = {replaced}"
        named = ("run", "-q", "-t", "lab1", "python", "-c")
        assert commands.run(*named, code, env=env).code == 0
        done = commands.run(*named, "1", "--", "word", env=env)
        assert "when their interpreter could not start" in done.problem(125)
        assert commands.run("rm", "lab1", env=env).code == 0


def test_an_interpreter_that_is_killed(commands: Commands, served: Mapping[str, str]) -> None:
    for language, code, number, cause in (
        ("python", "import os; os.kill(os.getpid(), 9)", 137, "killed by SIGKILL (Killed)"),
        ("python", "import ctypes; ctypes.string_at(0)", 139, "killed by SIGSEGV (Segmentation"),
        ("lua", "os.execute('kill -ABRT $PPID')", 134, "killed by SIGABRT (Aborted)"),
    ):

        def run(code: str, language: str = language) -> Result:
            token = f"{language}-1"
            return commands.run("run", "-q", language, "-t", token, "-c", code, env=served)

        assert run("x = 1").code == 0
        died = run(code)
        assert died.code == number and cause in died.stderr
        assert "its variables are lost" in died.stderr
        told = run("print(1)")
        assert told.text == "1\n" and told.stderr.startswith("[a new interpreter runs this: ")
        assert cause in told.stderr
        assert run("print(2)") == Result(0, b"2\n", "")  # told once
    commands.run("rm", "python-1", "lua-1", env=served)


def test_no_such_runtime(commands: Commands) -> None:
    result = commands.run("run", "nosuchlang", "-c", "x")
    problem = result.problem(127)
    assert "nosuchlang" in problem and "python" in problem and "lua" in problem
    assert "is ready" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["python"], "nothing to run"),
        (["python", "-c", "1", "main.py"], "either code with -c or files"),
        (["python", "missing.py"], "missing.py: cannot be uploaded: No such file or directory"),
        (["python", "folder"], "None of them is a script of this runtime"),
        (["python", "-c", "1", "-e", "NAME"], "-e NAME: write it as KEY=VALUE"),
        (["python", "-c", "1", "-e", "=value"], "-e =value: write it as KEY=VALUE"),
        (["python", "-c", "1", "--exec", "true"], "--build and --exec go with files"),
        (["python", "-c", "1", "--nonsense"], "--nonsense"),
        ([], "LANG"),
    ],
)
def test_wrong_usage(commands: Commands, arguments: list[str], said: str) -> None:
    (commands.work / "folder").mkdir()
    (commands.work / "main.py").touch()
    result = commands.run("run", *arguments)
    assert said in result.problem(125)
    assert len(result.stderr.splitlines()) == 1  # so no gateway was started


def test_variables(commands: Commands) -> None:
    code = "import os; print(os.environ['GREETING'], os.environ['EMPTY'] == '')"
    result = python(commands, code, "-e", "GREETING=hello = world", "-e", "EMPTY=")
    assert result == Result(0, b"hello = world True\n", "")


def test_variables_of_the_shell_stay_outside(commands: Commands) -> None:
    result = commands.run(
        "run", "-q", "python3", "-c", "import os; print(os.environ)", env={"MY_TOKEN": "private"}
    )
    assert "PATH" in result.text and "MY_TOKEN" not in result.text and "private" not in result.text


def test_a_token_keeps_state(commands: Commands, served: Mapping[str, str]) -> None:
    first = commands.run("run", "python", "-t", "lab1", "-c", "x = 42", env=served)
    assert first.code == 0
    assert "Client session token: lab1" in first.stderr
    assert "Cleaned up" not in first.stderr
    second = commands.run("run", "-q", "python", "-t", "lab1", "-c", "print(x)", env=served)
    assert second == Result(0, b"42\n", "")
    last = commands.run("run", "--rm", "python", "-t", "lab1", "-c", "print(x)", env=served)
    assert last.stdout == b"42\n" and last.stderr.endswith("✔ Cleaned up the kernel.\n")
    again = commands.run("run", "-q", "python", "-t", "lab1", "-c", "print(x)", env=served)
    assert again.code == 1 and "NameError" in again.stderr


def test_keep(commands: Commands, served: Mapping[str, str]) -> None:
    first = commands.run("run", "--keep", "python", "-c", "x = 42", env=served)
    token = re.search(r"Client session token: (\S+)", first.stderr)
    assert token is not None and "Cleaned up" not in first.stderr
    second = commands.run("run", "-q", "python", "-t", token[1], "-c", "print(x)", env=served)
    assert second == Result(0, b"42\n", "")


def test_a_token_of_another_runtime(commands: Commands, served: Mapping[str, str]) -> None:
    assert commands.run("run", "-q", "python", "-t", "lab2", "-c", "1", env=served).code == 0
    result = commands.run("run", "lua", "-t", "lab2", "-c", "x = 1", env=served)
    assert "lab2" in result.problem(126)


def test_files_stay_with_a_token(commands: Commands, served: Mapping[str, str]) -> None:
    write(commands, {"main.py": "print(open('data.txt').read())", "data.txt": "from a file"})
    first = commands.run("run", "-q", "python", "-t", "lab3", "main.py", "data.txt", env=served)
    assert first == Result(0, b"from a file\n", "")
    code = "print(open('data.txt').read())"
    second = commands.run("run", "-q", "python", "-t", "lab3", "-c", code, env=served)
    assert second.stdout == b"from a file\n"


def test_files_in_folders(commands: Commands) -> None:
    (commands.work / "pkg").mkdir()
    write(
        commands,
        {
            "main.py": "import pkg.part; print(pkg.part.value)",
            "pkg/__init__.py": "",
            "pkg/part.py": "value = 7",
        },
    )
    result = commands.run("run", "-q", "python", "main.py", "pkg/__init__.py", "pkg/part.py")
    assert result == Result(0, b"7\n", "")


def test_build_and_exec(commands: Commands) -> None:
    write(commands, {"part.py": "print('part')"})
    result = commands.run(
        "run",
        "python",
        "--build",
        "echo building; cp part.py made.py",
        "--exec",
        "python3 made.py; exit 5",
        "part.py",
    )
    assert result.code == 5
    assert result.text.endswith("part\n")
    assert "✔ Build finished." in result.stderr


def test_a_build_that_fails(commands: Commands) -> None:
    write(commands, {"part.py": "print('part')"})
    arguments = ["--build", "exit 9", "--exec", "echo executed", "part.py"]
    result = commands.run("run", "python", *arguments)
    assert (result.code, result.stdout) == (9, b"")
    assert "✘ Build failed (exit code 9); nothing was run." in result.stderr


def test_several_scripts(commands: Commands, served: Mapping[str, str]) -> None:
    """None is called main: the message names --exec, and no kernel is made."""
    files = write(commands, {"train.py": "import helper", "helper.py": "print('helped')"})
    problem = commands.run("run", "python", *files).problem(125)
    assert "train.py or helper.py" in problem and "--exec 'python3 train.py'" in problem
    chosen = commands.run("run", "-q", "python", *files, "--exec", "python3 train.py")
    assert chosen == Result(0, b"helped\n", "")
    # In a kernel that exists, there may be a file called main.
    main = write(commands, {"main.py": "import train"})
    arguments = ["run", "-q", "python", "-t", "lab1"]
    assert commands.run(*arguments, *main, "train.py", "helper.py", env=served).code == 0
    assert commands.run(*arguments, *files, env=served) == Result(0, b"helped\n", "")


RULER = "\x1b[31m" + "-" * 40 + "\x1b[0m\n"
TRACEBACK = RULER + "\x1b[31mKeyError\x1b[0m  Traceback (most recent call last)\nKeyError: 'a'"


@pytest.mark.parametrize("era", [(), ("--era", "23.09")], ids=["own", "23.09"])
@pytest.mark.parametrize("as_file", [True, False], ids=["batch", "query"])
def test_standard_error_arrives_byte_for_byte(
    commands: Commands, era: tuple[str, ...], as_file: bool
) -> None:
    """Only a manager's kernel colors the traceback of code."""
    code = f"import sys; sys.stderr.write({TRACEBACK!r})"
    words = write(commands, {"main.py": code}) if as_file else ["-c", code]
    secret = {"BACKEND_SECRET_KEY": SECRET_KEY}
    with commands.serve("--access-key", ACCESS_KEY, *era, env=secret) as gateway:
        result = commands.run("run", "-q", "python3", *words, env=variables_of(gateway))
    changed = era and not as_file
    expected = re.sub(r"\x1b\[\d+m", "", TRACEBACK) + "\n" if changed else TRACEBACK
    assert result.stderr == expected
