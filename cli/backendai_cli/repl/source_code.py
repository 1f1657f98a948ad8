"""Source text as one gives it to a prompt: which language it is, and where a piece of it ends."""

from __future__ import annotations

import ast
import re
import warnings
from codeop import compile_command
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pygments.lexer import Lexer

__all__ = [
    "PROGRAMS",
    "PythonPieces",
    "WholeText",
    "indentation",
    "is_finished",
    "language_of",
    "lexer_of",
]

# As Pygments calls them, where runtimes have other names.
_LANGUAGES = {"py": "python", "node": "javascript", "nodejs": "javascript", "r-base": "r"}
_LANGUAGES |= {"sh": "bash", "rscript": "r", "golang": "go", "gcc": "c", "g++": "cpp"}
PROGRAMS = frozenset({"c", "cpp", "c++", "java", "rust", "go"})
"""Languages in which a line alone means nothing: pieces are programs, ended by an empty line."""
_CLAUSES = re.compile(r"(else|elif|except|finally)\b")
_BRACKETS = {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}
#: What opens and closes in languages that do so with words.
_WORDS: Mapping[str, Mapping[str, int]] = {
    "lua": {"function": 1, "do": 1, "if": 1, "repeat": 1, "end": -1, "until": -1},
    "bash": {"do": 1, "if": 1, "case": 1, "done": -1, "fi": -1, "esac": -1},
}


def language_of(runtime: str) -> str:
    """The language of a runtime or image: ``python`` of ``host/stable/python:3.9-ubuntu``."""
    name = runtime.strip().lower().partition("@")[0].rpartition("/")[2].partition(":")[0]
    name = re.sub(r"-?\d[\d.]*$", "", name)
    return "python" if "python" in name else _LANGUAGES.get(name, name)


def lexer_of(language: str) -> Lexer | None:
    """What takes text of the language apart; None for one that is not known."""
    from pygments.lexers import get_lexer_by_name
    from pygments.util import ClassNotFound

    try:
        return get_lexer_by_name(language)
    except ClassNotFound:
        return None


def is_finished(language: str, text: str) -> bool:
    """Whether a piece of code is whole, or more lines are to come.

    Elsewhere than in Python, it is whole when all that was opened is closed. In Python blocks, and
    in the `PROGRAMS`, an empty line has to follow.
    """
    if not text.strip():
        return True
    if text.endswith("\\"):
        return False
    last = text.rpartition("\n")[2]
    if language in PROGRAMS and last.strip():
        return False
    if language == "python":
        return _compiles(text) and not (last.strip() and last[0].isspace())
    lexer = lexer_of(language)
    return lexer is None or _depth(text, lexer, _WORDS.get(language, {})) <= 0


def indentation(language: str, text: str) -> str:
    """What the line after `text` begins with."""
    last = text.rpartition("\n")[2]
    spaces = last[: len(last) - len(last.lstrip())]
    opens = last.rstrip().endswith((":", "(", "[", "{")) if language == "python" else False
    return spaces + "    " if opens else spaces


class Pieces(Protocol):
    """Cuts lines into pieces of code."""

    def feed(self, line: str) -> list[str]:
        """Take a line, with its newline; returns the pieces that have ended."""

    def end(self) -> str | None:
        """No more lines come; returns what is left."""


class PythonPieces:
    """Python, a statement a piece, as soon as it can be run.

    One with a block under it ends where the next begins: lines may be empty in a script's blocks.
    """

    def __init__(self) -> None:
        self._held = ""

    def feed(self, line: str) -> list[str]:
        if not line.strip() or line[0].isspace() or line.startswith("#"):
            # It ends nothing. A comment between two statements belongs to neither.
            if self._held or line.strip().partition("#")[0]:
                self._held += line
            return []
        ended = []
        if self._held and not _CLAUSES.match(line) and _compiles(self._held):
            ended.append(self._held)
            self._held = ""
        self._held += line
        if _compiles(self._held) and not _has_block(self._held):
            ended.append(self._held)
            self._held = ""
        return ended

    def end(self) -> str | None:
        piece, self._held = self._held, ""
        return piece or None


class WholeText:
    """Any other language: all there is, since nothing says where a statement ends."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def feed(self, line: str) -> list[str]:
        self._lines.append(line)
        return []

    def end(self) -> str | None:
        text, self._lines = "".join(self._lines), []
        return text if text.strip() else None


def _compiles(text: str) -> bool:
    """Whether Python text is no mere beginning; what is wrong in itself is for the kernel to say,
    which may have another Python."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return compile_command(text, "<input>", "exec") is not None
    except (SyntaxError, ValueError, OverflowError, MemoryError, RecursionError):
        return True


def _has_block(text: str) -> bool:
    try:
        body = ast.parse(text).body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return False
    return bool(body) and (hasattr(body[-1], "body") or isinstance(body[-1], ast.Match))


def _depth(text: str, lexer: Lexer, words: Mapping[str, int]) -> int:
    """How many brackets and words are open at the end of a text."""
    from pygments.token import Keyword, Punctuation

    depth = 0
    for kind, value in lexer.get_tokens(text):
        if kind in Keyword:
            depth += words.get(value, 0)
        elif kind in Punctuation and "case" not in words:  # bash has `a)` in it
            depth += sum(_BRACKETS.get(character, 0) for character in value)
    return depth
