"""`backend.ai repl`: by hand on a real terminal, and from a pipe."""

from __future__ import annotations

import json
import signal
import stat
from collections.abc import Mapping
from pathlib import Path

import pytest

from .commands import Commands
from .terminal import Running, eventually

# The editor draws its line anew with each key; this it sends once, when a piece can be pasted.
BEGINS = "\x1b[?2004h"


def ready(running: Running, prompt: str = ">>>") -> None:
    """Wait until a piece can be typed."""
    running.expect(BEGINS)
    running.expect(prompt)


def give(running: Running, piece: str) -> None:
    """Type a line at the prompt."""
    ready(running)
    running.send(f"{piece}\r")


def history_of(commands: Commands) -> Path:
    return commands.home / ".local" / "state" / "backendai-trio" / "repl" / "python"


def test_a_conversation(commands: Commands) -> None:
    with commands.terminal("repl", "python") as running:
        before = running.modes()
        give(running, "6 * 7")
        running.expect("42\r\n")
        give(running, "for i in range(2):")
        running.send("print('it', i)\r\r")  # indented by itself; an empty line ends it
        running.expect("it 0\r\nit 1\r\n")
        # Pasted, a block may have empty lines, and what comes after it goes with it.
        ready(running)
        running.send("\x1b[200~def f(a):\n    b = a\n\n    return b\n\nf('past'+'ed')\x1b[201~\r")
        running.expect("'pasted'\r\n")
        # What comes after another word of output is on a line of its own.
        give(running, "print('no ne'+'wline', end='')")
        running.expect("no newline\r\n")
        ready(running)
        running.send("\x04")
        assert running.wait() == 0
        assert running.modes() == before
    kept = history_of(commands)
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert "+for i in range(2):\n+    print('it', i)\n" in kept.read_text()
    with commands.terminal("repl", "python") as running:
        ready(running)
        running.send("\x1b[A\r")  # an earlier day's
        running.expect("no newline\r\n")
        give(running, "sys.exit(7)")
        assert running.wait() == 7


def test_questions_and_interrupts(commands: Commands) -> None:
    with commands.terminal("repl", "-q", "python") as running:
        before = running.modes()
        give(running, "input('na'+'me? ')")
        running.expect("name? ")
        assert running.modes() == before
        running.send("Ann\r")
        running.expect("'Ann'\r\n")
        give(running, "import getpass; len(getpass.getpass('se'+'cret? '))")
        running.expect("secret? ")
        assert eventually(lambda: not running.echoes())
        running.send("geheim\r")
        running.expect("6\r\n")
        assert "geheim" not in running.text()
        give(running, "input('mo'+'re? ')")
        running.expect("more? ")
        running.send("\x04")
        running.expect("EOFError")
        give(running, "print('go'+'ing', flush=True); [0 for _ in iter(int, 1)]")
        running.expect("going\r\n")
        running.send("\x03")
        running.expect("KeyboardInterrupt")
        give(running, "input('wai'+'ting')")
        running.expect("waiting")
        running.send("\x03")
        running.expect("KeyboardInterrupt")
        ready(running)
        running.send("never(run\x03")
        give(running, "'st'+'ill here'")
        running.expect("still here")
        ready(running)
        running.send("\x04")
        assert running.wait() == 0
    assert "never(run" not in running.text().partition("still here")[2]
    assert "geheim" not in history_of(commands).read_text()


def test_ctrl_d_runs_unfinished_code(commands: Commands) -> None:
    with commands.terminal("repl", "-q", "python") as running:
        give(running, "for i in range(2):")
        running.send("print('it', i)\r\x04")
        running.expect("it 0\r\nit 1\r\n")
        give(running, "print((1 +")
        running.send("\x04")
        running.expect("SyntaxError")
        ready(running)
        running.send("1 +\x042\r")  # within a line it deletes, as in shells
        running.expect("3\r\n")
        ready(running)
        running.send("\x04")
        assert running.wait() == 0


