"""The user's keyboard: questions to the user, and the modes of the terminal."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

import click

__all__ = [
    "CTRL_C",
    "TerminalMode",
    "ask",
    "ask_secret",
    "check_terminal",
    "is_terminal",
    "terminal_name",
    "window_size",
    "window_size_at",
]

CTRL_C = b"\x03"
"""What a terminal in raw mode sends for it."""


def is_terminal(fd: int = 0) -> bool:
    """Whether a descriptor leads to a terminal; False if it is closed."""
    try:
        return os.isatty(fd)
    except OSError:
        return False


def check_terminal(option: str = "") -> None:
    """Refuse to go on without a terminal.

    Args:
        option: what needs it; ``""`` for the command itself.

    Raises:
        click.UsageError: standard input or output is not a terminal.
    """
    if sys.stdin.isatty() and sys.stdout.isatty():
        return
    if option:
        raise click.UsageError(f"{option} needs a terminal; programs run in a script without it")
    name = click.get_current_context().info_name
    raise click.UsageError(f"{name} needs a terminal; to run a program in a script, use 'run'")


def window_size() -> tuple[int, int]:
    """Rows and columns of the window; 24 and 80 for a terminal without size (a serial line)."""
    return window_size_at(sys.stdout.fileno())


def window_size_at(fd: int) -> tuple[int, int]:
    """Like `window_size`, of the terminal that a descriptor leads to."""
    try:
        columns, rows = os.get_terminal_size(fd)
    except OSError:  # a terminal that cannot tell, such as standard input on Windows
        columns = rows = 0
    return rows or 24, columns or 80


def terminal_name() -> str | None:
    """TERM of the user's terminal, for programs in a kernel that get the terminal, as with ssh."""
    return os.environ.get("TERM") or None


def ask(label: str) -> str:
    """Ask the user for a text, on standard error. Standard input is a terminal.

    Args:
        label: what is asked for, e.g. ``User ID``.

    Raises:
        click.UsageError: standard error leads elsewhere: nobody would see the question.
        click.Abort: the input ended.
    """
    if not sys.stderr.isatty():
        raise click.UsageError(f"{label}: nothing can be asked where standard error is redirected")
    answer: str = click.prompt(label, err=True)
    return answer


def ask_secret(label: str) -> str:
    """Ask the user for a secret. The prompt is shown when the echo is off, and not before.

    Args:
        label: what is asked for, e.g. ``Password``.

    Raises:
        click.Abort: the input ended.
    """
    with TerminalMode() as mode, _prompt_stream() as prompts:

        def show() -> None:
            prompts.write(f"{label}: ")
            prompts.flush()

        mode.hide()
        show()
        mode.on_continue = show
        while line := sys.stdin.readline():
            if answer := line.rstrip("\n"):
                return answer
            show()
        raise click.Abort


@contextmanager
def _prompt_stream() -> Iterator[TextIO]:
    """The terminal, also where standard error is redirected."""
    with ExitStack() as stack:
        stream: TextIO = sys.stderr
        with suppress(OSError):
            stream = stack.enter_context(Path("/dev/tty").open("w", encoding="utf-8"))
        yield stream


class TerminalMode:
    """The modes of the terminal; restored at the end of the block.

    A shell has modes of its own while the program is stopped (Ctrl-Z). Those of the block are set
    again when it goes on in the foreground.

    Attributes:
        on_continue: called when they have been; it may be set at any time.
    """

    def __init__(self, fd: int = 0) -> None:
        self.on_continue: Callable[[], None] = lambda: None
        self._fd = fd
        self._saved: list[Any] | None = None
        self._chosen: Callable[[], None] = self._restore
        self._is_listening = False
        self._handler: Any = None

    def __enter__(self) -> TerminalMode:
        if sys.platform != "win32" and is_terminal(self._fd):
            import signal
            import termios

            self._saved = termios.tcgetattr(self._fd)
            self._chosen = self._restore
            if threading.current_thread() is threading.main_thread():
                self._handler = signal.signal(signal.SIGCONT, self._continue)
        return self

    def __exit__(self, *exc: object) -> None:
        if sys.platform != "win32" and self._handler is not None:
            import signal

            signal.signal(signal.SIGCONT, self._handler)
            self._handler = None
        self.restore()
        self._saved = None

    def hide(self) -> None:
        """Switch the echo off; the end of the line is still shown."""
        self._choose(self._hide)

    def raw(self) -> None:
        """Pass every key on, Ctrl-C among them."""
        self._choose(self._raw)

    def restore(self) -> None:
        """Restore the modes from the beginning of the block."""
        self._choose(self._restore)

    @property
    def may_listen(self) -> bool:
        """Whether `listening` can be used: within the block, and in the foreground. In the
        background, whoever changes the modes is stopped."""
        return self._saved is not None and self._is_foreground()

    @contextmanager
    def listening(self) -> Iterator[bytes]:
        """Pass on each byte at once, and show none, during the block; Ctrl-C remains a signal,
        unless the terminal is raw. A mode that is chosen meanwhile comes into force at the end.

        Yields:
            The key that ends input in the chosen mode (Ctrl-D); ``b""`` for none.
        """
        self._is_listening = True
        self._listen()
        try:
            yield self._end_key()
        finally:
            self._is_listening = False
            self._chosen()

    def _choose(self, mode: Callable[[], None]) -> None:
        self._chosen = mode
        if not self._is_listening:
            mode()

    def _hide(self) -> None:
        if sys.platform != "win32" and self._saved is not None:
            import termios

            mode = [*self._saved]
            mode[3] = (mode[3] & ~termios.ECHO) | termios.ECHONL
            termios.tcsetattr(self._fd, termios.TCSANOW, mode)

    def _raw(self) -> None:
        if sys.platform != "win32" and self._saved is not None:
            import termios
            import tty

            # Not with a flush, as is usual: what was typed already is input of the program.
            tty.setraw(self._fd, termios.TCSADRAIN)

    def _restore(self) -> None:
        if sys.platform != "win32" and self._saved is not None:
            import termios

            termios.tcsetattr(self._fd, termios.TCSADRAIN, self._saved)

    def _listen(self) -> None:
        if sys.platform != "win32" and self._saved is not None and self._chosen != self._raw:
            import termios

            mode = [*self._saved[:6], [*self._saved[6]]]
            mode[3] &= ~(termios.ECHO | termios.ECHONL | termios.ICANON)
            mode[6][termios.VMIN], mode[6][termios.VTIME] = 1, 0
            termios.tcsetattr(self._fd, termios.TCSANOW, mode)

    def _end_key(self) -> bytes:
        if sys.platform == "win32" or self._saved is None or self._chosen == self._raw:
            return b""
        import termios

        has_lines = self._saved[3] & termios.ICANON
        key: bytes = self._saved[6][termios.VEOF] if has_lines else b""
        return key.strip(b"\0")  # which stands for no key

    def _is_foreground(self) -> bool:
        if sys.platform == "win32":
            return False
        try:
            return os.tcgetpgrp(self._fd) == os.getpgrp()
        except OSError:  # not the terminal of this session, which then stops nobody
            return True

    def _continue(self, *_: object) -> None:
        if self._is_foreground():
            if self._is_listening:
                self._listen()
            elif self._chosen != self._restore:
                self._chosen()
            self.on_continue()
