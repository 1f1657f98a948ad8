"""Programs from files on managers: their commands, and their standard input."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from backendai_cli.images import similar_names
from backendai_cli.run.manager_programs import (
    command_for_input,
    command_of_program,
    guarded_code,
    input_file,
    reads_input,
)
from backendai_cli.standard_input import Stdin
from backendai_trio import BatchOptions, Client, LocalProtocolError
from backendai_trio.files import plan_uploads
from backendai_trio.wire.query_failures import QueryFailure
from backendai_trio.wire.versions import SEED, SESSION_6

RULE = BatchOptions()
SEED_CLIENT = cast(Client, SimpleNamespace(era=SEED))


@pytest.mark.parametrize(
    ("runtime", "program", "arguments", "command"),
    [
        ("python", "ask.py", (), "python3 ask.py"),
        ("cr.backend.ai/stable/python:3.9-ubuntu", "a b.py", ("1",), "python3 'a b.py' 1"),
        ("python", "lib/ask.py", ("$x", "it's"), "python3 lib/ask.py '$x' 'it'\"'\"'s'"),
        ("python", "main.py", ("1",), "python3 main.py 1"),
        ("python", "-x.py", (), "python3 ./-x.py"),
        ("python", "main.py", (), "*"),
        ("python", "", (), "*"),
        ("c", "", (), "*"),
        ("c", "", ("1", "2"), "./main 1 2"),
        ("rust:1.70", "", ("1",), "./main 1"),
        ("lua5", "x.lua", ("1",), "lua x.lua 1"),
        ("julia", "", (), "*"),
    ],
)
def test_command_of_the_program(
    runtime: str, program: str, arguments: tuple[str, ...], command: str
) -> None:
    """A manager's kernel only runs main.py, and says nothing where there is none."""
    options = command_of_program(BatchOptions(program=program, arguments=arguments), runtime)
    build = None if program and command != "*" else "*"
    assert options == BatchOptions(build=build, exec=command)


def test_command_that_was_given_stays() -> None:
    options = command_of_program(BatchOptions(exec="python ask.py", program="x.py"), "python")
    assert options == BatchOptions(exec="python ask.py")
    options = command_of_program(BatchOptions(build="make", program="x.py"), "python")
    assert options == BatchOptions(build="make", exec="python3 x.py")


def test_arguments_where_no_command_is_known() -> None:
    with pytest.raises(LocalProtocolError, match="--exec CMD -- ARGS"):
        command_of_program(BatchOptions(arguments=("1",)), "julia")


@pytest.mark.parametrize(
    ("source", "reads"),
    [
        (b"import sys\nprint(len(sys.stdin.read()))", True),
        (b"for line in open(0): print(line)", True),
        (b'int main() { scanf("%d", &n); }', True),
        (b"print(input())", False),
        (b"print('coincidence')", False),
    ],
)
def test_source_that_speaks_of_standard_input(tmp_path: Path, source: bytes, reads: bool) -> None:
    (tmp_path / "main.py").write_bytes(source)
    assert reads_input(plan_uploads([tmp_path / "main.py"])) == reads


@pytest.mark.parametrize(
    ("runtime", "options", "program", "command"),
    [
        ("python", RULE, "main.py", "python3 main.py"),
        ("c", RULE, "", "./main"),
        ("python", BatchOptions(exec="sort | uniq"), "x.py", "sort | uniq"),
    ],
)
def test_command_that_reads_a_file(
    runtime: str, options: BatchOptions, program: str, command: str
) -> None:
    redirected = command_for_input(options, runtime, program, ".stdin-1")
    assert redirected is not None and redirected.build == options.build
    lines = (redirected.exec or "").splitlines()
    assert lines[1:] == ["{", command, "} <.stdin-1"]


def test_program_whose_command_is_unknown() -> None:
    assert command_for_input(RULE, "julia", "", ".stdin-1") is None
    assert command_for_input(RULE, "python", "", ".stdin-1") is None


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import sys; sys.exit(3)", 3),
        ("raise SystemExit", None),
        ("exit(0)", None),
        ("import sys\nsys.exit('why \\'\"')", 1),
        ("x = 'exit'", None),
    ],
)
def test_code_that_ends_the_interpreter_of_a_kernel_of_1_x(
    capsys: pytest.CaptureFixture[str], code: str, said: int | None
) -> None:
    guarded = guarded_code(code, "python3", SEED_CLIENT)
    assert guarded != code
    names: dict[str, object] = {}
    exec(compile(guarded, "<input>", "exec"), names)
    failure = QueryFailure()
    failure.see_stderr(capsys.readouterr().err)
    assert failure.exit_code() == said
    assert names.get("x") == ("exit" if code.startswith("x") else None)


def test_code_that_needs_no_guard() -> None:
    assert guarded_code("print(1)", "python3", SEED_CLIENT) == "print(1)"
    assert guarded_code("os.exit(1)", "lua5", SEED_CLIENT) == "os.exit(1)"
    modern = SimpleNamespace(era=SESSION_6)
    assert guarded_code("exit(1)", "python", modern) == "exit(1)"  # type: ignore[arg-type]


async def test_standard_input_becomes_a_file() -> None:
    reader, writer = os.pipe()
    try:
        os.write(writer, b"one\ntwo\n")
        assert Stdin(reader).has_unread and Stdin(reader).may_go_on
        os.close(writer)
        assert Stdin(reader).has_unread and not Stdin(reader).may_go_on
        async with input_file(Stdin(reader), ".stdin-1") as upload:
            assert (upload.name, upload.size) == (".stdin-1", 8)
            assert upload.path.read_bytes() == b"one\ntwo\n"
        assert not Stdin(reader).has_unread
        assert not upload.path.exists()
    finally:
        os.close(reader)


def test_what_is_no_pipe_does_not_go_on(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("input")
    for path in (tmp_path / "file", Path(os.devnull)):
        with path.open() as file:
            assert not Stdin(file.fileno()).may_go_on
    assert not Stdin(-1).may_go_on


def test_similar_images() -> None:
    rows = [
        {"name": "stable/python", "tag": "3.9-ubuntu20.04", "aliases": ["python3", "python"]},
        {"name": "stable/lua", "tag": "5.3", "aliases": None},
        {"name": None},
    ]
    assert similar_names("pyhton", rows) == ["python3"]
    assert similar_names("luaa", rows) == ["stable/lua:5.3"]
    assert similar_names("nonesuch", rows) == []
