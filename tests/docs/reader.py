"""A reader who does what a page says: types its commands into one shell, and saves its files."""

from __future__ import annotations

import os
import re
import selectors
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from .blocks import Block

__all__ = ["Reader", "agrees", "commands_of", "open_reader"]

_CHANGING = (
    (re.compile(r"\bbt-[0-9a-f]{32}\b"), "bt-TOKEN"),
    (re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"), "UUID"),
)
"""What is another each time; a document shows some."""


_FAILURE = re.compile(r"^(✘ |\w+Error: )", re.MULTILINE)
"""What a page shows of a command that fails."""
_CELLS = Path(__file__).with_name("cells.py")


class Reader:
    """A shell in a folder.

    Attributes:
        folder: where it began.
    """

    def __init__(
        self, shell: subprocess.Popen[bytes], told: int, folder: Path, notes: Path
    ) -> None:
        self.folder = folder
        self._shell = shell
        self._told = told
        self._notes = notes
        self._count = 0
        self._cells: list[Path] = []

    def do(self, block: Block, *, seconds: float, cells: bool = False) -> None:
        """Do what a block says, and compare what it prints with what the page says.

        Args:
            block: the block.
            seconds: how long each of its commands may take.
            cells: whether the page's programs are the cells of one notebook.

        Raises:
            AssertionError: it fails, or prints something else.
        """
        if block.title:
            path = self.folder / block.title
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.body, encoding="utf-8")
        elif block.language == "console":
            for command, shown in commands_of(block.body):
                line = f"{command.rstrip()} || true\n" if _FAILURE.search(shown) else command
                out, err = self._run(block, line, seconds=seconds, merged=True)
                assert agrees(out, shown), _difference(block, command, shown, out, err)
        else:
            command = block.body
            if block.language == "python":
                program = self._notes / f"block_{block.line}.py"
                program.write_text(command, encoding="utf-8")
                command = f"python '{program}'"
                if cells:
                    self._cells.append(program)
                    command = shlex.join(["python", *map(str, (_CELLS, *self._cells))])
            out, err = self._run(block, command, seconds=seconds, merged=False)
            if block.prints is not None:
                assert agrees(out, block.prints), _difference(
                    block, command, block.prints, out, err
                )

    def _run(self, block: Block, command: str, *, seconds: float, merged: bool) -> tuple[str, str]:
        """Run a command in the shell; its output, and what it printed on standard error."""
        self._count += 1
        script, out, err = (self._notes / f"{self._count}.{name}" for name in ("sh", "out", "err"))
        script.write_text(command, encoding="utf-8")
        stderr = "&1" if merged else f"'{err}'"
        line = f". '{script}' >'{out}' 2>{stderr} </dev/null; printf 'done\\n' >&9\n"
        assert self._shell.stdin is not None
        self._shell.stdin.write(line.encode())
        self._shell.stdin.flush()
        ended = self._wait(seconds)
        texts = tuple(
            path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
            for path in (out, err)
        )
        how = f"no end within {seconds} s" if ended is None else "it failed"
        assert ended == b"done\n", (
            f"{block}: {how}:\n"
            f"{command}\n--- it printed:\n{texts[0]}\n--- and on standard error:\n{texts[1]}"
        )
        return texts

    def _wait(self, seconds: float) -> bytes | None:
        """What the shell tells: that a command is done, nothing if it has ended; None in time."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._told, selectors.EVENT_READ)
            return os.read(self._told, 100) if selector.select(seconds) else None


@contextmanager
def open_reader(folder: Path, notes: Path, environ: Mapping[str, str]) -> Iterator[Reader]:
    """A reader at a shell. All that the shell has started ends with the block.

    Args:
        folder: where the reader is.
        notes: another folder, for what is run and printed.
        environ: the shell's environment.
    """
    notes.mkdir(parents=True, exist_ok=True)
    told, tell = os.pipe()
    shell = subprocess.Popen(
        # A command that fails ends it.
        ["bash", "--norc", "--noprofile", "-c", f"exec 9>&{tell} {tell}>&-; set -eo pipefail; "
         "while IFS= read -r line; do eval \"$line\"; done"],
        stdin=subprocess.PIPE,
        cwd=folder,
        env=dict(environ),
        pass_fds=[tell],
        start_new_session=True,
    )  # fmt: skip
    os.close(tell)
    try:
        yield Reader(shell, told, folder, notes)
    finally:
        assert shell.stdin is not None
        shell.stdin.close()
        _end_session(shell)
        os.close(told)


def _end_session(shell: subprocess.Popen[bytes]) -> None:
    """End what is left of a session: asked first, so that gateways end their kernels."""
    for number, seconds in ((signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0)):
        try:
            os.killpg(shell.pid, number)
        except ProcessLookupError:
            break
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and _lives(shell):
            time.sleep(0.05)
    shell.wait(10)


def _lives(shell: subprocess.Popen[bytes]) -> bool:
    shell.poll()
    try:
        os.killpg(shell.pid, 0)
    except ProcessLookupError:
        return False
    return True


# --- what is shown --------------------------------------------------------------------------------


def commands_of(body: str) -> Sequence[tuple[str, str]]:
    """The commands of a `console` block, each with what it shows; ``> `` continues a command."""
    found: list[list[str]] = []
    for line in body.splitlines():
        if line.startswith("$ "):
            found.append([line[2:] + "\n", ""])
        elif line.startswith("> ") and found and not found[-1][1]:
            found[-1][0] += line[2:] + "\n"
        elif found:
            found[-1][1] += line + "\n"
    return [(command, shown) for command, shown in found]


def agrees(printed: str, shown: str) -> bool:
    """Whether a program printed what a page shows.

    In a page, ``…`` stands for anything within a line, and a line of ``…`` for any number of lines.
    Blanks at the ends of lines do not count, nor do session tokens and UUIDs.
    """
    pattern = ""
    for line in _plain(shown).splitlines():
        if line == "…":
            pattern += r"(?:[^\n]*\n)*?"
        else:
            pattern += r"[^\n]*?".join(map(re.escape, line.split("…"))) + r"\n"
    return re.fullmatch(pattern, _plain(printed)) is not None


def _plain(text: str) -> str:
    for changing, name in _CHANGING:
        text = changing.sub(name, text)
    lines = [line.rstrip() for line in text.strip("\n").splitlines()]
    return "".join(line + "\n" for line in lines)


def _difference(block: Block, command: str, shown: str, out: str, err: str) -> str:
    return (
        f"{block}: {command.strip()}\n--- the page shows:\n{shown}\n--- it printed:\n{out}\n"
        f"--- and on standard error:\n{err}"
    )
