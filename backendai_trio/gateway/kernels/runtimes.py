"""The runtimes of kernels: a table, and pure functions that make commands from it.

No function here starts a program, except to find out a version.
"""

from __future__ import annotations

import difflib
import functools
import importlib.util
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ...errors import GatewayError
from ..processes.scripts import INTERPRETER

__all__ = [
    "Runtime",
    "Steps",
    "UnknownRuntimeError",
    "build_argv",
    "exec_argv",
    "installed",
    "installed_versions",
    "kernel_environment",
    "query_file",
    "query_steps",
    "resolve",
]

#: How long a `--version` command may take; a cold JVM needs about a second.
VERSION_SECONDS = 20


class UnknownRuntimeError(GatewayError):
    """The gateway does not know a runtime, does not have it, or has another version of it."""


@dataclass(frozen=True)
class Steps:
    """The commands that run a query's code: `build`, if there is one, and then `run`."""

    build: list[str] | None
    run: list[str]


@dataclass(frozen=True)
class Runtime:
    """A row of the table. Commands are for /bin/sh, and run in the work folder."""

    name: str
    aliases: tuple[str, ...]
    """Other names, in lower case. A number at the end of a name is a version (``python3``)."""
    suffixes: tuple[str, ...]
    """Suffixes of its source files, without the dot; the usual one first."""
    run: str
    """Command that runs a program; ``{file}`` is the source or the result of `build`."""
    build: str | None = None
    """Command that compiles ``{files}`` to ``{out}``."""
    programs: tuple[tuple[str, ...], ...] = ()
    """Programs that must be on PATH, one of each group; ``{0}`` and ``{1}`` in the commands."""
    version: str | None = None
    """Command that prints the version."""
    language: Literal["python", "lua"] | None = None
    """The language of `interpreter_main.py`, which keeps state between queries; None for none."""
    makefile: bool = False
    """Whether a Makefile in the work folder replaces `build`."""

    def interpreter_argv(self) -> list[str] | None:
        """The command of `open_interpreter`; None for a runtime without one."""
        if self.language is None:
            return None
        return [sys.executable, INTERPRETER, self.language, "3"]


_C = (("gcc", "cc", "clang"),)
_CPP = (("g++", "c++", "clang++"),)
_PYTHON = shlex.quote(sys.executable)
_LUA_SCRIPT = f"{_PYTHON} {shlex.quote(INTERPRETER)} lua-script"

_TABLE = (
    Runtime(
        "python", ("py", "cpython"), ("py",), run=f"{_PYTHON} {{file}}", language="python"
    ),
    Runtime("lua", (), ("lua",), run=f"{_LUA_SCRIPT} {{file}}", language="lua"),
    Runtime(
        "c", ("gcc", "clang"), ("c",), programs=_C, makefile=True, version="{0} -dumpfullversion",
        build="{0} -std=gnu11 -o {out} {files} -lm -lpthread", run="{file}",
    ),
    Runtime(
        "cpp", ("c++", "g++", "cxx"), ("cpp", "cc", "cxx"), programs=_CPP, makefile=True,
        build="{0} -o {out} {files} -lm -lpthread", run="{file}", version="{0} -dumpfullversion",
    ),
    Runtime(
        "bash", ("sh", "shell"), ("sh",), programs=(("bash",),), run="{0} {file}",
        version="{0} --version",
    ),
    Runtime(
        "node", ("nodejs", "javascript", "js"), ("js", "mjs"), programs=(("node", "nodejs"),),
        run="{0} {file}", version="{0} --version",
    ),
    Runtime(
        "java", ("jdk", "openjdk"), ("java",), programs=(("java",), ("javac",)),
        build="{1} {files}", run="{0} {file}", version="{0} -version",
    ),
    Runtime(
        "rust", ("rustc", "rs"), ("rs",), programs=(("rustc",),), build="{0} -o {out} {files}",
        run="{file}", version="{0} --version",
    ),
    Runtime(
        "r", ("r-base", "rscript"), ("R", "r"), programs=(("Rscript",),), run="{0} {file}",
        version="{0} --version",
    ),
    Runtime(
        "go", ("golang",), ("go",), programs=(("go",),), build="{0} build -o {out} {files}",
        run="{file}", version="{0} version",
    ),
    Runtime("perl", (), ("pl",), programs=(("perl",),), run="{0} {file}", version="{0} -v"),
)  # fmt: skip
_MAKEFILES = frozenset({"GNUmakefile", "Makefile", "makefile"})
_BY_NAME = {name: row for row in _TABLE for name in (row.name, *row.aliases)}


# -- names --------------------------------------------------------------------------------------


