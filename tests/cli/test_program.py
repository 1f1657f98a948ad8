"""The program of `run`: which file it is, its arguments, code from standard input, shebangs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from copy import copy
from pathlib import Path

import click
import pytest

from backendai_cli.commands.run import RunCommand
from backendai_cli.commands.run import command as run_command
from backendai_cli.run.program import CommandLine, append_arguments, split_command_line
from backendai_trio import BatchOptions

from .commands import ACCESS_KEY, SECRET_KEY, Commands, Result, variables_of

SHOW_ARGUMENTS = "import sys\nprint(sys.argv)\n"


@pytest.fixture(params=["", "--era=23.09"], ids=["gateway", "manager"])
def server(commands: Commands, request: pytest.FixtureRequest) -> Iterator[Mapping[str, str]]:
    """A gateway, as such and in the manner of a manager, whose kernels know no programs."""
    secret = {"BACKEND_SECRET_KEY": SECRET_KEY}
    options = [request.param] if request.param else []
    with commands.serve("--access-key", ACCESS_KEY, *options, env=secret) as gateway:
        yield variables_of(gateway)


def write(commands: Commands, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        path = commands.work / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text)


def test_files_and_folders_with_arguments(commands: Commands, server: Mapping[str, str]) -> None:
    write(
        commands,
        {
            "main.py": SHOW_ARGUMENTS,
            "train.py": SHOW_ARGUMENTS,
            "helper.py": "",
            "src/main.py": "import package.inner\n" + SHOW_ARGUMENTS,
            "src/package/inner.py": "",
            "src/package/main.py": "",
            "tool/__main__.py": "import part\n" + SHOW_ARGUMENTS,
            "tool/part.py": "",
            "one/only.py": SHOW_ARGUMENTS,
            "-odd name.py": SHOW_ARGUMENTS,
            "plain": SHOW_ARGUMENTS,
            "show.sh": 'echo "$0" "$#" "$2"\n',
        },
    )

    def run(*arguments: str) -> Result:
        return commands.run("run", "-q", *arguments, env=server)

    def shown(name: str, *arguments: str) -> Result:
        return Result(0, f"{[name, *arguments]}\n".encode(), "")

    assert run("python", "train.py", "--", "a", "b c", "--flag") == shown(
        "train.py", "a", "b c", "--flag"
    )
    assert run("python", "main.py", "helper.py", "--", "$HOME") == shown("main.py", "$HOME")
    assert run("python", "src", "--", "1") == shown("src/main.py", "1")
    assert run("python", "src/", "helper.py", "train.py", "main.py") == shown("main.py")
    assert run("python", "tool/") == shown("tool/__main__.py")
    assert run("python", "one") == shown("one/only.py")
    assert run("python", "one/only.py", "src") == shown("one/only.py")
    assert run("python", "plain") == shown("plain")
    assert run("python", "--", "-odd name.py", "-q") == shown("./-odd name.py", "-q")
    assert run("python", "helper.py", "train.py", "--exec", "python3 train.py", "--", "$x") == (
        shown("train.py", "$x")
    )
    assert run("bash", "show.sh", "--", "1", "it's") == Result(0, b"show.sh 2 it's\n", "")
    # It says which file it runs, where there are several.
    said = commands.run("run", "python", "src", env=server).stderr
    assert "The program is src/main.py." in said


@pytest.mark.usefixtures("c_compiler")
def test_arguments_of_what_is_built(commands: Commands, server: Mapping[str, str]) -> None:
    source = '#include <stdio.h>\nint main(int n, char **v) { printf("%d %s\\n", n, v[1]); }\n'
    write(commands, {"show.c": source})
    result = commands.run("run", "-q", "c", "show.c", "--", "a b", "c", env=server)
    assert result == Result(0, b"3 a b\n", "")


def test_named_script_is_run_where_the_kernel_has_another(
    commands: Commands, server: Mapping[str, str]
) -> None:
    write(commands, {"main.py": "print('main')", "other.py": "print('other')", "third.py": ""})
    for names, text in ((["main.py"], "main\n"), (["other.py"], "other\n"), (["third.py"], "")):
        result = commands.run("run", "-q", "python", "-t", "lab1", *names, env=server)
        assert (result.code, result.text) == (0, text), result.stderr
    commands.run("rm", "lab1", env=server)


def test_code_from_standard_input(commands: Commands, server: Mapping[str, str]) -> None:
    def run(stdin: bytes, *arguments: str) -> Result:
        return commands.run("run", "-q", *arguments, stdin=stdin, env=server)

    arguments = SHOW_ARGUMENTS.encode()
    assert run(b"print(6 * 7)\n", "python", "-") == Result(0, b"42\n", "")
    assert run(b"\xef\xbb\xbfprint(6 * 7)", "python") == Result(0, b"42\n", "")
    assert run(arguments, "python", "-", "--", "a", "it's", "-c") == Result(
        0, b"['-c', 'a', \"it's\", '-c']\n", ""
    )
    assert run(b"echo shell $((6 * 7))\n", "bash") == Result(0, b"shell 42\n", "")
    assert (
        run(b"print('\xe2\x82\xac')\nimport sys; sys.exit(3)", "python").stdout == b"\xe2\x82\xac\n"
    )
    failed = run(b"x = 1\n1/0\n", "python")
    assert failed.code == 1 and "line 2" in failed.stderr


def test_code_gets_the_arguments_of_its_own_call(
    commands: Commands, server: Mapping[str, str]
) -> None:
    """A kernel that stays has those of the call before."""

    def run(*arguments: str) -> Result:
        return commands.run("run", "-q", "-t", "lab1", "python", *arguments, env=server)

    show = ("-c", SHOW_ARGUMENTS)
    assert run(*show, "--", "a", "b").text == "['-c', 'a', 'b']\n"
    assert run(*show).text == "['-c']\n"
    assert run("-c", "sys.argv = ()").code == 0
    for arguments in ((), ("--", "c")):
        assert "earlier code has replaced the list" in run(*show, *arguments).problem(125)
    assert commands.run("rm", "lab1", env=server).code == 0


def test_script_calls_run_in_its_first_line(commands: Commands, server: Mapping[str, str]) -> None:
    write(
        commands,
        {
            "hello": "#!/usr/bin/env -S backend.ai run -q python\n"
            f"{SHOW_ARGUMENTS}print(input())\n",
            "short": f"#!/usr/bin/env -S lpython -q\n{SHOW_ARGUMENTS}",
            "below/show.py": f"#! /usr/bin/env -S backend.ai -v run -q  python \n{SHOW_ARGUMENTS}",
        },
    )
    for name in ("hello", "short", "below/show.py"):
        (commands.work / name).chmod(0o755)
    said = commands.shell("echo typed | ./hello --help -c 'a b' -- below", env=server)
    assert said == Result(0, b"['hello', '--help', '-c', 'a b', '--', 'below']\ntyped\n", "")
    assert commands.shell("./short -t x", env=server).text == "['short', '-t', 'x']\n"
    assert commands.shell("below/show.py", env=server).text == "['below/show.py']\n"
    full = commands.work / "short"
    elsewhere = commands.shell(f"mkdir other; cd other && {full} 1", env=server)
    assert elsewhere.text == "['short', '1']\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["python", "one.py", "two.py"], "which file is the program, one.py or two.py?"),
        (["python", "many"], "many/a.py or many/b.py or many/c.py or many/d.py or another one?"),
        (["python", "one.py", "two.py", "--", "1"], "--exec 'python3 one.py'"),
        (["python", "many/a.py", "many/b.py"], "which file is the program, many/a.py or many/b.py"),
        (["python", "data"], "None of them is a script of this runtime"),
        (["c", "sources"], "only files in the work folder itself are built"),
        (["python", "-", "one.py"], "either code on standard input (-) or files"),
        (["bash", "-c", "echo $1", "--", "1"], "only code of Python gets arguments"),
        (["python", "--"], "nothing to run"),
        (["python", "--", ""], "the path is empty"),
        (["python", "-"], "nothing to run: give code with -c or on standard input"),
    ],
)
def test_program_that_is_undecided(commands: Commands, arguments: list[str], said: str) -> None:
    files = {f"many/{letter}.py": "" for letter in "abcdef"}
    files |= {"one.py": "", "two.py": "", "data/x.csv": "", "sources/main.c": ""}
    write(commands, files)
    assert said in commands.run("run", *arguments).problem(125)


def test_words_behind_two_dashes(tmp_path: Path) -> None:
    assert split_command_line(["python", "x.py"]) == CommandLine(["python", "x.py"], [])
    line = split_command_line(["python", "x.py", "--", "-c", "--", "y"])
    assert line == CommandLine(["python", "x.py"], ["-c", "--", "y"])
    script = tmp_path / "script"

    def by_shebang(shebang: str, *words: str) -> bool:
        script.write_text(f"{shebang}\n")
        return split_command_line([*words, str(script), "--x"], len(words)).by_shebang

    assert by_shebang("#!/usr/bin/env -S backend.ai run python", "python")
    assert by_shebang("#!/opt/venv/bin/lpython")
    assert by_shebang(
        "#!/usr/bin/env -S backend.ai --profile x run -q 'python:3.9'", "-q", "python:3.9"
    )
    # Another command has been typed, or another program is called.
    assert not by_shebang("#!/usr/bin/env -S backend.ai run python", "-q", "python")
    assert not by_shebang("#!/usr/bin/env python3", "python")
    assert not by_shebang("#!/usr/bin/env -S backend.ai run 'python", "python")
    assert not by_shebang("", "python")
    for at in (1, 2):
        assert not split_command_line(["python", "a\0b", str(tmp_path)], at).by_shebang
    line = split_command_line(["--", str(script)], 1)
    assert line == CommandLine([], [str(script)])


@pytest.mark.parametrize(
    ("words", "file"),
    [
        (["python", "x.py", "y.py"], "x.py"),
        (["-q", "python", "x.py", "-c"], "x.py"),
        (["-t", "lab1", "python", "-qe", "A=1", "--exec=a", "--build", "b", "x.py", "--z"], "x.py"),
        (["-tlab1", "python", "-"], "-"),
        (["python", "-c", "code"], None),
        (["python", "--bootstrap-script", "b.sh"], None),
        (["python", "--nonsense", "x.py"], None),
        (["python", "-c"], None),
        (["-q"], None),
    ],
)
def test_first_file_of_a_command_line(words: list[str], file: str | None) -> None:
    assert isinstance(run_command, RunCommand)
    shortcut = copy(run_command)
    shortcut.params = [item for item in run_command.params if item.name != "lang"]
    without_lang = [word for word in words if word != "python"]
    for command, line in ((run_command, words), (shortcut, without_lang)):
        at = command.first_file(click.Context(command), line)
        assert (None if at is None else line[at]) == file


def test_pipes_on_the_command_line_are_read_once(
    commands: Commands, served: Mapping[str, str]
) -> None:
    """They are not opened to look for a shebang."""
    os.mkfifo(commands.work / "pipe")
    for words in (["pipe"], ["main.py", "pipe"]):
        write(commands, {"main.py": ""})
        said = commands.run("run", "python", *words, env=served, seconds=30)
        assert "not a regular file" in said.problem(125)
    # A gateway has no bootstrap scripts, and refuses all but an empty one.
    script = "echo true | backend.ai run -q bash --bootstrap-script /dev/stdin -c 'echo never'"
    said = commands.shell(script, env=served)
    assert "bootstrap script" in said.problem(126)


def test_arguments_follow_a_command_that_was_given() -> None:
    options = BatchOptions(exec="./run", arguments=("a b", "$x"))
    assert append_arguments(options) == BatchOptions(exec="./run 'a b' '$x'")
    for rule in ("*", None):
        options = BatchOptions(exec=rule, arguments=("a",))
        assert append_arguments(options) == options
