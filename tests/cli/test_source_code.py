"""Source code at a prompt: complete or not, and where its statements end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backendai_cli.languages import find_program, language_of
from backendai_cli.repl.source_code import (
    PythonSplitter,
    WholeInput,
    indentation,
    is_finished,
)


@pytest.mark.parametrize(
    ("runtime", "language"),
    [
        ("python", "python"),
        ("Python3.11", "python"),
        ("host:5000/stable/python:3.9-ubuntu20.04@amd64", "python"),
        ("ngc-python-tensorflow", "python"),
        ("lua5", "lua"),
        ("c", "c"),
        ("c++17", "c++"),
        ("node", "javascript"),
        ("js", "javascript"),
        ("shell", "bash"),
    ],
)
def test_languages(runtime: str, language: str) -> None:
    assert language_of(runtime) == language


@pytest.mark.parametrize(
    ("runtime", "names", "program", "undecided"),
    [
        ("python", ["train.py", "helper.py"], "", ["train.py", "helper.py"]),
        ("python:3.11", ["train.py", "helper.py", "data.csv"], "", ["train.py", "helper.py"]),
        ("node", ["a.js", "b.mjs"], "", ["a.js", "b.mjs"]),
        ("lua5", ["a.lua", "b.lua"], "", ["a.lua", "b.lua"]),
        ("python", ["a/main.py", "b/main.py", "c.py"], "", ["a/main.py", "b/main.py"]),
        ("python", ["main.py", "helper.py"], "main.py", []),
        ("python", ["helper.py", "lib/main.py"], "lib/main.py", []),
        ("python", ["train.py"], "train.py", []),
        ("python", ["train.py", "data.csv", "run.sh"], "train.py", []),
        ("python", ["data.csv"], "", []),
        ("c", ["a.c", "b.c"], "", []),
        ("unknown", ["a.py", "b.py"], "", []),
    ],
)
def test_program_among_files(
    runtime: str, names: list[str], program: str, undecided: list[str]
) -> None:
    assert find_program(runtime, names) == (program, undecided)


@pytest.mark.parametrize(
    ("named", "folders", "program", "undecided"),
    [
        ([], {"src": ["src/main.py", "src/x.py"]}, "src/main.py", []),
        ([], {"tool": ["tool/__main__.py", "tool/x.py"]}, "tool/__main__.py", []),
        ([], {"src": ["src/main.py"], "lib": ["lib/a.py", "lib/b.py"]}, "src/main.py", []),
        ([], {"src": ["src/x.py", "src/x.csv"], "lib": []}, "src/x.py", []),
        (["x.py"], {"src": ["src/main.py"]}, "x.py", []),
        (["x.csv"], {"src": ["src/main.py"]}, "src/main.py", []),
        ([], {"a": ["a/main.py"], "b": ["b/main.py"]}, "", ["a/main.py", "b/main.py"]),
        ([], {"a": ["a/x.py", "a/y.py"]}, "", ["a/x.py", "a/y.py"]),
        (["x.py", "y.py"], {"src": ["src/main.py"]}, "", ["x.py", "y.py"]),
    ],
)
def test_program_in_folders(
    named: list[str], folders: dict[str, list[str]], program: str, undecided: list[str]
) -> None:
    assert find_program("python", named, folders) == (program, undecided)


@pytest.mark.parametrize(
    ("language", "text", "finished"),
    [
        ("python", "", True),
        ("python", "1 + 1", True),
        ("python", "x = (1,", False),
        ("python", "x = '''a", False),
        ("python", "x = 1 + \\", False),
        ("python", "@f", False),
        ("python", "def f():", False),
        ("python", "def f():\n    return 1", False),
        ("python", "def f():\n    return 1\n", True),
        ("python", "def f():\n    return 1\n    ", True),
        ("python", "def f():\n    return 1\nf()", True),
        ("python", "for i in x: print(i)", True),
        ("python", "1 is 1", True),
        ("python", "x = )", True),
        ("python", "\0", True),
        ("lua", "x = 1", True),
        ("lua", "for i = 1, 3 do", False),
        ("lua", "for i = 1, 3 do print('end') -- end", False),
        ("lua", "for i = 1, 3 do print(i) end", True),
        ("lua", "if x then y() elseif z then", False),
        ("lua", "repeat x() until", True),
        ("lua", "x = {1,", False),
        ("c", "int main() {", False),
        ("c", "#include <stdio.h>", False),
        ("c", 'int main() { puts("}"); }', False),
        ("c", 'int main() { puts("}"); }\n', True),
        ("c", "int main() {\n", False),
        ("bash", "for i in 1 2; do", False),
        ("bash", "case $x in a) echo;; esac", True),
        ("no such language", "(((", True),
    ],
)
def test_finished(language: str, text: str, finished: bool) -> None:
    assert is_finished(language, text) is finished


def test_indentation() -> None:
    assert indentation("python", "def f():") == "    "
    assert indentation("python", "    if x:  ") == "        "
    assert indentation("python", "    y = 1") == "    "
    assert indentation("lua", "  x = 1") == "  "


def statements(text: str) -> list[str]:
    splitter = PythonSplitter()
    lines = text.splitlines(keepends=True)
    found = [statement for line in lines for statement in splitter.feed(line)]
    last = splitter.end()
    return found if last is None else [*found, last]


@pytest.mark.parametrize(
    "expected",
    [
        ["a = 1\n", "b\n"],
        ["if a:\n  b\n\n  c\nelif d:\n  e\nelse:\n  f\n", "g\n"],
        ["if a: b\nelse: c\n", "d"],
        ["x = [\n1,\n]\n", "y"],
        ["x = '''\ndef f():\n'''\n", "y"],
        ["@d\ndef f():\n  pass\n", "f()\n"],
        ["try:\n  a\nexcept E:\n  b\nfinally:\n  c\n", "match x:\n  case 1:\n    y\n", "z"],
        ["def f():\n  a\n# comment\n  b\n", "c"],
        ["x = )\n", "y\n"],
        ["  indented\n", "y\n"],
    ],
)
def test_statements_of_python(expected: list[str]) -> None:
    assert statements("".join(expected)) == expected


@given(st.text(alphabet="ab:(\n #'\\", max_size=60))
def test_nothing_is_lost(text: str) -> None:
    def code(of: str) -> list[str]:
        return [line for line in of.splitlines() if line.partition("#")[0].strip()]

    assert code("".join(statements(text))) == code(text)


def test_whole_input() -> None:
    whole = WholeInput()
    assert whole.feed("a\n") == whole.feed("b") == []
    assert whole.end() == "a\nb"
    assert whole.end() is None
