"""`backend.ai shell` and `attach` on a real terminal."""

from __future__ import annotations

import fcntl
import signal
import struct
import termios
from collections.abc import Mapping

from .commands import Commands
from .terminal import Running


def ready(running: Running) -> None:
    """Wait for the remote shell, which echoes what it is told."""
    running.expect("Ctrl-] detaches")
    running.expect("work")  # the prompt; from here on the terminal is the remote shell's
    running.send("echo re''ady\r")
    running.expect("ready")


def resize(running: Running, rows: int, columns: int) -> None:
    """What a terminal's window does when its user drags a corner."""
    fcntl.ioctl(running._keyboard, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    running.signal(signal.SIGWINCH)


def test_size_interrupt_and_exit_code(commands: Commands) -> None:
    with commands.terminal("shell", "bash") as running:
        before = running.modes()
        ready(running)
        assert running.modes() != before
        resize(running, 41, 123)
        running.send("while [ \"$(stty size)\" != '41 123' ]; do :; done; echo re''sized\r")
        running.expect("resized")
        running.send("PS1='pro''mpt>'\r")
        running.expect("prompt>")
        running.send("sh -c 'echo sl''eeping; exec sleep 1000'\r")
        running.expect("sleeping")
        running.send("\x03")
        running.expect("prompt>")  # what is typed before may be lost with the interrupted line
        running.send("echo status-$?-en''d\r")
        running.expect("status-130-end")
        running.send("exit 7\r")
        assert running.wait() == 7
        assert running.modes() == before


def test_detach_and_attach(commands: Commands, served: Mapping[str, str]) -> None:
    with commands.terminal("shell", "bash", "-t", "lab1", env=served) as running:
        before = running.modes()
        ready(running)
        running.send("mine=kept; echo s''et\r")
        running.expect("set")
        running.send("\x1d")
        assert running.wait() == 0
        assert "backend.ai attach lab1" in running.text()
        assert running.modes() == before
    with commands.terminal("attach", "lab1", env=served) as running:
        running.expect("set")
        running.send("echo $mine-va''lue\r")
        running.expect("kept-value")
        running.send("exit 3\r")
        assert running.wait() == 3


def test_sigterm_restores_the_terminal(commands: Commands) -> None:
    with commands.terminal("shell", "bash") as running:
        before = running.modes()
        ready(running)
        running.signal(signal.SIGTERM)
        assert running.wait() != 0
        assert running.modes() == before


def test_error_restores_the_terminal(commands: Commands, served: Mapping[str, str]) -> None:
    """Attaching from elsewhere ends the first one."""
    with commands.terminal("shell", "bash", "-t", "lab2", env=served) as first:
        before = first.modes()
        ready(first)
        with commands.terminal("attach", "lab2", env=served) as second:
            second.expect("Ctrl-] detaches")
            assert first.wait() == 125
            assert first.modes() == before
            assert "attached from elsewhere" in first.text()
            assert "Traceback" not in first.text()
            second.send("\x1d")
            assert second.wait() == 0


def test_not_a_terminal(commands: Commands) -> None:
    for arguments in (("shell", "bash"), ("attach", "lab1")):
        assert "needs a terminal" in commands.run(*arguments, stdin=b"exit\n").problem(125)
