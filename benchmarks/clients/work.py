"""What all clients do in a kernel. Standard library only: other Pythons run it, too."""

from __future__ import annotations

import math
import resource
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

READY = b"ready>"

# In quotes that the shell takes away: the echo of the command must not look like its output.
_RAW = "stty raw -echo; printf 'rea''dy>'; "
TERMINAL_ECHO = f"{_RAW}exec cat\n".encode()
TERMINAL_SIZE = f"trap 'stty size' WINCH; {_RAW}while :; do sleep 60 & wait; done\n".encode()
ROWS, COLUMNS = 31, 97
SHOWN_SIZE = f"{ROWS} {COLUMNS}".encode()
HELLO = "print('hello world')"
GREETING = "hello world\n"
BUSY = {
    "python": "print('up', flush=True)\nwhile True: pass\n",
    "c": '#include <stdio.h>\nint main(void) { puts("up"); fflush(stdout); for (;;); }\n',
}
UP = "up\n"
FIRST_KEYS = 5
"""Those that begin a turn do not count: the other client has just had the CPU's caches."""


def terminal_output(size: int) -> bytes:
    """A command of a shell that prints so many bytes after `READY`."""
    return f"{_RAW}yes | head -c {size}\n".encode()


def execute_output(size: int) -> str:
    """Python code that prints so many bytes, a multiple of 1024."""
    pieces, rest = divmod(size, 65536)
    return (
        f"import sys\nfor _ in range({pieces}):\n    sys.stdout.write('y\\n' * 32768)\n"
        f"sys.stdout.write('y\\n' * {rest // 2})\n"
    )


def output(reply: Mapping[str, Any]) -> str:
    """What a reply has of standard output: often nothing, and of some managers not even a list."""
    return "".join(item[1] for item in reply.get("console") or () if item[0] == "stdout")


class Awaited:
    """A text that is awaited in output, whatever comes before it, and in however many pieces."""

    def __init__(self, wanted: str) -> None:
        self._wanted = wanted
        self._text = ""
        self._found = False

    def feed(self, text: str) -> bool:
        """Take the next piece; True once, when the text has come."""
        self._text += text
        if self._found or self._wanted not in self._text:
            return False
        self._found = True
        return True


def high_water() -> int:
    """The most memory that this process has had, in bytes (Linux)."""
    return memory("VmHWM")


def memory(what: str, pid: int | str = "self") -> int:
    """A figure of a process: "VmHWM" is the most memory that it has had, "VmRSS" what it has."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(what + ":"))


def raise_open_files() -> None:
    """Have as many files and connections open as the machine allows."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def percentile(values: Sequence[float], percent: float) -> float:
    """The least value that so many percent of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]
