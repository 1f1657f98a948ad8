"""Output for the user: status lines on standard error, bytes of programs on standard output."""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING, ClassVar
from weakref import WeakSet

if TYPE_CHECKING:
    from typing import TextIO

    from rich.console import Console

__all__ = [
    "Status",
    "count",
    "is_dumb_terminal",
    "moves_cursor",
    "printable",
    "requests_are_shown",
    "rich_console",
    "show_requests",
    "show_warnings",
    "uses_color",
    "write_bytes",
]

# Color and mark of each kind of line.
_INFO, _WAIT, _DONE = ("96", "∙"), ("93", "⋯"), ("92", "✔")
_WARN, _FAIL = ("93", "!"), ("91", "✘")
_ERASE_LINE = "\x1b[2K"
# What a terminal obeys, except ends of lines and tabs: messages have names of files and texts of
# servers in them. Also what reverses the direction of text.
_COMMANDS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_HTTP_LOG = "backendai_trio.http"


class Status:
    """Status lines, in the form of the official client 1.1.1.

    "Wait" lines are shown only on a terminal, where the next line replaces them.

    Attributes:
        line_end: what ends a line; a terminal in raw mode needs a carriage return as well.
    """

    # Where a "wait" line is shown. It is on the terminal's line, whichever object wrote it.
    _waiting: ClassVar[WeakSet[TextIO]] = WeakSet()

    def __init__(self, *, quiet: bool = False, stream: TextIO | None = None) -> None:
        """
        Args:
            quiet: show results, warnings and failures only.
            stream: where to write; standard error by default.
        """
        self.line_end = "\n"
        self._quiet = quiet
        self._stream = stream or sys.stderr
        self._erases = moves_cursor(self._stream)
        self._color = uses_color(self._stream)

    def info(self, message: str) -> None:
        """Show a piece of information."""
        if not self._quiet:
            self._show(_INFO, message)

    def wait(self, message: str) -> None:
        """Show what has begun and may take a while."""
        if not self._quiet and self._erases:
            self._show(_WAIT, message, end="\r")
            self._waiting.add(self._stream)

    def done(self, message: str) -> None:
        """Show what has succeeded."""
        if not self._quiet:
            self._show(_DONE, message)

    def result(self, message: str) -> None:
        """Show where a result is. Shown even when quiet."""
        self._show(_INFO, message)

    def warn(self, message: str) -> None:
        """Show a warning: the command goes on. Shown even when quiet."""
        self._show(_WARN, message)

    def fail(self, message: str) -> None:
        """Show what has failed. Shown even when quiet."""
        self._show(_FAIL, message)

    def clear(self) -> None:
        """Erase a "wait" line, before something else is written to the terminal."""
        if self._stream in self._waiting:
            self._waiting.discard(self._stream)
            self._write(_ERASE_LINE)

    def begin_line(self) -> None:
        """Begin a new line of the terminal, after what was written within one: the ``^C`` that it
        shows for Ctrl-C, or a prompt. A "wait" line is erased instead."""
        if not self._stream.isatty():
            return
        if self._stream in self._waiting:
            self._waiting.discard(self._stream)
            self._write(f"\r{_ERASE_LINE}")
        else:
            self._write(self.line_end)

    def ended(self, message: str) -> None:
        """Show on a terminal that the command has been ended by a signal, even when quiet."""
        if self._stream.isatty():
            self._show(_INFO, message)

    def _show(self, kind: tuple[str, str], message: str, end: str | None = None) -> None:
        self.clear()
        color, mark = kind
        message = _COMMANDS.sub("?", message)
        text = f"\x1b[{color}m{mark} {message}\x1b[0m" if self._color else f"{mark} {message}"
        self._write(text + (end or self.line_end))

    def _write(self, text: str) -> None:
        try:
            try:
                self._stream.write(text)
            except UnicodeEncodeError:  # a terminal that is not UTF-8
                self._stream.write(text.encode("ascii", "replace").decode())
            self._stream.flush()
        except OSError:
            pass  # a full disk, or a reader that has gone: the command itself can go on


def uses_color(stream: TextIO) -> bool:
    """Whether text written there has colors. NO_COLOR counts before FORCE_COLOR, as in Python."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return os.environ["FORCE_COLOR"] != "0"
    return stream.isatty() and not is_dumb_terminal()


def moves_cursor(stream: TextIO) -> bool:
    """Whether lines written there can be erased. With NO_COLOR the output is plain text."""
    return stream.isatty() and not is_dumb_terminal() and not os.environ.get("NO_COLOR")


def is_dumb_terminal() -> bool:
    """Whether the terminal knows no escape sequences, according to TERM."""
    return sys.platform != "win32" and os.environ.get("TERM", "") in ("", "dumb", "unknown")


def rich_console(stream: TextIO) -> Console:
    """A console of Rich that obeys the same rules as `uses_color`."""
    from rich.console import Console

    system = None
    if uses_color(stream):
        system = "auto" if stream.isatty() and not is_dumb_terminal() else "standard"
    return Console(
        file=stream,
        force_terminal=stream.isatty(),
        color_system=system,  # type: ignore[arg-type]
        highlight=False,
    )


def show_requests() -> None:
    """Log a line for each request to standard error: no headers, no query, no body."""
    import logging

    handler = logging.StreamHandler()  # standard error
    handler.setFormatter(logging.Formatter("· %(message)s"))
    log = logging.getLogger(_HTTP_LOG)
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)


def show_warnings() -> None:
    """Show what the library warns of, such as a server that takes no more requests for now."""
    import logging

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            Status().warn(record.getMessage())

    log = logging.getLogger(_HTTP_LOG)
    if not log.handlers:
        log.addHandler(Handler(logging.WARNING))


def requests_are_shown() -> bool:
    """Whether `show_requests` was called."""
    import logging

    return logging.getLogger(_HTTP_LOG).isEnabledFor(logging.DEBUG)


def write_bytes(stream: TextIO, data: bytes) -> None:
    """Write bytes to standard output or error unchanged, past the text layer."""
    stream.flush()
    stream.buffer.write(data)
    stream.buffer.flush()


def count(number: int, noun: str) -> str:
    """A number and its noun: ``1 file``, ``2,000 files``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def printable(text: str) -> str:
    """A text of a server without what the terminal would take for commands."""
    return "".join(c if c.isprintable() else "?" for c in text)
