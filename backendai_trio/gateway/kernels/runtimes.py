"""The runtimes of kernels: a table, and how one is found by its name.

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
from dataclasses import dataclass
from typing import Literal

from ...errors import GatewayError
from ..processes.scripts import INTERPRETER

__all__ = [
    "Runtime",
    "UnknownRuntimeError",
    "fill",
    "installed",
    "installed_versions",
    "resolve",
    "rustup_home",
    "table_programs",
]

#: How long a `--version` command may take; a cold JVM needs about a second.
VERSION_SECONDS = 20


class UnknownRuntimeError(GatewayError):
    """The gateway does not know a runtime, does not have it, or has another version of it."""


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
_BY_NAME = {name: row for row in _TABLE for name in (row.name, *row.aliases)}


# -- names --------------------------------------------------------------------------------------


def installed() -> list[str]:
    """The names of the runtimes that this machine has."""
    return [runtime.name for runtime in _TABLE if _is_installed(runtime)]


def table_programs() -> list[str]:
    """The names of all programs that the runtimes of the table use, installed or not."""
    return [name for runtime in _TABLE for group in runtime.programs for name in group]


def rustup_home() -> str | None:
    """Where rustup keeps the compilers; None without rustup.

    Its rustc is a proxy, which finds the compiler in the home of its installer.
    """
    # A user without a home, as containers may have, or with that of another user, is no error.
    rustup = os.environ.get("RUSTUP_HOME") or os.path.expanduser("~/.rustup")  # noqa: PTH111
    return rustup if os.path.isdir(rustup) else None  # noqa: PTH112 (`Path` raises what it meets)


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
    command = shlex.split(fill(runtime.version or "", runtime))
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


def fill(command: str, runtime: Runtime, **values: str) -> str:
    """Fill programs and files into a command of the table."""
    found = [next(filter(shutil.which, group), group[0]) for group in runtime.programs]
    return command.format(*found, **values)
