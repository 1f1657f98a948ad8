"""Command lines in which something was forgotten: what they say, and that it is right."""

from __future__ import annotations

import pytest

from .commands import Commands

FILES = {
    "main.py": "import sys; print(sys.argv[1:])",
    "script.sh": "echo hello",
    "script": "#!/usr/bin/env bash\necho hello",
    "three": "#!/usr/bin/env -S python3 -u\nprint(3)",
    "main.c": "int main(void) { return 0; }",
    "notes": "nothing in particular",
    "python": "a file with the name of a runtime",
}


@pytest.fixture
def work(commands: Commands) -> Commands:
    for name, text in FILES.items():
        (commands.work / name).write_text(text)
    return commands


@pytest.mark.parametrize(
    ("line", "corrected"),
    [
        ("run main.py", "run python main.py"),
        ("run -q ./main.py script -- 'a b'", "run -q python ./main.py script -- 'a b'"),
        ("run ./script.sh", "run bash ./script.sh"),
        ("run script", "run bash script"),
        ("run ./three", "run python ./three"),
        ("run main.c", "run c main.c"),
        ("run none.rs", "run rust none.rs"),
        ("run ./notes", "run LANG ./notes"),
        ("batch main.py -- python main.py", "batch python main.py -- python main.py"),
        ("repl main.py", "run python main.py"),
        ("shell ./script", "run bash ./script"),
        ("create main.c", "run c main.c"),
    ],
)
def test_a_forgotten_runtime(work: Commands, line: str, corrected: str) -> None:
    problem = work.shell(f"backend.ai {line}").problem(125)
    assert f" is a file; the runtime comes first: backend.ai {corrected} (see " in problem


@pytest.mark.parametrize("runtime", ["notes", "ghcr.io/a/main:py"])
def test_other_unknown_runtimes_are_no_files(work: Commands, runtime: str) -> None:
    assert "is a file" not in work.run("run", "-q", runtime, "-c", "1").problem(127)


def test_a_file_may_have_the_name_of_a_runtime(work: Commands) -> None:
    assert work.run("run", "-q", "python", "-c", "print(1)").text == "1\n"


@pytest.mark.parametrize(
    ("line", "corrected"),
    [
        ("backend.ai run python main.py --epochs 9", "backend.ai run python main.py -- --epochs 9"),
        ("backend.ai run -q python main.py -n9 -- x", "backend.ai run -q python main.py -- -n9 x"),
        ("lpython -c 1 --epochs 9", "lpython -c 1 -- --epochs 9"),
        ("lpython main.py --epochs=9", "lpython main.py -- --epochs=9"),
        ("lpython -q main.py a -- b", "lpython -q main.py -- a b"),
        ("lcc main.c 3 4", "lcc main.c -- 3 4"),
    ],
)
def test_forgotten_dashes(work: Commands, line: str, corrected: str) -> None:
    problem = work.shell(line).problem(125)
    assert f"; the program's own arguments go behind --: {corrected} (see " in problem


@pytest.mark.parametrize(
    "line",
    [
        "run --epochs python main.py",
        "run python none.py other.py",
        "run python -c 1 --medai x",
        "run python --epochs -c 1",
    ],
)
def test_what_no_program_gets(work: Commands, line: str) -> None:
    assert "behind --" not in work.shell(f"backend.ai {line}").problem(125)


def test_arguments_of_piped_code_without_its_dash(work: Commands) -> None:
    code = b"import sys; print(sys.argv[1:])"
    problem = work.run("run", "python", "--", "x", stdin=code).problem(125)
    assert problem.startswith("✘ x: no such file, and ") and "write - before --" in problem
    assert work.run("run", "-q", "python", "-", "--", "x", stdin=code).text == "['x']\n"


def test_tty_in_a_script(work: Commands) -> None:
    assert "--tty needs a terminal" in work.run("run", "--tty", "python", "main.py").problem(125)


def test_batch_takes_folders_as_run_does(work: Commands) -> None:
    inner = work.work / "lib" / "deep"
    inner.mkdir(parents=True)
    (inner / "module.py").write_text("print('deep')")
    (inner / "left.o").touch()
    command = "batch -q python main.py lib --exclude '*.o' -- 'python lib/deep/*.py; ls lib/deep'"
    result = work.shell(f"backend.ai {command}")
    assert (result.code, result.text) == (0, "deep\nmodule.py\n"), result
