"""The user's end: status lines on stderr, program output on stdout, lines from stdin."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import TextIO

__all__ = ["Lines", "Status", "hidden_input", "write_bytes"]

_INFO, _WAIT, _DONE, _FAIL = ("96", "∙"), ("93", "⋯"), ("92", "✔"), ("91", "✘")
_ERASE_LINE = "\x1b[2K"


class Status:
    """Lines that tell what is going on, in the form of the seed client.

    "Wait" lines show on a terminal alone, where the next line takes their place.
    """

    def __init__(self, *, quiet: bool = False, stream: TextIO | None = None) -> None:
        self._quiet = quiet
        self._stream = stream or sys.stderr
        self._terminal = self._stream.isatty()
        self._color = self._terminal and not os.environ.get("NO_COLOR")
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

    def _show(self, sign: tuple[str, str], message: str, end: str = "\n") -> None:
        self.clear()
        color, mark = sign
        text = f"\x1b[{color}m{mark} {message}\x1b[0m" if self._color else f"{mark} {message}"
        self._write(text + end)

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
        except UnicodeEncodeError:  # a terminal that is not UTF-8
            self._stream.write(text.encode("ascii", "replace").decode())
        self._stream.flush()


def write_bytes(stream: TextIO, data: bytes) -> None:
    """Write bytes to stdout or stderr as they are, past the text layer."""
    stream.flush()
    stream.buffer.write(data)
    stream.buffer.flush()


class Lines:
    """Lines of standard input, read only when a program asks for one.

    Reading can be cancelled and leaves nothing behind: no thread stays in a read, and the terminal
    is never made non-blocking (which the parent shell would inherit).
    """

    def __init__(self, fd: int = 0) -> None:
        self._fd = fd
        self._buffer = bytearray()
        self._ended = False

    async def next(self) -> bytes | None:
        """The next line without its newline; None at the end of input."""
        while (end := self._buffer.find(b"\n")) < 0 and not self._ended:
            data = await self._read()
            self._ended = not data
            self._buffer += data
            if self._ended and os.isatty(self._fd):
                self._ended = False  # Ctrl-D at a terminal ends one answer, not the input for good
                break
        if end >= 0:
            line = bytes(self._buffer[:end])
            del self._buffer[: end + 1]
            return line
        if not self._buffer:
            return None
        line = bytes(self._buffer)
        self._buffer.clear()
        return line

    async def _read(self) -> bytes:
        import trio

        if sys.platform != "win32":
            try:
                # Level-triggered: after this, a read does not block.
                await trio.lowlevel.wait_readable(self._fd)
            except PermissionError:
                pass  # a regular file: epoll refuses it, and reading it never waits
            except OSError:
                return b""  # closed
            return os.read(self._fd, 65536)
        return await trio.to_thread.run_sync(os.read, self._fd, 65536, abandon_on_cancel=True)


@contextmanager
def hidden_input(fd: int = 0) -> Iterator[None]:
    """Do not show what is typed, as long as the block lasts; nothing happens without a terminal."""
    if sys.platform == "win32" or not os.isatty(fd):
        yield
        return
    import termios

    before = termios.tcgetattr(fd)
    hidden = [*before]
    hidden[3] &= ~termios.ECHO
    hidden[3] |= termios.ECHONL
    termios.tcsetattr(fd, termios.TCSADRAIN, hidden)
    try:
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)
