"""Languages of runtimes, and the file that a runtime runs when several are given."""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["interpreter_of", "language_of", "program_of", "undecided_programs"]

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


def language_of(runtime: str) -> str:
    """The language of a runtime or image: ``python`` for ``host/stable/python:3.9-ubuntu``."""
    name = runtime.strip().lower().partition("@")[0].rpartition("/")[2].partition(":")[0]
    name = re.sub(r"-?\d[\d.]*$", "", name)
    return "python" if "python" in name else _LANGUAGES.get(name, name)


def interpreter_of(runtime: str) -> str:
    """The command that runs a script in the runtime; ``""`` if it is not known."""
    return _SCRIPTS.get(language_of(runtime), ("",))[0]


def program_of(runtime: str, names: Sequence[str]) -> str:
    """The script that is the program: the one called ``main``, or the only one.

    Args:
        runtime: runtime or image.
        names: names of the files in the work folder.

    Returns:
        Its name; ``""`` if there is none, or if it is undecided.
    """
    scripts = _scripts_of(runtime, names)
    main = [name for name in scripts if name.startswith("main.")]
    return main[0] if main else scripts[0] if len(scripts) == 1 else ""


def undecided_programs(runtime: str, names: Sequence[str]) -> list[str]:
    """Files of which any could be the program: several scripts, none of them called ``main``.

    Args:
        runtime: runtime or image.
        names: names of the files in the work folder.

    Returns:
        The names; empty if the server knows which file to run, or if it builds the files.
    """
    return [] if program_of(runtime, names) else _scripts_of(runtime, names)


def _scripts_of(runtime: str, names: Sequence[str]) -> list[str]:
    """Files of the work folder that the runtime runs without a build."""
    _, *suffixes = _SCRIPTS.get(language_of(runtime), ("",))
    return [name for name in names if "/" not in name and name.endswith(tuple(suffixes))]
