"""Source code at a prompt: whether it is complete, and where its statements end."""

from __future__ import annotations

import ast
import codeop
import re
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pygments.lexer import Lexer

__all__ = [
    "PROGRAMS",
    "PythonSplitter",
    "WholeInput",
    "indentation",
    "is_finished",
    "lexer_of",
]

PROGRAMS = frozenset({"c", "cpp", "c++", "java", "rust", "go"})
"""Languages whose code is a whole program; an empty line ends it."""
_INCOMPLETE: int = codeop.PyCF_ALLOW_INCOMPLETE_INPUT | codeop.PyCF_DONT_IMPLY_DEDENT  # type: ignore[attr-defined]
"""Flags of `compile` under which the beginning of a statement is no statement."""
_CLAUSES = re.compile(r"(else|elif|except|finally)\b")
_BRACKETS = {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}
# Words that open and close blocks.
_WORDS: Mapping[str, Mapping[str, int]] = {
    "lua": {"function": 1, "do": 1, "if": 1, "repeat": 1, "end": -1, "until": -1},
    "bash": {"do": 1, "if": 1, "case": 1, "done": -1, "fi": -1, "esac": -1},
}


def lexer_of(language: str) -> Lexer | None:
    """The lexer of a language; None for a language that Pygments does not know."""
    from pygments.lexers import get_lexer_by_name
    from pygments.util import ClassNotFound

    try:
        return get_lexer_by_name(language)
    except ClassNotFound:
        return None


def is_finished(language: str, text: str) -> bool:
    """Whether code is complete, or needs more lines.

    Code is complete when all brackets and blocks are closed. A block of Python, and a program in
    one of `PROGRAMS`, must also end with an empty line.
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
    """The indentation of the line after `text`."""
    last = text.rpartition("\n")[2]
    spaces = last[: len(last) - len(last.lstrip())]
    opens = last.rstrip().endswith((":", "(", "[", "{")) if language == "python" else False
    return spaces + "    " if opens else spaces


class StatementSplitter(Protocol):
    """Splits lines of source code into statements that can be run one by one."""

    def feed(self, line: str) -> list[str]:
        """Add a line with its newline; returns the statements that are complete."""

    def end(self) -> str | None:
        """End the input; returns the rest, None if there is none."""


class PythonSplitter:
    """Splits Python into statements, each as soon as it can be run.

    A compound statement ends where the next statement begins, since a block may have empty lines.
    """

    def __init__(self) -> None:
        self._pending = ""

    def feed(self, line: str) -> list[str]:
        if not line.strip() or line[0].isspace() or line.startswith("#"):
            # It ends no statement. A comment between two statements belongs to neither.
            if self._pending or line.strip().partition("#")[0]:
                self._pending += line
            return []
        complete = []
        if self._pending and not _CLAUSES.match(line) and _compiles(self._pending):
            complete.append(self._pending)
            self._pending = ""
        self._pending += line
        if _is_statement(self._pending):
            complete.append(self._pending)
            self._pending = ""
        return complete

    def end(self) -> str | None:
        statement, self._pending = self._pending, ""
        return statement or None


class WholeInput:
    """For other languages, in which the end of a statement is unknown: one statement, all input."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def feed(self, line: str) -> list[str]:
        self._lines.append(line)
        return []

    def end(self) -> str | None:
        text, self._lines = "".join(self._lines), []
        return text if text.strip() else None


def _compiles(text: str) -> bool:
    """Whether Python code is more than the beginning of a statement. Errors count as complete: the
    kernel reports them, and may have another version of Python."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return codeop.compile_command(text, "<input>", "exec") is not None
    except (SyntaxError, ValueError, OverflowError, MemoryError, RecursionError):
        return True


def _is_statement(text: str) -> bool:
    """Whether Python code is complete, and has no block at its end that could go on.

    It is parsed once where that is enough: long lines, such as lists of numbers, take seconds.
    """
    try:
        flags = _INCOMPLETE | ast.PyCF_ONLY_AST
        tree: ast.Module = compile(text, "<input>", "exec", flags, dont_inherit=True)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return _compiles(text) and not _has_block(text)
    return not _ends_in_block(tree)


def _has_block(text: str) -> bool:
    try:
        return _ends_in_block(ast.parse(text))
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return False


def _ends_in_block(tree: ast.Module) -> bool:
    body = tree.body
    return bool(body) and (hasattr(body[-1], "body") or isinstance(body[-1], ast.Match))


def _depth(text: str, lexer: Lexer, words: Mapping[str, int]) -> int:
    """How many brackets and blocks are open at the end of a text."""
    from pygments.token import Keyword, Punctuation

    depth = 0
    for kind, value in lexer.get_tokens(text):
        if kind in Keyword:
            depth += words.get(value, 0)
        elif kind in Punctuation and "case" not in words:  # bash has `a)` in it
            depth += sum(_BRACKETS.get(character, 0) for character in value)
    return depth
