"""Names of runtimes, and the commands made for the files in a work folder."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from backendai_trio.gateway.kernels import runtimes
from backendai_trio.gateway.kernels.commands import (
    build_argv,
    exec_argv,
    kernel_environment,
    query_file,
    query_steps,
)
from backendai_trio.gateway.kernels.runtimes import (
    Runtime,
    UnknownRuntimeError,
    installed,
    resolve,
)
from backendai_trio.gateway.processes.scripts import PYTHON_PATH

VERSION = platform.python_version()
MINOR = VERSION.rpartition(".")[0]


def row(name: str) -> Runtime:
    """A row of the table, installed here or not."""
    return runtimes._BY_NAME[name]


def shell(argv: list[str] | None) -> str:
    assert argv is not None
    assert argv[:2] == ["/bin/sh", "-c"]
    return argv[2]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("python", "python"),
        ("Python3", "python"),
        ("py", "python"),
        ("python:latest", "python"),
        (f"python{MINOR}", "python"),
        (f"python:{MINOR}", "python"),
        (f"python:{VERSION}", "python"),
        (f"registry.example:5000/stable/python:{MINOR}-ubuntu20.04", "python"),
        (f"registry.example/python:{MINOR}-py3@sha256:00ff", "python"),
        ("lua", "lua"),
        ("lua5", "lua"),
        ("cr.example/multiarch/lua:5-alpine", "lua"),
    ],
)
def test_names(name: str, expected: str) -> None:
    assert resolve(name).name == expected


@pytest.mark.parametrize(
    ("name", "base", "version"),
    [
        ("gcc", "gcc", ""),
        ("c", "c", ""),
        ("c++17", "c++", ""),
        ("gcc:12.2-debian", "gcc", "12.2"),
        ("nodejs:18", "nodejs", "18"),
        ("node18", "node", "18"),
        ("r-base:4.3", "r-base", "4.3"),
        ("golang", "golang", ""),
        ("lua:5.4", "lua", "5.4"),
        ("python:py311", "python", "311"),
    ],
)
def test_names_in_parts(name: str, base: str, version: str) -> None:
    assert runtimes._parse(name) == (base, version)
    assert base in runtimes._BY_NAME


@pytest.mark.parametrize(
    ("wanted", "version", "agrees"),
    [
        ("3", "3.11.7", True),
        ("3.11", "3.11.7", True),
        ("3.11.7", "3.11.7", True),
        ("3.1", "3.11.7", False),
        ("3.11.7.1", "3.11.7", False),
        ("slim", "3.11.7", False),
        ("3", "", False),
    ],
)
def test_versions_agree_by_their_beginning(wanted: str, version: str, agrees: bool) -> None:
    assert runtimes._agrees(wanted, version) is agrees


def test_unknown_runtimes_are_told_what_there_is() -> None:
    with pytest.raises(UnknownRuntimeError, match="no runtime 'cobol:85'; installed here: py"):
        resolve("cobol:85")
    with pytest.raises(UnknownRuntimeError, match=rf"asks for python 2\.7, but .* {VERSION};"):
        resolve("python:2.7")
    with pytest.raises(UnknownRuntimeError, match="no runtime ''"):
        resolve("")


def test_runtimes_that_are_not_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert installed() == ["python", "lua"]
    with pytest.raises(UnknownRuntimeError, match="'c' needs gcc or cc or clang, not found here"):
        resolve("c")


def test_a_version_is_looked_up_by_running_the_program(c_compiler: str) -> None:
    version = subprocess.run(
        [c_compiler, "-dumpfullversion"], capture_output=True, text=True, check=True
    ).stdout.strip()
    assert resolve(f"gcc:{version.partition('.')[0]}").name == "c"
    with pytest.raises(UnknownRuntimeError, match=r"asks for c 0\.1"):
        resolve("gcc:0.1")


def test_interpreters() -> None:
    argv = resolve("python").interpreter_argv()
    assert argv is not None and argv[0] == sys.executable and argv[2:] == ["python", "3"]
    assert row("c").interpreter_argv() is None


@pytest.mark.parametrize(
    ("name", "files", "expected"),
    [
        ("c", ["b.c", "a.c", "x.h"], " -std=gnu11 -o main a.c b.c -lm -lpthread"),
        ("c", ["my prog.c", "-o.c"], " -std=gnu11 -o main ./-o.c 'my prog.c' -lm -lpthread"),
        ("c", ["a.c", "Makefile"], "exec make"),
        ("cpp", ["a.cpp", "b.cc", "c.cxx"], " -o main a.cpp b.cc c.cxx -lm -lpthread"),
        ("java", ["Main.java", "A.java"], "javac A.java Main.java"),
        ("rust", ["util.rs", "main.rs"], "rustc -o main main.rs"),
        ("go", ["a.go", "b.go"], "go build -o main a.go b.go"),
        ("go", ["go.mod", "a.go"], "go build -o main ."),
    ],
)
def test_usual_builds(name: str, files: list[str], expected: str) -> None:
    assert shell(build_argv(row(name), "*", files)).endswith(expected)


@pytest.mark.parametrize(
    ("name", "files", "expected"),
    [
        ("c", ["main", "main.c"], "exec ./main"),
        ("python", ["main.py", "other.py"], f"{sys.executable} main.py"),
        ("python", ["only one.py", "data.csv"], f"{sys.executable} 'only one.py'"),
        ("lua", ["main.lua"], " lua-script main.lua"),
        ("java", ["Main.class", "Main.java", "A.java"], "java Main"),
        ("java", ["Hello.java", "Hello.class"], "java Hello"),
        ("node", ["main.mjs"], " main.mjs"),
        ("perl", ["x.pl"], "perl x.pl"),
    ],
)
def test_usual_executions(name: str, files: list[str], expected: str) -> None:
    assert shell(exec_argv(row(name), "*", files)).endswith(expected)


@pytest.mark.parametrize(
    ("name", "program", "arguments", "expected"),
    [
        ("python", "lib/a b.py", ["1", "$x"], " 'lib/a b.py' 1 '$x'"),
        ("python", "-x.py", [], " ./-x.py"),
        ("python", "", ["it's"], " main.py 'it'\"'\"'s'"),
        ("lua", "other.lua", ["1"], " other.lua 1"),
        ("c", "", ["1 2"], "exec ./main '1 2'"),
        ("c", "main.c", ["1"], "exec ./main 1"),
        ("java", "", ["1"], " Main 1"),
    ],
)
def test_programs_with_arguments(
    name: str, program: str, arguments: list[str], expected: str
) -> None:
    files = ["main.py", "main", "main.lua", "Main.class"]
    argv = exec_argv(row(name), "*", files, program=program, arguments=arguments)
    assert shell(argv).endswith(expected)
    # A command that was given has its own.
    given = exec_argv(row(name), "./run", files, program=program, arguments=arguments)
    assert given == ["/bin/sh", "-c", "./run"]


def test_own_commands_and_none() -> None:
    assert build_argv(row("c"), "make -j2 && true", []) == ["/bin/sh", "-c", "make -j2 && true"]
    assert exec_argv(row("c"), "./a.out x", []) == ["/bin/sh", "-c", "./a.out x"]
    assert build_argv(row("python"), "*", ["main.py"]) is None
    assert build_argv(row("c"), None, ["main.c"]) is None
    assert exec_argv(row("c"), "", ["main"]) is None


@pytest.mark.parametrize(
    ("name", "files", "message"),
    [
        ("python", [], "nothing to run: no main.py, nor a single *.py\n"),
        ("python", ["b.py", "a.py"], "no main.py, nor a single *.py (there are a.py, b.py)\n"),
        ("c", ["main.c"], "nothing to run: no ./main in the work folder\n"),
    ],
)
def test_nothing_to_run(name: str, files: list[str], message: str) -> None:
    argv = exec_argv(row(name), "*", files)
    assert argv is not None
    result = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (127, "")
    assert result.stderr.endswith(message)


def test_c_is_built_and_run(tmp_path: Path, c_compiler: str) -> None:
    runtime = resolve("c")
    argv = build_argv(runtime, "*", [])
    assert argv is not None
    result = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (
        127,
        "nothing to build: no Makefile or *.c in the work folder\n",
    )
    folder = tmp_path / ".query-1"
    folder.mkdir()
    (tmp_path / "own.h").write_text("#define CODE 7\n")
    (folder / query_file(runtime)).write_text('#include "own.h"\nint main(void) { return CODE; }\n')
    steps = query_steps(runtime, folder.name)
    assert steps.build is not None
    subprocess.run(steps.build, cwd=tmp_path, check=True)
    assert subprocess.run(steps.run, cwd=tmp_path, check=False).returncode == 7


def test_lua_scripts(tmp_path: Path) -> None:
    script = tmp_path / "main.lua"

    def run(source: str) -> tuple[int, str, str]:
        script.write_text(source)
        argv = exec_argv(resolve("lua"), "*", [script.name])
        assert argv is not None
        result = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)
        return result.returncode, result.stdout, result.stderr

    assert run("print(arg[0], #arg, python)") == (0, "main.lua\t0\tnil\n", "")
    assert run("io.write('x') os.exit(3)") == (3, "x", "")
    code, _, text = run("error('bad')")
    assert code == 1
    assert text.startswith("lua: main.lua:1: bad\nstack traceback:\n")


@pytest.mark.parametrize(
    ("of_the_user", "expected"),
    [
        ({}, {"LANG": "C.UTF-8"}),
        ({"LANG": "ko_KR.UTF-8"}, {"LANG": "ko_KR.UTF-8"}),
        (
            {"LANG": "en_US.utf8", "LC_TIME": "de_DE.UTF-8", "LANGUAGE": "de", "LANGUAGES": "x"},
            {"LANG": "en_US.utf8", "LC_TIME": "de_DE.UTF-8", "LANGUAGE": "de"},
        ),
        ({"LANG": "C", "LC_ALL": "de_DE.UTF-8@euro"}, {"LANG": "C", "LC_ALL": "de_DE.UTF-8@euro"}),
        # Output is UTF-8 in any case.
        ({"LANG": "de_DE.UTF-8", "LC_ALL": "C"}, {"LANG": "C.UTF-8"}),
        ({"LANG": "ko_KR.eucKR"}, {"LANG": "C.UTF-8"}),
        ({"LC_CTYPE": "POSIX", "LANG": "en_US.UTF-8"}, {"LANG": "C.UTF-8"}),
    ],
)
def test_the_locale_is_that_of_the_user(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    of_the_user: dict[str, str],
    expected: dict[str, str],
) -> None:
    for name in [name for name in os.environ if name.startswith(("LC_", "LANG"))]:
        monkeypatch.delenv(name)
    for name, value in of_the_user.items():
        monkeypatch.setenv(name, value)
    found = kernel_environment(
        row("python"), home=tmp_path, tmp=tmp_path, user={}, display=tmp_path
    )
    assert {k: v for k, v in found.items() if k.startswith(("LC_", "LANG"))} == expected


def test_the_environment_is_scrubbed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BACKEND_SECRET_KEY", "secret")
    monkeypatch.setenv("ANYTHING", "else")
    monkeypatch.setenv("RUSTUP_HOME", str(tmp_path))
    monkeypatch.setenv("LC_ALL", "C")
    given = {"LANG": "de_DE.UTF-8", "MINE": "1"}
    home, tmp = tmp_path / "home", tmp_path / "tmp"
    environment_of = partial(kernel_environment, home=home, tmp=tmp, display=tmp_path / "display")
    environment = environment_of(row("bash"), user=given)
    assert set(environment) == {
        "PATH", "LANG", "HOME", "TMPDIR", "USER", "LOGNAME", "SHELL", "TERM", "MINE",
    }  # fmt: skip
    assert environment["HOME"] == str(home)
    assert environment["LANG"] == "de_DE.UTF-8"
    assert environment["PATH"].startswith(str(Path(sys.executable).parent))
    rust = environment_of(row("rust"), user={})
    assert rust["RUSTUP_HOME"] == str(tmp_path)
    python = environment_of(row("python"), user=given)
    assert set(python) - set(environment) == {"BACKENDAI_DISPLAY", "PYTHONPATH"}
    mine = environment_of(row("python"), user={"PYTHONPATH": "/a:/b"})
    assert mine["PYTHONPATH"] == f"/a:/b:{python['PYTHONPATH']}"


def test_libraries_may_look_whether_matplotlib_is_there(tmp_path: Path) -> None:
    """It gets the backend when it is imported after that, and each time that it is loaded."""
    (tmp_path / "matplotlib.py").write_text("rcParams = {'backend': None}")
    code = (
        "import importlib.util as util, importlib, sys\n"
        "print(util.find_spec('matplotlib').name, 'matplotlib' in sys.modules)\n"
        "import matplotlib; print(matplotlib.rcParams['backend'])\n"
        "importlib.reload(matplotlib); print(matplotlib.rcParams['backend'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": f"{PYTHON_PATH}:{tmp_path}"},
        capture_output=True,
        text=True,
        check=True,
    )
    backend = "module://backendai_matplotlib\n"
    assert done.stdout == f"matplotlib False\n{backend}{backend}"


def test_what_distributions_run_at_the_start_of_python_is_run(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("print(__name__, __file__)")
    (tmp_path / "matplotlib.py").write_text("rcParams = {'backend': None}")
    code = (
        "import sys, sitecustomize, matplotlib; print(sitecustomize.__file__, matplotlib.rcParams)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": f"{PYTHON_PATH}:{tmp_path}"},
        capture_output=True,
        text=True,
        check=True,
    )
    path = str(tmp_path / "sitecustomize.py")
    backend = {"backend": "module://backendai_matplotlib"}
    assert done.stdout == f"sitecustomize {path}\n{path} {backend}\n"
    assert done.stderr == ""
