"""The interpreter's messages to and from the gateway (see `interpreter_main.py`)."""

from __future__ import annotations

import fcntl
import marshal
import os
import select
import termios
import time

# Start-up time counts: importing all of the interpreter takes 25 ms, 20 of which are Python's own.
# With `typing`, `socket`, `json`, `threading` and what `LazyModule` defers it took 70.
TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from typing import Any
else:
    import _signal as signal

#: How long to wait until the gateway has read the other stream; after that the order is lost.
ORDER_SECONDS = 1.0


def wait_until_read(fd: int) -> None:
    """Wait until the pipe `fd` is empty, for ORDER_SECONDS at most."""
    deadline = 0.0
    pause = 0.00005
    unread = bytearray(4)
    try:
        while fcntl.ioctl(fd, termios.FIONREAD, unread) == 0 and any(unread):
            now = time.monotonic()
            deadline = deadline or now + ORDER_SECONDS
            if now > deadline:
                return
            time.sleep(pause)
            pause = min(pause * 1.5, 0.005)
    except OSError:
        pass  # it is redirected to something other than a pipe


def take_signals(fd: int) -> bytes:
    """What Python has written to a descriptor for signals: a byte for each."""
    try:
        return os.read(fd, 4096)
    except BlockingIOError:
        return b""


class Control:
    """The interpreter's end of the socket to the gateway.

    An interrupt may raise anywhere in user code, which gets here through input(). It does not raise
    in the functions in `UNINTERRUPTED`, so that no message is lost or cut; `receive` raises later.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd
        os.set_inheritable(fd, False)
        self.received = b""
        self.open = True
        self.interrupted = False
        self.postponed: list[dict[str, Any]] = []
        self.wakeup, self.wakeup_end = os.pipe()
        for end in (self.wakeup, self.wakeup_end):
            os.set_blocking(end, False)
        # A fork has a copy of the socket, and must neither use it nor keep it open.
        os.register_at_fork(after_in_child=self.close)

    def close(self) -> None:
        if self.open:
            self.open = False
            os.close(self.fd)

    def send(self, ev: str, **numbers: int) -> None:
        fields = "".join(f', "{name}": {value:d}' for name, value in numbers.items())
        self.write(f'{{"ev": "{ev}"{fields}}}')

    def write(self, line: str) -> None:
        rest = line.encode() + b"\n" if self.open else b""
        while rest:
            rest = rest[os.write(self.fd, rest) :]

    def next(self) -> dict[str, Any] | None:
        """The next message, in the order in which they were sent."""
        return self.postponed.pop(0) if self.postponed else self.receive()

    def receive(self) -> dict[str, Any] | None:
        """The next message that arrives; None when the gateway has closed the socket."""
        while (message := self.take()) is None and self.open:
            if self.interrupted:
                self.interrupted = False
                raise KeyboardInterrupt
            if self.wait():
                self.fill()
        return message

    def wait(self) -> bool:
        """Wait until there is something to read, or a signal; returns whether there is something.

        Python runs signal handlers between its instructions, so `select` alone would miss a signal
        that comes just before it sleeps. The byte that Python writes to a descriptor wakes it up.
        """
        try:
            others = signal.set_wakeup_fd(self.wakeup_end, warn_on_full_buffer=False)
        except ValueError:  # a thread; signals go to the main one
            select.select([self.fd], [], [])
            return True
        try:
            # A handler may have run already.
            ready = [] if self.interrupted else select.select([self.fd, self.wakeup], [], [])[0]
        finally:
            signal.set_wakeup_fd(others)
        # Also what came after `select`, which the next call would take for its own.
        signals = take_signals(self.wakeup)
        if signals and others >= 0:
            os.write(others, signals)  # for an event loop of user code, which waits for it
        return self.fd in ready

    def take(self) -> dict[str, Any] | None:
        end = 4 + int.from_bytes(self.received[:4], "little")
        if len(self.received) < max(4, end):
            return None
        message: dict[str, Any] = marshal.loads(self.received[4:end])  # noqa: S302 (the gateway's)
        self.received = self.received[end:]
        return message

    def fill(self) -> None:
        data = os.read(self.fd, 1 << 16)
        if not data:
            self.close()
        # Quadratic for long messages, but even 1 MiB of source arrives in 16 parts.
        self.received += data

    UNINTERRUPTED = frozenset({write.__code__, wait.__code__, take.__code__, fill.__code__})
