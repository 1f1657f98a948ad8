"""The commands and the environment of a runtime's programs. No program is started here."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..processes.scripts import PYTHON_PATH
from .runtimes import Runtime, fill, rustup_home

__all__ = [
    "Steps",
    "build_argv",
    "exec_argv",
    "kernel_environment",
    "query_file",
    "query_steps",
]

_MAKEFILES = frozenset({"GNUmakefile", "Makefile", "makefile"})


class _NothingToRunError(Exception):
    """The work folder has no program that the runtime's default would execute."""

    def __str__(self) -> str:
        return f"nothing to run: {self.args[0]}"


@dataclass(frozen=True)
class Steps:
    """The commands that run a query's code: `build`, if there is one, and then `run`."""

    build: list[str] | None
    run: list[str]


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
        return Steps(None, shlex.split(fill(runtime.run, runtime, file=source)))
    out = f"./{folder}/main"
    build = shlex.split(fill(runtime.build, runtime, files=source, out=out))
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


def exec_argv(
    runtime: Runtime,
    command: str | None,
    files: Sequence[str],
    *,
    program: str = "",
    arguments: Sequence[str] = (),
) -> list[str] | None:
    """The command of a batch run's execution step, like `build_argv`.

    Args:
        runtime: the runtime.
        command: as for `build_argv`.
        files: as for `build_argv`.
        program: the file that the runtime's default executes, relative to the work folder; empty
            for its own choice. Built programs have one name, and it does not count there.
        arguments: of the program, if the runtime's default executes it.
    """
    if command != "*":
        return _shell(command)
    try:
        line = _default_exec(runtime, files, program)
    except _NothingToRunError as exc:
        return _shell(_missing(str(exc)))
    return _shell(" ".join(["exec", line, *map(shlex.quote, arguments)]))


def _default_build(runtime: Runtime, files: Sequence[str]) -> str | None:
    if runtime.makefile and _MAKEFILES.intersection(files):
        return "exec make"
    if runtime.build is None:
        return None
    if runtime.name == "go" and "go.mod" in files:
        return "exec " + fill(runtime.build, runtime, files=".", out="main")
    sources = _sources(runtime, files)
    if runtime.name == "rust" and "main.rs" in sources:
        sources = ["main.rs"]  # the others are its modules
    if not sources:
        makefile = "Makefile or " if runtime.makefile else ""
        return _missing(f"nothing to build: no {makefile}{_patterns(runtime)} in the work folder")
    return "exec " + fill(runtime.build, runtime, files=shlex.join(sources), out="main")


def _default_exec(runtime: Runtime, files: Sequence[str], program: str) -> str:
    if runtime.name == "java":
        return _default_java(runtime, files)
    if runtime.build is not None:
        if "main" in files:
            return "./main"
        raise _NothingToRunError("no ./main in the work folder")
    if program:
        name = f"./{program}" if program.startswith("-") else program
        return fill(runtime.run, runtime, file=shlex.quote(name))
    sources = _sources(runtime, files)
    main = [name for name in sources if name.startswith("main.")] or sources
    if len(main) != 1:
        found = f" (there are {', '.join(sources)})" if sources else ""
        usual = query_file(runtime)
        raise _NothingToRunError(f"no {usual}, nor a single {_patterns(runtime)}{found}")
    return fill(runtime.run, runtime, file=shlex.quote(main[0]))


def _default_java(runtime: Runtime, files: Sequence[str]) -> str:
    for name in ("Main", "main"):
        if f"{name}.class" in files:
            return fill(runtime.run, runtime, file=name)
    sources = _sources(runtime, files)
    if len(sources) == 1:
        return fill(runtime.run, runtime, file=shlex.quote(sources[0][: -len(".java")]))
    raise _NothingToRunError("no Main.class, nor a single *.java")


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
    runtime: Runtime, *, home: Path, tmp: Path, display: Path, user: Mapping[str, str]
) -> dict[str, str]:
    """The whole environment of a kernel's programs.

    From the gateway's environment, which may have keys, only PATH and the locale are used. Python
    programs are not made unbuffered: their terminal flushes each line anyway, and a program that
    prints a lot would take three times as long.

    Args:
        runtime: the kernel's runtime.
        home: HOME of the programs.
        tmp: TMPDIR of the programs.
        display: the socket that takes their pictures.
        user: variables that the user has set; they override all others.
    """
    path = os.environ.get("PATH", os.defpath)
    environment = {
        # So `python` and `pip` in a user's command belong to the Python that runs queries.
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{path}",
        **_locale(os.environ),
        "HOME": str(home),
        "TMPDIR": str(tmp),
        "USER": "work",
        "LOGNAME": "work",
        "SHELL": "/bin/sh",
        "TERM": "dumb",
    }
    if runtime.name == "rust" and (rustup := rustup_home()) is not None:
        environment["RUSTUP_HOME"] = rustup
    if runtime.language == "python":
        environment["BACKENDAI_DISPLAY"] = str(display)
        own = user.get("PYTHONPATH")
        user = {**user, "PYTHONPATH": f"{own}{os.pathsep}{PYTHON_PATH}" if own else PYTHON_PATH}
    environment.update(user)
    return environment


def _locale(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables of the locale, if its characters are UTF-8, which output is taken to be in."""
    chosen = next(filter(None, map(environ.get, ("LC_ALL", "LC_CTYPE", "LANG"))), "")
    if not re.search(r"\.utf-?8\b", chosen, re.IGNORECASE):
        return {"LANG": "C.UTF-8"}
    is_locale = re.compile(r"LANG|LANGUAGE|LC_[A-Z]+")
    return {name: value for name, value in environ.items() if is_locale.fullmatch(name)}
