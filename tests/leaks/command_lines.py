"""Command lines that have a kernel, or move files; each ends by itself unless it is interrupted."""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass

from ..app_servers import SERVER
from ..cli.commands import Commands
from ..cli.terminal import eventually

__all__ = ["KEPT", "LINES", "Line", "prepare", "run_until"]

KEPT = "lab1"
"""The kernel that is there for commands on a kernel, and stays."""
FOLDER = "data"
SIZE = 2_000_000
LIMIT_SECONDS = 60.0


@dataclass(frozen=True)
class Line:
    """A command line.

    Attributes:
        words: its arguments; ``{port}`` is the port of a service.
        ready: what it prints when it only waits to be ended.
        typed: what is typed at it, on a terminal; None runs it on pipes.
        local: it may also run on a gateway of its own.
    """

    words: tuple[str, ...]
    ready: str = ""
    ready_on: str = "stdout"
    typed: str | None = None
    local: bool = False


LINES = {
    "run": Line(("run", "python", "-c", "import time; print(1); time.sleep(0.1)"), local=True),
    "run with uploads": Line(("run", "python", "main.py", "big.bin"), local=True),
    "sweep": Line(
        ("run", "python", "-c", "print(1)", "--env-range", "SEED=case:1,2,3"), local=True
    ),
    "batch": Line(("batch", "python", "big.bin", "--", "wc -c big.bin"), local=True),
    "shell": Line(("shell", "python"), typed="exit\n", local=True),
    "repl": Line(("repl", "python"), typed="1\nexit()\n", local=True),
    "exec": Line(("exec", KEPT, "--", "sleep", "0.2")),
    "cp to a kernel": Line(("cp", "big.bin", f"{KEPT}:new")),
    "cp from a kernel": Line(("cp", f"{KEPT}:big.bin", "new")),
    "upload": Line(("upload", KEPT, "big.bin")),
    "download": Line(("download", KEPT, "big.bin", "--dest", "into")),
    "sync": Line(("sync", "tree", f"{KEPT}:tree")),
    "vfolder upload": Line(("vfolder", "upload", FOLDER, "big.bin")),
    "vfolder download": Line(("vfolder", "download", FOLDER, "kept.bin", "-b", "into")),
    "app": Line(("app", KEPT, "{port}", "--bind", "127.0.0.1:0"), ready="127.0.0.1:"),
    "events": Line(("events",), ready="Ctrl-C", ready_on="stderr"),
    "proxy": Line(("proxy", "--port", "0"), ready="requests to ", ready_on="stderr"),
}


def prepare(commands: Commands, env: Mapping[str, str]) -> str:
    """Make the kernel, the virtual folder and the local files that the lines need.

    Returns:
        The port of a service in the kernel.
    """
    (commands.work / "big.bin").write_bytes(bytes(range(250)) * (SIZE // 250))
    (commands.work / "kept.bin").write_bytes(b"kept" * (SIZE // 4))
    (commands.work / "main.py").write_text("print(len(open('big.bin', 'rb').read()))\n")
    (commands.work / "into").mkdir()
    tree = commands.work / "tree"
    tree.mkdir()
    for number in range(40):
        (tree / f"{number}.txt").write_text(str(number) * 1000)
    for words in (
        ("create", "python", "-t", KEPT),
        ("upload", KEPT, "big.bin"),
        ("vfolder", "create", FOLDER),
        ("vfolder", "upload", FOLDER, "kept.bin"),
    ):
        done = commands.run(*words, env=env)
        assert done.code == 0, (words, done.stderr)
    return commands.run("run", "-q", "-t", KEPT, "python", "-c", SERVER, env=env).text.strip()


def run_until(
    commands: Commands,
    line: Line,
    env: Mapping[str, str],
    port: str = "",
    signal_number: int = 0,
    after_seconds: float = 0.0,
) -> tuple[int, float, str]:
    """Run a line to its end, or until it is sent a signal.

    Args:
        commands: where it runs.
        line: the line.
        env: variables that lead to the server.
        port: of a service in the kernel; takes the place of ``{port}``.
        signal_number: the signal; 0 for none.
        after_seconds: when it is sent.

    Returns:
        The exit code, seconds from the start to the end or until it is ready, and what it wrote.
    """
    words = [word.format(port=port) for word in line.words]
    started = time.monotonic()
    opened = (commands.start if line.typed is None else commands.terminal)(*words, env=env)
    with opened as running:
        if line.typed is not None:
            running.send(line.typed)
        if signal_number:
            eventually(lambda: running.ended, after_seconds)
            if not running.ended:
                running.signal(signal_number)
        elif line.ready:
            running.expect(line.ready, on=line.ready_on)
        took = time.monotonic() - started
        if line.ready and not signal_number:
            running.signal(signal.SIGTERM)
        code = running.wait(LIMIT_SECONDS)
        if not signal_number and not line.ready:
            took = time.monotonic() - started
        return code, took, "".join(running.text(stream) for stream in running.written)
