"""The user's end: status lines on stderr, program output on stdout, keys from stdin."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from typing import TextIO

__all__ = [
    "Status",
    "Stdin",
    "TerminalMode",
    "check_terminal",
    "show_requests",
    "uses_color",
    "window_size",
    "write_bytes",
]

_INFO, _WAIT, _DONE, _FAIL = ("96", "∙"), ("93", "⋯"), ("92", "✔"), ("91", "✘")
_ERASE_LINE = "\x1b[2K"
_READ = 65536


class Status:
    """Lines that tell what is going on, in the form of the seed client.

    "Wait" lines show on a terminal alone, where the next line takes their place.

    Attributes:
        line_end: what ends a line; a terminal in raw mode needs a carriage return as well.
    """

    def __init__(self, *, quiet: bool = False, stream: TextIO | None = None) -> None:
        self.line_end = "\n"
        self._quiet = quiet
        self._stream = stream or sys.stderr
        self._terminal = self._stream.isatty()
        self._color = uses_color(self._stream)
        self._waiting = False

    def info(self, message: str) -> None:
        """Something worth knowing."""
        if not self._quiet:
            self._show(_INFO, message)

    def wait(self, message: str) -> None:
        """Something that may take a while has begun."""
        if not self._quiet and self._terminal:
            self._show(_WAIT, message, end="\r")
            self._waiting = True

    def done(self, message: str) -> None:
        """Something has succeeded."""
        if not self._quiet:
            self._show(_DONE, message)

    def fail(self, message: str) -> None:
        """Something has failed; shown even when quiet."""
        self._show(_FAIL, message)

    def clear(self) -> None:
        """Take a "wait" line away, before somebody else writes to the terminal."""
        if self._waiting:
            self._waiting = False
            self._write(_ERASE_LINE)

    def _show(self, sign: tuple[str, str], message: str, end: str | None = None) -> None:
        self.clear()
        color, mark = sign
        text = f"\x1b[{color}m{mark} {message}\x1b[0m" if self._color else f"{mark} {message}"
        self._write(text + (end or self.line_end))

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
        except UnicodeEncodeError:  # a terminal that is not UTF-8
            self._stream.write(text.encode("ascii", "replace").decode())
        self._stream.flush()


def show_requests() -> None:
    """Show what goes over the wire, a line a request: never its headers, query or body."""
    import logging

    handler = logging.StreamHandler()  # stderr
    handler.setFormatter(logging.Formatter("· %(message)s"))
    log = logging.getLogger("backendai_trio.http")
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)


def uses_color(stream: TextIO) -> bool:
    """Whether what is written there may have colours."""
    return stream.isatty() and not os.environ.get("NO_COLOR")


def check_terminal() -> None:
    """Refuse to go on where nobody sits at a terminal.

    Raises:
        click.UsageError: standard input or output is none.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise click.UsageError("this needs a terminal; to run something in a script, use 'run'")


def window_size() -> tuple[int, int]:
    """Rows and columns of the user's window; the usual ones where it knows none (a serial line)."""
    columns, rows = os.get_terminal_size(sys.stdout.fileno())
    return rows or 24, columns or 80


def write_bytes(stream: TextIO, data: bytes) -> None:
    """Write bytes to stdout or stderr as they are, past the text layer."""
    stream.flush()
    stream.buffer.write(data)
    stream.buffer.flush()


class Stdin:
    """Standard input, read only when somebody asks for it.

    Reading can be cancelled and leaves nothing behind: no thread stays in a read, and the terminal
    is never made non-blocking (which the parent shell would inherit).
    """

    def __init__(self, fd: int = 0) -> None:
        self._fd = fd

    @property
    def is_terminal(self) -> bool:
        """Whether a person types."""
        try:
            return os.isatty(self._fd)
        except OSError:  # closed
            return False

    async def read(self) -> bytes:
        """What is there, at least a byte; ``b""`` at the end of input."""
        import trio

        if sys.platform == "win32":
            return await trio.to_thread.run_sync(os.read, self._fd, _READ, abandon_on_cancel=True)
        try:
            # Level-triggered: after this, a read does not block.
            await trio.lowlevel.wait_readable(self._fd)
        except PermissionError:
            # A regular file: epoll refuses it, and reading it never waits long.
            await trio.lowlevel.checkpoint()
        except OSError:
            return b""  # closed
        return os.read(self._fd, _READ)


class TerminalMode:
    """What the terminal does with keys; as it was before when the block ends, however it ends."""

    def __init__(self, fd: int = 0) -> None:
        self._fd = fd
        self._before: list[Any] | None = None

    def __enter__(self) -> TerminalMode:
        if sys.platform != "win32" and Stdin(self._fd).is_terminal:
            import termios

            self._before = termios.tcgetattr(self._fd)
        return self

    def __exit__(self, *exc: object) -> None:
        self.restore()

    def hide(self) -> None:
        """Do not show what is typed."""
        if sys.platform != "win32" and self._before is not None:
            import termios

            mode = [*self._before]
            mode[3] = (mode[3] & ~termios.ECHO) | termios.ECHONL
            termios.tcsetattr(self._fd, termios.TCSADRAIN, mode)

    def raw(self) -> None:
        """Hand every key on as it is, Ctrl-C among them."""
        if sys.platform != "win32" and self._before is not None:
            import termios
            import tty

            # Not with a flush, as is usual: what was typed already is meant for the program.
            tty.setraw(self._fd, termios.TCSADRAIN)

    def restore(self) -> None:
        """As it was before."""
        if sys.platform != "win32" and self._before is not None:
            import termios

            termios.tcsetattr(self._fd, termios.TCSADRAIN, self._before)
