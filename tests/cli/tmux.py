"""A person's terminal emulator: a tmux server of the test's own, typed into and looked at."""

from __future__ import annotations

import os
import secrets
import subprocess
import termios
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from .terminal import eventually

__all__ = ["PROMPT", "Tmux", "open_tmux"]

PROMPT = "local>"
"""What the shell in it begins a line with."""


class Tmux:
    """A window of 80 by 24 characters with a shell in it. Made by `open_tmux`."""

    def __init__(self, call: list[str], env: Mapping[str, str], work: Path) -> None:
        self._call = call
        self._env = dict(env)
        self._work = work
        # Without the user's settings.
        self._tmux("-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24", "/bin/sh")
        self._pid = int(self._tmux("display-message", "-p", "#{pid}"))

    def prepare(self) -> None:
        """Wait for the shell, and give it its prompt."""
        self._tmux("set-option", "-g", "status", "off")  # that line would take one of the rows
        self.resize(24, 80)
        self.enter(f"PS1='{PROMPT} '; clear")
        self.shows_prompt()

    def type(self, text: str) -> None:
        """Type characters as they are."""
        self._tmux("send-keys", "-l", "--", text)

    def press(self, *keys: str) -> None:
        """Press keys by name: ``Enter``, ``Escape``, ``C-]``."""
        self._tmux("send-keys", *keys)

    def enter(self, line: str) -> None:
        """Type a line."""
        self.type(line)
        self.press("Enter")

    def resize(self, rows: int, columns: int) -> None:
        """Drag the window's corner."""
        self._tmux("resize-window", "-x", str(columns), "-y", str(rows))

    def screen(self) -> str:
        """What the window shows now."""
        return self._tmux("capture-pane", "-p")

    def everything(self) -> str:
        """What it shows, and what has scrolled away above."""
        return self._tmux("capture-pane", "-p", "-S", "-", "-J")

    def shows(self, text: str) -> None:
        """Wait until the window shows `text`."""
        assert eventually(lambda: text in self.screen()), (text, self.everything())

    def shows_prompt(self) -> None:
        """Wait until the local shell has its prompt in the last line."""
        found = eventually(lambda: self.screen().rstrip().rpartition("\n")[2] == PROMPT)
        assert found, self.everything()

    def hides_typing(self) -> None:
        """Wait until the terminal does not show what is typed."""
        tty = os.open(self._tmux("display-message", "-p", "#{pane_tty}").strip(), os.O_NOCTTY)
        try:
            assert eventually(lambda: not termios.tcgetattr(tty)[3] & termios.ECHO)
        finally:
            os.close(tty)

    def close(self) -> None:
        """End the server and all in it."""
        self._tmux("kill-server")
        assert eventually(lambda: not Path(f"/proc/{self._pid}").exists()), self._pid

    def _tmux(self, *arguments: str) -> str:
        done = subprocess.run(
            [*self._call, *arguments], env=self._env, cwd=self._work, capture_output=True, text=True
        )
        assert done.returncode == 0, (arguments, done.stderr)
        return done.stdout


@contextmanager
def open_tmux(program: str, env: Mapping[str, str], work: Path) -> Iterator[Tmux]:
    """Start a tmux server on a socket of its own; ended with all in it at the end of the block."""
    # Not in the test's folder, whose path may be too long for a socket.
    with TemporaryDirectory(prefix="backendai-tmux-") as folder:
        call = [program, "-L", f"test-{os.getpid()}-{secrets.token_hex(4)}"]
        tmux = Tmux(call, {**env, "TMUX_TMPDIR": folder}, work)
        try:
            tmux.prepare()
            yield tmux
        finally:
            tmux.close()
