"""Many lines of sys.stdout in one write, for the Python interpreter (see `python_stdio.py`)."""

from __future__ import annotations

import _thread
import fcntl
import io
import os
import sys
import termios
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Callable
    from typing import Any

    from .interpreter_control import ORDER_SECONDS
    from .ordered_output import OrderedOutput
else:
    import _signal as signal

    from interpreter_control import ORDER_SECONDS

LINES = 1000
"""Lines of a run that are written one by one, before a block is begun."""
FLUSH_SECONDS = 0.05
"""How long a line may stay in a block. It stays longer while C code holds the GIL."""
BLOCK_BYTES = 32 * 1024
PENDING_BYTES, USUAL_PENDING_BYTES = 1024, 8192
"""What sys.stdout itself holds back, in a block without threads and otherwise. An interrupt of a
write may lose it, as in any Python."""
FORKS = frozenset({"os.fork", "os.forkpty"})
PROCESSES = FORKS | {
    "os.exec",
    "os.kill",
    "os.killpg",
    "os.posix_spawn",
    "os.system",
    "signal.pthread_kill",
    "subprocess.Popen",
}
"""Audit events after which another program may write, or this one may end."""
THREADS = frozenset({"_thread.start_joinable_thread", "_thread.start_new_thread"})


class Blocks:
    """Gathers the lines of sys.stdout in blocks while nothing else writes.

    A write of its own for each line takes most of the time of a program that only prints. Lines are
    gathered in a run whose client writes to a pipe or a file, after its first `LINES`. A thread
    writes them every `FLUSH_SECONDS`; a flush writes them at once. Before anything whose output or
    signal has its order among the lines (a write to sys.stderr, a child process), they are written,
    and the next `LINES` are written one by one again. There are no blocks while there are children
    or signal handlers (a print in a handler fails if the signal has interrupted a write of the
    block, as in any Python), and none after the program has taken ``sys.stdout.buffer``.

    Threads may print meanwhile: text is put into the block by C code that holds the GIL, with the
    lock of `io.BufferedWriter`. Where there are threads, it is put there line by line, which takes
    nearly twice the time: lines stay whole, and before Python 3.12.4 `io.TextIOWrapper` holds back
    more than a line for one thread only. `lock` is for the beginning, the flushes and the end of
    blocks.
    A KeyboardInterrupt may come anywhere here: then the next call completes what it has cut.
    """

    def __init__(self, out: io.TextIOWrapper, raw: OrderedOutput, err: io.TextIOWrapper) -> None:
        self.out = out
        self.raw = raw
        self.err = err
        self.block: io.BufferedWriter | None = None
        self.lock = _thread.RLock()
        self.wakeup = _thread.allocate_lock()
        self.wakeup.acquire()
        self.active = False
        self.forbidden = False
        self.lines_left = LINES
        self.has_thread = False
        self.thread_id = 0
        os.register_at_fork(after_in_child=self.leave_to_parent)

    def allow(self, piped: bool) -> None:
        """Set for a run whether lines may be gathered."""
        self.end()
        self.lines_left = LINES
        gathers = piped and not self.forbidden
        self.raw.flush_other = self.count_line if gathers else self.err.flush

    def forbid(self) -> None:
        """Write all lines one by one from now on."""
        self.end()
        self.forbidden = True
        self.raw.flush_other = self.err.flush

    def leave_to_parent(self) -> None:
        """In a fork: what was gathered is the parent's to write."""
        self.lock = _thread.RLock()
        self.active = self.has_thread = False
        self.parents_block, self.block = self.block, None  # its end would write it
        self.raw.__dict__.pop("write", None)
        self.forbid()

    def count_line(self) -> None:
        """Called before a line is written by itself: begin a block if there were enough."""
        if self.active:
            self.end()  # another thread is about to, or an interrupt has cut it
        self.flush()  # a thread may have been about to put a line there when it ended
        self.lines_left -= 1
        if self.lines_left <= 0:
            self.lines_left = LINES
            self.begin()
        self.err.flush()

    def begin(self) -> None:
        """Gather lines, unless something else may write as well."""
        if has_children() or has_handlers():
            return
        if self.block is None:
            self.block = io.BufferedWriter(io.FileIO(1, "w", closefd=False), BLOCK_BYTES)
            sys.addaudithook(self.audit)
            os._exit = self.ending(os._exit)
            os.abort = self.ending(os.abort)
            if sys.version_info < (3, 12):  # no audit event tells of threads
                starting = self.ending(_thread.start_new_thread)
                _thread.start_new_thread = starting
                if "threading" in sys.modules:  # it has a copy
                    sys.modules["threading"]._start_new_thread = starting  # type: ignore[attr-defined]
        with self.lock:
            is_alone = count_threads() <= 1 + self.has_thread
            if not self.has_thread:
                try:
                    start_thread(self.flush_regularly, ())
                except RuntimeError:
                    return  # the kernel may have no more threads
                self.has_thread = True
            # Also a part of a line of standard error comes before the next line.
            self.err.reconfigure(write_through=True)
            self.active = True
            self.raw.write = self.block.write  # type: ignore[method-assign]
            if is_alone:
                self.out._CHUNK_SIZE = PENDING_BYTES  # type: ignore[attr-defined]
                self.out.reconfigure(line_buffering=False)

    def end(self) -> None:
        """Write what was gathered; the next lines are written one by one."""
        # The thread may wait for a print that a signal handler has interrupted, which calls this.
        if not self.active or not self.lock.acquire(timeout=ORDER_SECONDS):
            return
        try:
            if not self.active or self.block is None:
                return
            try:
                self.out.reconfigure(line_buffering=True)
                self.out._CHUNK_SIZE = USUAL_PENDING_BYTES  # type: ignore[attr-defined]
            except (OSError, RuntimeError, ValueError):
                pass  # as below
            self.raw.__dict__.pop("write", None)
            try:
                self.block.flush()
                self.err.reconfigure(write_through=False)
            except (OSError, RuntimeError, ValueError):
                pass  # closed by the user; or called by a signal handler during a flush
            self.lines_left = LINES
            self.active = False
            if self.wakeup.locked():
                self.wakeup.release()
        finally:
            self.lock.release()

    def flush(self) -> None:
        """Write what was gathered so far."""
        if self.block is not None:
            self.block.flush()

    def flush_before_error(self) -> None:
        """Write everything that comes before a write to sys.stderr."""
        self.end()
        self.flush()
        flush_text(self.out)

    def flush_regularly(self) -> None:
        """In a thread: write what was gathered, until the block has ended."""
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        self.thread_id = _thread.get_native_id()
        while True:
            self.wakeup.acquire(timeout=FLUSH_SECONDS)
            with self.lock:
                others = not self.out.line_buffering and count_threads() > 2
                if others or has_children() or has_handlers():  # some have no audit event
                    self.end()
                if not self.active or self.block is None:
                    self.has_thread = False
                    return
                if has_room(1):
                    try:
                        flush_text(self.out)
                    except (OSError, ValueError):
                        pass  # the user has closed it, or has detached the block
                    try:
                        self.block.flush()
                    except OSError:
                        pass  # the user has closed the descriptor

    def audit(self, event: str, arguments: tuple[object, ...], /) -> None:
        """Python calls this for all audit events."""
        if event in PROCESSES or (event in THREADS and self.active):
            self.end()
            if event in FORKS:
                self.wait_for_thread()

    def wait_for_thread(self) -> None:
        """Wait until the thread has ended: Python 3.12 and later warn of forks beside threads."""
        deadline = time.monotonic() + 1
        while self.has_thread or os.path.exists(f"/proc/self/task/{self.thread_id}"):  # noqa: PTH110
            if time.monotonic() > deadline:
                return
            time.sleep(0.0005)

    def ending(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """A function that ends the block before it does what `call` does."""

        def end_and_call(*args: object, **options: object) -> object:
            self.end()
            return call(*args, **options)

        return end_and_call


def has_children() -> bool:
    """Whether this process has child processes, also such that have ended without a wait."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def count_threads() -> int:
    """How many threads this process has, also such that Python does not know."""
    return len(os.listdir("/proc/self/task"))  # noqa: PTH208


def has_handlers() -> bool:
    """Whether the program has signal handlers of its own."""
    usual = (None, signal.SIG_DFL, signal.SIG_IGN, signal.default_int_handler)
    return any(signal.getsignal(number) not in usual for number in signal.valid_signals())


def has_room(fd: int) -> bool:
    """Whether a pipe takes a block at once. The thread must not wait for a slow client: prints and
    interrupts would have to wait for the thread."""
    unread = bytearray(4)
    try:
        fcntl.ioctl(fd, termios.FIONREAD, unread)
    except OSError:
        return True  # it is redirected to something other than a pipe
    return int.from_bytes(unread, sys.byteorder) <= BLOCK_BYTES


flush_text = io.TextIOWrapper.flush
start_thread = _thread.start_new_thread
