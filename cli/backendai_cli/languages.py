"""Languages of runtimes, and the file that a runtime runs when several are given."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

__all__ = [
    "STATEFUL",
    "command_of",
    "find_program",
    "interpreter_of",
    "is_language",
    "language_of",
    "language_of_file",
    "language_of_shebang",
]

STATEFUL = frozenset({"python", "lua"})
"""Languages that keep their variables from one execution to the next, on our own gateway."""

# Names of Pygments for runtimes that are called otherwise.
_LANGUAGES = {"py": "python", "node": "javascript", "nodejs": "javascript", "r-base": "r"}
_LANGUAGES |= {"sh": "bash", "shell": "bash", "js": "javascript", "rscript": "r"}
_LANGUAGES |= {"golang": "go", "gcc": "c", "g++": "cpp"}
# Languages whose files are run without a build: the interpreter, and the suffixes of the files.
_SCRIPTS = {
    "python": ("python3", ".py"),
    "lua": ("lua", ".lua"),
    "javascript": ("node", ".js", ".mjs"),
    "bash": ("bash", ".sh"),
    "r": ("Rscript", ".R", ".r"),
    "perl": ("perl", ".pl"),
}

# Languages whose files become a program called main.
_BUILT = frozenset({"c", "cpp", "c++", "rust", "go"})
_BUILT_SUFFIXES = {
    ".c": "c", ".cpp": "cpp", ".cc": "cpp", ".cxx": "cpp", ".rs": "rust", ".go": "go",
    ".java": "java",
}  # fmt: skip
_SHEBANG_BYTES = 256


def language_of(runtime: str) -> str:
    """The language of a runtime or image: ``python`` for ``host/stable/python:3.9-ubuntu``."""
    name = runtime.strip().lower().partition("@")[0].rpartition("/")[2].partition(":")[0]
    name = re.sub(r"-?\d[\d.]*$", "", name)
    return "python" if "python" in name else _LANGUAGES.get(name, name)


def interpreter_of(runtime: str) -> str:
    """The command that runs a script in the runtime; ``""`` if it is not known."""
    return _SCRIPTS.get(language_of(runtime), ("",))[0]


def is_language(runtime: str) -> bool:
    """Whether the name is that of a language, or of a runtime whose language is known."""
    language = language_of(runtime)
    return language in _SCRIPTS or language in _BUILT or language == "java"


def language_of_file(name: str) -> str:
    """The language of a file of this name, by its suffix; ``""`` if it is not known.

    Args:
        name: path of the file, which need not exist.
    """
    suffix = PurePosixPath(name).suffix
    for language, (_, *suffixes) in _SCRIPTS.items():
        if suffix and suffix in suffixes:
            return language
    return _BUILT_SUFFIXES.get(suffix, "")


def language_of_shebang(path: Path) -> str:
    """The language of the interpreter that the first line of a file names; ``""`` if none is known.

    Args:
        path: the file.
    """
    try:
        with path.open("rb") as file:
            line = file.readline(_SHEBANG_BYTES).decode()
        words = shlex.split(line.removeprefix("#!")) if line.startswith("#!") else []
    except (OSError, ValueError):  # it cannot be read, is not UTF-8, or has an open quote
        return ""
    names = [PurePosixPath(word).name for word in words if not word.startswith("-")]
    return next((language_of(name) for name in names if is_language(name)), "")


def command_of(runtime: str, program: str) -> str:
    """The command that runs a program on a manager, for a shell.

    Args:
        runtime: runtime or image.
        program: the script; ``""`` for what the runtime builds.

    Returns:
        The command; ``""`` if it is not known.
    """
    if not program:
        return "./main" if language_of(runtime) in _BUILT else ""
    interpreter = interpreter_of(runtime)
    return f"{interpreter} {shlex.quote(_no_option(program))}" if interpreter else ""


def find_program(
    runtime: str, named: Sequence[str], folders: Mapping[str, Sequence[str]] | None = None
) -> tuple[str, list[str]]:
    """Find the script that is the program, among those that are uploaded.

    It is a script that was named, or else one that is directly in a folder: the one called
    ``main``, or the only one. A package's ``__main__.py`` is the program of its folder.

    Args:
        runtime: runtime or image.
        named: names in the work folder of the files that the user has named.
        folders: names of the files directly in each folder that the user has named.

    Returns:
        Its name, ``""`` if there is none; and the scripts of which any could be the program, if it
        is undecided.
    """
    scripts = _scripts_of(runtime, named)
    if not scripts:
        scripts = [
            name for names in (folders or {}).values() for name in _scripts_of(runtime, names)
        ]
    for stem in ("main", "__main__"):
        main = [name for name in scripts if PurePosixPath(name).stem == stem]
        if len(main) == 1:
            return main[0], []
        if main:
            return "", main
    return (scripts[0], []) if len(scripts) == 1 else ("", scripts)


def _no_option(name: str) -> str:
    """A file's name that no program takes for an option."""
    return f"./{name}" if name.startswith("-") else name


def _scripts_of(runtime: str, names: Sequence[str]) -> list[str]:
    """The files that the runtime runs without a build."""
    _, *suffixes = _SCRIPTS.get(language_of(runtime), ("",))
    return [name for name in names if suffixes and name.endswith(tuple(suffixes))]
