"""Failures of query runs, known by what the kernel prints.

Managers up to 25.x say of every query run that its exit code is 0, or nothing (docs/protocol.md,
section 4.2). What is left is the traceback that the Python kernels print at its end.
"""

from __future__ import annotations

import re
from collections import deque

__all__ = ["INTERRUPTED", "QueryFailure", "is_traceback", "without_colors"]

INTERRUPTED = 130
"""The exit code of a shell for what Ctrl-C has ended."""
_FAILED = 1
_TAIL = 65_536
"""Characters of standard error that are looked at."""

_COLOR = re.compile(r"\x1b\[[0-9;]*m")
# IPython's: a ruler, then the name of the exception and the head of the traceback.
_TRACEBACK = re.compile(r"^-{20,}\n(\S+) +Traceback \(most recent call last\)", re.M)
_EXIT = re.compile(r"^An exception has occurred, use %tb .*\n\nSystemExit(?:: (.*))?$", re.M)
_SYNTAX = re.compile(
    r"^ +(?:Cell In ?\[|File \"<ipython-input|File <tokenize).*\n(?:.*\n){0,9}?"
    r"(?:Syntax|Indentation|Tab|_IncompleteInput)Error: ",  # the last one since Python 3.13
    re.M,
)
# Kernels of 1.x print what `traceback.print_exception` does.
_PLAIN_HEAD = "Traceback (most recent call last):\n"
_PLAIN_END = re.compile(r"^([A-Za-z_][\w.]*)(?:: .*)?$")


class QueryFailure:
    """How a query run failed, by its output.

    Args:
        told: whether the server tells exit codes of such runs (`Hello.tells_query_codes`). Then the
            output only says whether it was an interrupt that ended the run.
    """

    def __init__(self, *, told: bool = False) -> None:
        self._told = told
        self._parts: deque[str] = deque()
        self._size = 0
        self._goes_on = False

    def see_stderr(self, text: str) -> None:
        """Take note of output on standard error, in its order with `see_stdout`.

        Args:
            text: the next piece.
        """
        self._goes_on = False
        self._parts.append(text)
        self._size += len(text)
        while self._size - len(self._parts[0]) > _TAIL:
            self._size -= len(self._parts.popleft())

    def see_stdout(self) -> None:
        """Take note of other output: what prints it has not failed before."""
        self._goes_on = True

    def exit_code_of(self, code: int | None) -> int | None:
        """The exit code that the program would have had by itself, now that its run has ended.

        Args:
            code: the server's.
        """
        if self._told or code:
            interrupted = code == _FAILED and self.exit_code() == INTERRUPTED
            return INTERRUPTED if interrupted else code
        return self.exit_code() or code

    def exit_code(self) -> int | None:
        """The exit code that the output speaks for; None if nothing speaks for a failure."""
        tail = without_colors("".join(self._parts)).replace("\r\n", "\n")
        if match := _EXIT.search(tail):
            return _code_of(match[1])
        if match := _TRACEBACK.search(tail):
            return _code_of_exception(match[1])
        if _SYNTAX.search(tail):
            return _FAILED
        at = tail.rfind(_PLAIN_HEAD)
        # Programs print tracebacks of this form, too, and go on.
        if self._goes_on or at < 0 or (at > 0 and tail[at - 1] != "\n"):
            return None
        match = _PLAIN_END.match(tail[at:].rstrip("\n").rpartition("\n")[2])
        return _code_of_exception(match[1]) if match else None


def is_traceback(text: str) -> bool:
    """Whether a piece of standard error has what the kernels print of code that failed.

    That is IPython's traceback, or its remark on `sys.exit()`.

    Args:
        text: as the kernel sent it, with its colors.
    """
    plain = without_colors(text)
    return any(pattern.search(plain) for pattern in (_TRACEBACK, _EXIT, _SYNTAX))


def without_colors(text: str) -> str:
    """A text without the escape sequences that color it.

    Args:
        text: as a terminal would get it.
    """
    return _COLOR.sub("", text)


def _code_of_exception(name: str) -> int:
    return INTERRUPTED if name == "KeyboardInterrupt" else _FAILED


def _code_of(value: str | None) -> int:
    """The exit code of `sys.exit(value)`."""
    if value is None or value == "None":
        return 0
    try:
        return int(value) & 0xFF
    except ValueError:
        return {"True": 1, "False": 0}.get(value, _FAILED)
