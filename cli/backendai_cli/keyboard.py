"""The user's keyboard: standard input, and the modes of its terminal."""

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
    "Stdin",
    "TerminalMode",
    "ask",
    "ask_secret",
    "check_terminal",
    "terminal_name",
    "window_size",
    "window_size_at",
]

CTRL_C = b"\x03"
"""What a terminal in raw mode sends for it."""
_READ_BYTES = 65536


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
    raise click.UsageError("this needs a terminal; to run a program in a script, use 'run'")


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


class Stdin:
    """Standard input, read only on demand.

    A read can be cancelled and leaves nothing behind: no thread stays in it, and the terminal is
    never made non-blocking, which the parent shell would inherit.
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

    @property
    def has_unread(self) -> bool:
        """Whether a pipe or a file has input that nobody has read; False if that cannot be told."""
        if sys.platform == "win32" or self.is_terminal:
            return False
        import fcntl
        import stat
        import termios

        try:
            state = os.fstat(self._fd)
            if stat.S_ISREG(state.st_mode):
                return os.lseek(self._fd, 0, os.SEEK_CUR) < state.st_size
            unread = fcntl.ioctl(self._fd, termios.FIONREAD, bytes(4))
        except OSError:  # closed, or a device such as /dev/null
            return False
        return int.from_bytes(unread, sys.byteorder) > 0

    @property
    def may_go_on(self) -> bool:
        """Whether it is a pipe that somebody may still write to; False if that cannot be told."""
        if sys.platform == "win32":
            return False
        import select
        import stat

        try:
            mode = os.fstat(self._fd).st_mode
        except OSError:  # closed
            return False
        if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
            return False
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        return not any(event & select.POLLHUP for _, event in poll.poll(0))

    async def read(self) -> bytes:
        """Wait for input; at least a byte, or ``b""`` at its end."""
        import trio

        if sys.platform == "win32":
            return await trio.to_thread.run_sync(
                os.read, self._fd, _READ_BYTES, abandon_on_cancel=True
            )
        while True:
            try:
                # Level-triggered: after this, a read does not block.
                await trio.lowlevel.wait_readable(self._fd)
            except PermissionError:
                # A regular file: epoll refuses it, and reading it never waits long.
                await trio.lowlevel.checkpoint()
            except OSError:
                return b""  # closed
            try:
                return os.read(self._fd, _READ_BYTES)
            except BlockingIOError:  # another process was faster
                continue


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
        self._set: Callable[[], None] = lambda: None
        self._handler: Any = None

    def __enter__(self) -> TerminalMode:
        if sys.platform != "win32" and Stdin(self._fd).is_terminal:
            import signal
            import termios

            self._saved = termios.tcgetattr(self._fd)
            if threading.current_thread() is threading.main_thread():
                self._handler = signal.signal(signal.SIGCONT, self._continue)
        return self

    def __exit__(self, *exc: object) -> None:
        if sys.platform != "win32" and self._handler is not None:
            import signal

            signal.signal(signal.SIGCONT, self._handler)
        self.restore()

    def hide(self) -> None:
        """Switch the echo off; the end of the line is still shown."""
        if sys.platform != "win32" and self._saved is not None:
            import termios

            self._set = self.hide
            mode = [*self._saved]
            mode[3] = (mode[3] & ~termios.ECHO) | termios.ECHONL
            termios.tcsetattr(self._fd, termios.TCSANOW, mode)

    def raw(self) -> None:
        """Pass every key on, Ctrl-C among them."""
        if sys.platform != "win32" and self._saved is not None:
            import termios
            import tty

            self._set = self.raw
            # Not with a flush, as is usual: what was typed already is input of the program.
            tty.setraw(self._fd, termios.TCSADRAIN)

    def restore(self) -> None:
        """Restore the modes from the beginning of the block."""
        if sys.platform != "win32" and self._saved is not None:
            import termios

            self._set = lambda: None
            termios.tcsetattr(self._fd, termios.TCSADRAIN, self._saved)

    def _continue(self, *_: object) -> None:
        # In the background, whoever changes the modes is stopped.
        if sys.platform != "win32" and os.tcgetpgrp(self._fd) == os.getpgrp():
            self._set()
            self.on_continue()