@pytest.mark.parametrize("language", ["python", "bash"])
def test_the_banner_fits_a_terminal(commands: Commands, language: str) -> None:
    with commands.terminal("repl", language) as running:
        ready(running, ">>>" if language == "python" else f"{language}>")
        running.send("\x04")
        assert running.wait() == 0
    lines = running.text().splitlines()
    assert any("Ctrl-D ends it and the kernel." in line for line in lines)
    assert all(len(line) < 80 for line in lines if line.startswith("∙")), lines


def test_output_is_live(commands: Commands) -> None:
    with commands.terminal("repl", "-q", "python") as running:
        give(running, "print('fir'+'st'); input('go on? ')")
        running.expect("first\r\ngo on? ")
        running.send("\r")
        ready(running)
        running.send("\x04")
        assert running.wait() == 0


def test_the_kernel_stays(commands: Commands, served: Mapping[str, str]) -> None:
    with commands.terminal("repl", "lua", "-t", "lab1", env=served) as running:
        ready(running, "lua>")
        running.send("for i = 1, 1 do\rx = i + 1 end\r")
        ready(running, "lua>")
        running.send("\x04")
        assert running.wait() == 0
    with commands.terminal("repl", "lua", "-t", "lab1", "--rm", env=served) as running:
        ready(running, "lua>")
        running.send("x\r")
        running.expect("2\r\n")
        ready(running, "lua>")
        running.send("\x04")
        assert running.wait() == 0
    assert json.loads(commands.run("ps", "--json", env=served).stdout) == []


def test_a_kernel_that_has_gone(commands: Commands, served: Mapping[str, str]) -> None:
    with commands.terminal("repl", "python", "-t", "lab1", env=served) as running:
        before = running.modes()
        ready(running)
        assert commands.run("rm", "lab1", env=served).code == 0
        running.send("1\r")
        assert running.wait() == 126
        assert running.modes() == before
        assert "Traceback" not in running.text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_at_the_prompt(commands: Commands, number: int) -> None:
    with commands.terminal("repl", "python") as running:
        before = running.modes()
        ready(running)
        running.send("half a li")
        running.expect("half a li")
        running.signal(number)
        assert running.wait() == 128 + number
        assert running.modes() == before


def test_pieces_that_are_programs(commands: Commands) -> None:
    with commands.terminal("repl", "bash") as running:
        running.expect("variables do not")
        ready(running, "bash>")
        running.send("for i in 1 2; do\recho $i-$i; done; exit 3\r")
        running.expect("1-1\r\n2-2\r\n")
        running.expect("Exit code 3.")
        ready(running, "bash>")
        running.send("\x04")
        assert running.wait() == 0
        assert running.text().count("variables do not") == 1


@pytest.mark.parametrize(
    ("runtime", "stdin", "stdout", "code"),
    [
        ("python", b"6 * 7\nx = 1\n'a' * x", b"42\n'a'\n", 0),
        ("python", b"if 1:\n  print(1)\n\n  print(2)\nelse:\n  3\n4\n", b"1\n2\n4\n", 0),
        ("python", b"n = input()\nan answer\nn\n", b"'an answer'\n", 0),
        ("python", b"print(1)\n1/0\nprint(2)\n", b"1\n", 1),
        ("python", b"print(1)\nexit(4)\nprint(2)\n", b"1\n", 4),
        ("python", b"", b"", 0),
        ("lua", b"x = 5\nprint(x)\n", b"5\n", 0),
        ("bash", b"echo $((6 * 7))\nexit 3\n", b"42\n", 3),
    ],
)
def test_from_a_pipe(
    commands: Commands, runtime: str, stdin: bytes, stdout: bytes, code: int
) -> None:
    result = commands.run("repl", "-q", runtime, stdin=stdin)
    assert (result.code, result.stdout) == (code, stdout)
    assert ">>>" not in result.stderr and "✘" not in result.stderr


def test_no_such_runtime(commands: Commands) -> None:
    assert "'pyton'" in commands.run("repl", "-q", "pyton", stdin=b"1\n").problem(127)


def test_history_that_cannot_be_kept(commands: Commands) -> None:
    (commands.home / ".local").write_text("")
    with commands.terminal("repl", "python", "--local") as running:
        running.expect("cannot be written")
        give(running, "1 + 1")
        running.expect("2\r\n")
        ready(running)
        running.send("\x04")
        assert running.wait() == 0