def installed() -> list[str]:
    """The names of the runtimes that this machine has."""
    return [runtime.name for runtime in _TABLE if _is_installed(runtime)]


def installed_versions() -> list[tuple[Runtime, str]]:
    """The runtimes that this machine has, and their versions ("" where it is unknown).

    Runs a ``--version`` command (once) for each: call it in a thread.
    """
    return [(runtime, _version(runtime)) for runtime in _TABLE if _is_installed(runtime)]


def resolve(name: str) -> Runtime:
    """Find a runtime by its name.

    May run a ``--version`` command (once) if the name has a version: call it in a thread.

    Args:
        name: its name or alias, with or without a version; or an image's name, such as
            ``host/project/python:3.11-ubuntu``.

    Raises:
        UnknownRuntimeError: there is no such runtime; the text lists the installed ones.
    """
    base, requested = _parse(name)
    runtime = _BY_NAME.get(base)
    here = ", ".join(installed())
    if runtime is None:
        close = difflib.get_close_matches(base, _BY_NAME, n=1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        raise UnknownRuntimeError(f"there is no runtime {name!r}{hint}; installed here: {here}")
    if not _is_installed(runtime):
        lacking = " and ".join(" or ".join(group) for group in runtime.programs) or "lupa"
        raise UnknownRuntimeError(
            f"the runtime {runtime.name!r} needs {lacking}, not found here; installed here: {here}"
        )
    if requested:
        version = _version(runtime)
        if not _agrees(requested, version):
            raise UnknownRuntimeError(
                f"{name!r} asks for {runtime.name} {requested}, but this machine has"
                f" {version or 'an unknown version'}; installed here: {here}"
            )
    return runtime


def _parse(name: str) -> tuple[str, str]:
    """Split an image's name into the runtime's name and the version ("" for any)."""
    # A colon before the last slash belongs to a port. A digest cannot be checked.
    base, _, tag = name.strip().lower().partition("@")[0].rpartition("/")[2].partition(":")
    version = tag.partition("-")[0].removeprefix("py")
    if version == "latest":
        version = ""
    if base not in _BY_NAME and (match := re.fullmatch(r"(.*?)-?(\d[\d.]*)", base)):
        base = match[1]
        # c++17 is a version of the language and not of the compiler.
        if base not in ("c", "c++", "cpp"):
            version = version or match[2]
    return base, version


def _agrees(requested: str, version: str) -> bool:
    """Whether a version is the requested one: 3.1.2 is a 3.1, and 3.11 is not."""
    return f"{version}.".startswith(f"{requested.rstrip('.')}.")


def _is_installed(runtime: Runtime) -> bool:
    if runtime.language == "lua":
        return importlib.util.find_spec("lupa") is not None
    return all(any(map(shutil.which, group)) for group in runtime.programs)


@functools.cache
def _version(runtime: Runtime) -> str:
    if runtime.language == "python":
        return platform.python_version()
    if runtime.language == "lua":
        return _lua_version()
    command = shlex.split(_fill(runtime.version or "", runtime))
    try:
        answer = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=VERSION_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    found = re.search(rb"\d+(\.\d+)*", answer.stdout)
    return found[0].decode() if found else ""


def _lua_version() -> str:
    """The version of Lua that `interpreter_main.py` uses."""
    for module, version in (("lupa.lua54", "5.4"), ("lupa.lua55", "5.5")):
        if importlib.util.find_spec(module) is not None:
            return version
    return ""


# -- commands -----------------------------------------------------------------------------------


def _fill(command: str, runtime: Runtime, **values: str) -> str:
    """Fill programs and files into a command of the table."""
    found = [next(filter(shutil.which, group), group[0]) for group in runtime.programs]
    return command.format(*found, **values)


def query_file(runtime: Runtime) -> str:
    """The name of the file with a query's code."""
    return f"main.{runtime.suffixes[0]}"


def query_steps(runtime: Runtime, folder: str) -> Steps:
    """How to run a query's code in a runtime without an interpreter.

    Args:
        runtime: the runtime.
        folder: a folder for this query, relative to the work folder (where both steps run), for
            example ``.query-1a2b``; it has the code in `query_file`.
    """
    source = f"{folder}/{query_file(runtime)}"
    # A Java class may have any name in source-file mode, which compiles in memory.
    if runtime.build is None or runtime.name == "java":
        return Steps(None, shlex.split(_fill(runtime.run, runtime, file=source)))
    out = f"./{folder}/main"
    build = shlex.split(_fill(runtime.build, runtime, files=source, out=out))
    if runtime.name in ("c", "cpp"):
        build.append("-I.")  # the user's own headers
    return Steps(build, [out])


def build_argv(runtime: Runtime, command: str | None, files: Sequence[str]) -> list[str] | None:
    """The command of a batch run's build step; None if there is no such step.

    With ``"*"`` and no source files, it is a command that reports this on standard error and exits
    with 127, as a shell does.

    Args:
        runtime: the runtime.
        command: a shell command; ``"*"`` is the runtime's default; empty or None is no step.
        files: the names of the files directly in the work folder.
    """
    return _shell(_default_build(runtime, files) if command == "*" else command)


def exec_argv(runtime: Runtime, command: str | None, files: Sequence[str]) -> list[str] | None:
    """The command of a batch run's execution step, like `build_argv`."""
    return _shell(_default_exec(runtime, files) if command == "*" else command)


def _default_build(runtime: Runtime, files: Sequence[str]) -> str | None:
    if runtime.makefile and _MAKEFILES.intersection(files):
        return "exec make"
    if runtime.build is None:
        return None
    if runtime.name == "go" and "go.mod" in files:
        return "exec " + _fill(runtime.build, runtime, files=".", out="main")
    sources = _sources(runtime, files)
    if runtime.name == "rust" and "main.rs" in sources:
        sources = ["main.rs"]  # the others are its modules
    if not sources:
        makefile = "Makefile or " if runtime.makefile else ""
        return _missing(f"nothing to build: no {makefile}{_patterns(runtime)} in the work folder")
    return "exec " + _fill(runtime.build, runtime, files=shlex.join(sources), out="main")


def _default_exec(runtime: Runtime, files: Sequence[str]) -> str:
    if runtime.name == "java":
        return _default_java(runtime, files)
    if runtime.build is not None:
        if "main" in files:
            return "exec ./main"
        return _missing("nothing to run: no ./main in the work folder")
    sources = _sources(runtime, files)
    main = [name for name in sources if name.startswith("main.")] or sources
    if len(main) != 1:
        found = f" (there are {', '.join(sources)})" if sources else ""
        usual = query_file(runtime)
        return _missing(f"nothing to run: no {usual}, nor a single {_patterns(runtime)}{found}")
    return "exec " + _fill(runtime.run, runtime, file=shlex.quote(main[0]))


def _default_java(runtime: Runtime, files: Sequence[str]) -> str:
    for name in ("Main", "main"):
        if f"{name}.class" in files:
            return "exec " + _fill(runtime.run, runtime, file=name)
    sources = _sources(runtime, files)
    if len(sources) == 1:
        return "exec " + _fill(runtime.run, runtime, file=shlex.quote(sources[0][: -len(".java")]))
    return _missing("nothing to run: no Main.class, nor a single *.java")


def _sources(runtime: Runtime, files: Sequence[str]) -> list[str]:
    ends = tuple(f".{suffix}" for suffix in runtime.suffixes)
    # A name must not look like an option.
    names = (f"./{name}" if name.startswith("-") else name for name in files)
    return sorted(name for name in names if name.endswith(ends))


def _shell(command: str | None) -> list[str] | None:
    return ["/bin/sh", "-c", command] if command else None


def _patterns(runtime: Runtime) -> str:
    return " or ".join(f"*.{suffix}" for suffix in runtime.suffixes)


def _missing(text: str) -> str:
    return f"echo {shlex.quote(text)} >&2; exit 127"


# -- environment --------------------------------------------------------------------------------


def kernel_environment(
    runtime: Runtime, *, home: Path, tmp: Path, user: Mapping[str, str]
) -> dict[str, str]:
    """The whole environment of a kernel's programs.

    From the gateway's environment, which may have keys, only PATH is used. Python programs are not
    made unbuffered: their terminal flushes each line anyway, and a program that prints a lot would
    take three times as long.

    Args:
        runtime: the kernel's runtime.
        home: HOME of the programs.
        tmp: TMPDIR of the programs.
        user: variables that the user has set; they override all others.
    """
    path = os.environ.get("PATH", os.defpath)
    environment = {
        # So `python` and `pip` in a user's command belong to the Python that runs queries.
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{path}",
        "LANG": "C.UTF-8",
        "HOME": str(home),
        "TMPDIR": str(tmp),
        "USER": "work",
        "LOGNAME": "work",
        "SHELL": "/bin/sh",
        "TERM": "dumb",
    }
    if runtime.name == "rust":
        # rustup's rustc is a proxy, which finds the compiler in the home of its installer.
        rustup = os.environ.get("RUSTUP_HOME") or str(Path("~/.rustup").expanduser())
        if Path(rustup).is_dir():
            environment["RUSTUP_HOME"] = rustup
    environment.update(user)
    return environment
