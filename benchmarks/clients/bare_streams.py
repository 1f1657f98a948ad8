"""The physical limit of streams: the same work on a terminal and a pipe of this machine."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import time

from protocol import Figures, obey_blocking
from work import FIRST_KEYS, READY, TERMINAL_ECHO, execute_output, terminal_output

CHUNK = 65536


class Streams:
    """The orders."""

    shell: subprocess.Popen[bytes] | None = None
    master = -1

    def open(self, _runtime: str = "") -> Figures:
        return {}

    def close(self) -> Figures:
        if self.shell is not None:
            os.close(self.master)
            self.shell.kill()
            self.shell.wait()
            self.shell = None
        return {}

    def terminal(self, size: int) -> Figures:
        self.start()
        start = time.perf_counter()
        got = len(self.begin(terminal_output(size)))
        while got < size:
            got += len(os.read(self.master, CHUNK))
        took = time.perf_counter() - start
        self.close()
        return {"seconds": took}

    def execute(self, size: int) -> Figures:
        """Without the start of Python, which a kernel has behind it."""
        ready = "import sys; sys.stdout.write('+'); sys.stdout.flush(); sys.stdin.read(1)\n"
        argv = [sys.executable, "-c", ready + execute_output(size)]
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdin is not None and process.stdout is not None
            output = process.stdout.fileno()
            if os.read(output, 1) != b"+":
                raise ValueError("the program has ended")
            start = time.perf_counter()
            process.stdin.close()
            got = 0
            while data := os.read(output, CHUNK):
                got += len(data)
            took = time.perf_counter() - start
        if got != size:
            raise ValueError(f"{got} bytes arrived instead of {size}")
        return {"seconds": took}

    def echo(self) -> Figures:
        self.start()
        self.begin(TERMINAL_ECHO)
        return {}

    def keys(self, count: int) -> Figures:
        taken = []
        for _ in range(FIRST_KEYS + count):
            start = time.perf_counter()
            os.write(self.master, b"x")
            got = os.read(self.master, CHUNK)
            taken.append(time.perf_counter() - start)
            if got != b"x":
                raise ValueError(f"the echo of x is {got!r}")
        return {"seconds": taken[FIRST_KEYS:]}

    def start(self) -> None:
        self.master, slave = pty.openpty()
        self.shell = subprocess.Popen(
            ["bash", "--norc"],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            close_fds=True,
        )
        os.close(slave)

    def begin(self, command: bytes) -> bytes:
        os.write(self.master, command)
        got = b""
        while READY not in got:
            got += os.read(self.master, CHUNK)
        return got.partition(READY)[2]


def main() -> None:
    streams = Streams()
    obey_blocking(
        {
            "open": streams.open,
            "close": streams.close,
            "terminal": streams.terminal,
            "execute": streams.execute,
            "echo": streams.echo,
            "keys": streams.keys,
        }
    )


if __name__ == "__main__":
    main()
