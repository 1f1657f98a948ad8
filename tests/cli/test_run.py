"""`backend.ai run`, from a shell: what is shown where, exit codes, signals, and what is left."""

from __future__ import annotations

import hashlib
import re
import signal
import subprocess
import sys
from collections.abc import Mapping

import pytest

from ..local_kernels import work_folder
from .commands import ACCESS_KEY, NO_SERVER, SECRET_KEY, Commands, Result, variables_of
from .terminal import Running, eventually, on_pipes

GREETING_C = {
    "main.c": r"""
        #include <stdio.h>
        #include "mylib.h"
        int main(void) {
            char name[64];
            printf("myvalue is %d\n", myvalue());
            printf("your name? ");
            if (scanf("%63s", name) != 1) { printf("no name\n"); return 4; }
            printf("hello, %s!\n", name);
            return 0;
        }
    """,
    "mylib.c": '#include "mylib.h"\nint myvalue(void) { return 42; }\n',
    "mylib.h": "int myvalue(void);\n",
}
STATUS = re.compile(
    r"∙ Client session token: bt-[0-9a-f]{32}\n"
    r"✔ Kernel \(ID: [0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\) is ready\.\n"
    r"(?P<between>(.*\n)*?)"
    r"✔ Cleaned up the kernel\.\n"
)
FOREVER = "print('started', flush=True)\nwhile True: pass"


def write(commands: Commands, files: Mapping[str, str]) -> list[str]:
    for name, text in files.items():
        (commands.work / name).write_text(text)
    return list(files)


def python(commands: Commands, code: str, *options: str) -> Result:
    """Run code quietly on this machine."""
    return commands.run("run", "-q", "python3", *options, "-c", code)


# -- output, and what is said beside it --------------------------------------------------------


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


# -- input ------------------------------------------------------------------------------------


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


# -- exit codes -------------------------------------------------------------------------------


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
    assert re.search(r"✘ Build failed \(exit code \d+\)\.", result.stderr)


@pytest.mark.parametrize("name", ["SIGKILL", "SIGSEGV", "SIGTERM"])
@pytest.mark.usefixtures("c_compiler")
def test_a_signal_is_128_and_its_number(commands: Commands, name: str) -> None:
    code = f"#include <signal.h>\nint main(void) {{ raise({name}); return 0; }}"
    assert commands.run("run", "-q", "c", "-c", code).code == 128 + getattr(signal, name)


def test_an_interpreter_that_is_killed(commands: Commands) -> None:
    assert python(commands, "import os; os.kill(os.getpid(), 9)").code == 137


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
        (["python", "folder"], "folder: cannot be uploaded: it is a folder"),
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


# -- options ----------------------------------------------------------------------------------


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
    assert "✘ Build failed (exit code 9)." in result.stderr


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


# -- signals ----------------------------------------------------------------------------------


def started(run: Running, commands: Commands, text: str = "started") -> None:
    run.expect(text)
    assert commands.kernel_processes()


def test_ctrl_c(commands: Commands) -> None:
    with commands.terminal("run", "python3", "-c", FOREVER) as run:
        started(run, commands)
        run.send("\x03")
        run.expect("Interrupting the program; Ctrl-C again ends the kernel.")
        run.expect("KeyboardInterrupt")
        assert run.wait(5) == 130
        assert commands.kernel_processes() == []
    assert run.text().endswith("✔ Cleaned up the kernel.\n")


def test_ctrl_c_at_a_prompt(commands: Commands) -> None:
    with commands.terminal("run", "python3", "-c", "input('your name? ')") as run:
        started(run, commands, "your name? ")
        run.send("\x03")
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
