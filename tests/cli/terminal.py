"""Programs in use: a helper that runs one, on a terminal or on pipes, and talks with it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

__all__ = ["Running", "eventually", "on_pipes", "on_terminal", "plain"]

#: Long enough for a loaded machine; nothing waits for it when all is well.
TIMEOUT_SECONDS = 30.0

# Opening a terminal makes it the controlling one of a session leader that has none: then the byte
# that Ctrl-C sends becomes a signal, as for a person.
_ADOPT = 'terminal=$1; shift; exec "$@" <>"$terminal" >&0 2>&1'


def plain(text: str) -> str:
    """What a person reads: no colours, no erased lines, no carriage returns."""
    text = re.sub(r"[^\n\r]*\r\x1b\[2K", "", text)
    return re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text).replace("\r\n", "\n")


def eventually(condition: Callable[[], bool], seconds: float = TIMEOUT_SECONDS) -> bool:
    """Whether the condition comes true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


class Running:
    """A process that was started. Made by `on_terminal` and `on_pipes`.

    Attributes:
        pid: its process id.
        written: all it has written so far, by stream. On a terminal there is only ``stdout``.
    """

    def __init__(
        self, process: subprocess.Popen[bytes], outputs: Mapping[str, int], keyboard: int
    ) -> None:
        self.pid = process.pid
        self.written = dict.fromkeys(outputs, b"")
        self._process = process
        self._open = {fd: name for name, fd in outputs.items()}
        self._keyboard = keyboard
        self._seen = dict.fromkeys(outputs, 0)

    def expect(self, text: str, *, on: str = "stdout", seconds: float = TIMEOUT_SECONDS) -> str:
        """Wait until `text` is written, after what was expected last; returns what came before."""
        wanted = text.encode()
        deadline = time.monotonic() + seconds
        while (at := self.written[on].find(wanted, self._seen[on])) < 0:
            left = deadline - time.monotonic()
            if left < 0 or not (self._read(left) or self._alive()):
                raise AssertionError(f"{text!r} did not come on {on}, but {self.written}")
        before = self.written[on][self._seen[on] : at]
        self._seen[on] = at + len(wanted)
        return before.decode("utf-8", "replace")

    def send(self, text: str) -> None:
        """Type `text`."""
        os.write(self._keyboard, text.encode())

    def echoes(self) -> bool:
        """Whether the terminal shows what is typed."""
        return bool(self.modes()[3] & termios.ECHO)

    def modes(self) -> list[int]:
        """The terminal's modes."""
        flags: list[int] = termios.tcgetattr(self._keyboard)[:4]
        return flags

    def resize(self, rows: int, columns: int) -> None:
        """Change the size of the window; the kernel tells the foreground program."""
        _set_size(self._keyboard, (rows, columns))

    @property
    def ended(self) -> bool:
        """Whether the process has ended."""
        return not self._alive()

    def signal(self, number: int) -> None:
        """Send a signal to the process, and to nothing else."""
        self._process.send_signal(number)

    def wait(self, seconds: float = TIMEOUT_SECONDS) -> int:
        """Read all it writes until it ends; its exit code, -n after signal n."""
        deadline = time.monotonic() + seconds
        while self._alive():
            left = deadline - time.monotonic()
            assert left > 0, f"it goes on; it has written {self.written}"
            self._read(min(left, 0.05))
        while self._read(0):
            pass
        return self._process.wait()

    def text(self, on: str = "stdout") -> str:
        """What it has written so far, as a person reads it."""
        return plain(self.written[on].decode("utf-8", "replace"))

    def _alive(self) -> bool:
        return self._process.poll() is None

    def _read(self, seconds: float) -> bool:
        """Take what is there; waits for the first byte. False when nothing came."""
        ready, _, _ = select.select(list(self._open), [], [], min(seconds, 0.05))
        for fd in ready:
            if data := os.read(fd, 65536):
                self.written[self._open[fd]] += data
            else:
                del self._open[fd]
        return bool(ready)


def _set_size(terminal: int, window: Sequence[int]) -> None:
    size = struct.pack("HHHH", *window, *[0] * (4 - len(window)))
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, size)


@contextlib.contextmanager
def on_terminal(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path | None = None,
    window: Sequence[int] = (),
) -> Iterator[Running]:
    """Run a program on a terminal of its own; it is killed at the end of the block if need be.

    Args:
        argv: the program and its arguments.
        env: its variables.
        cwd: its working folder.
        window: rows and columns, and width and height in pixels, which the terminal has from the
            beginning; those that are left out are 0, which programs take for unknown.
    """
    master, slave = os.openpty()
    try:
        _set_size(master, window)
        process = subprocess.Popen(
            ["/bin/sh", "-c", _ADOPT, "sh", os.ttyname(slave), *argv],
            env=dict(env),
            cwd=cwd,
            start_new_session=True,
        )
        # The slave stays open here: when the last one closes, the terminal forgets its modes.
        with _ended(process):
            yield Running(process, {"stdout": master}, master)
    finally:
        os.close(master)
        os.close(slave)


@contextlib.contextmanager
def on_pipes(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path | None = None,
    stdin: int = subprocess.DEVNULL,
) -> Iterator[Running]:
    """Run a program with pipes for its output; it is killed at the end of the block if need be."""
    process = subprocess.Popen(
        argv,
        env=dict(env),
        cwd=cwd,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    with _ended(process):
        assert process.stdout is not None and process.stderr is not None
        outputs = {"stdout": process.stdout.fileno(), "stderr": process.stderr.fileno()}
        keyboard = process.stdin.fileno() if process.stdin is not None else -1
        yield Running(process, outputs, keyboard)


@contextlib.contextmanager
def _ended(process: subprocess.Popen[bytes]) -> Iterator[None]:
    with process:
        try:
            yield
        finally:
            if process.poll() is None:
                process.kill()
