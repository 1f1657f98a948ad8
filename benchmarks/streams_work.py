"""What both clients do in the benchmark of streams, and how their processes are told to.

Runs under the peer's Python as well: only the standard library, and nothing of this package.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence

READY = b"ready>"
OUTPUT_BYTES = 100 * 1024 * 1024

# In quotes that the shell takes away: the echo of the command must not look like its output.
_RAW = "stty raw -echo; printf 'rea''dy>'; "
TERMINAL_OUTPUT = f"{_RAW}yes | head -c {OUTPUT_BYTES}\n".encode()
TERMINAL_ECHO = f"{_RAW}exec cat\n".encode()
TERMINAL_SIZE = f"trap 'stty size' WINCH; {_RAW}while :; do sleep 60 & wait; done\n".encode()
ROWS, COLUMNS = 31, 97
SHOWN_SIZE = f"{ROWS} {COLUMNS}".encode()
EXECUTE_OUTPUT = (
    f"import sys\nfor _ in range({OUTPUT_BYTES // 65536}):\n    sys.stdout.write('y\\n' * 32768)\n"
)
BUSY = {
    "python": "print('up', flush=True)\nwhile True: pass\n",
    "c": '#include <stdio.h>\nint main(void) { puts("up"); fflush(stdout); for (;;); }\n',
}
SETTLE_SECONDS = 0.1
"""Between the program's first output and the interrupt: by then it is in its loop."""
START_SECONDS = 0.5
"""Before the first key: a new kernel goes on starting for a while."""

MEASURES = ("terminal", "execute", "resize", "interrupt python", "interrupt c")

# For the echoes of keys: their tail is mostly the machine's, whose bad moments last for some tens
# of milliseconds. So the clients take turns as short, each in a terminal that stays open.
ECHO, KEYS = "echo", "keys"
"""Orders: to open the terminal, and to type in it until another order comes."""
TURN_KEYS = 50
FIRST_KEYS = 5
"""Those that begin a turn do not count: the other client has just had the CPU's caches."""


Figures = Mapping[str, Sequence[float]]
"""What was measured, in seconds."""


def next_order() -> str:
    """The measure that is wanted next; empty at the end. Blocks."""
    return sys.stdin.readline().strip()


def answer(figures: Figures) -> None:
    """Report."""
    print(json.dumps(figures), flush=True)
