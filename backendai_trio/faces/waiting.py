"""Waiting in a thread until a call is over."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

from .calls import Call

__all__ = ["wait"]

T = TypeVar("T")


def wait(call: Call[T]) -> T:
    """Make a call and block this thread until it is over.

    Ctrl-C in the main thread, with Python's own handler, does not break out of the wait at whatever
    instruction it finds: it cancels the call, and KeyboardInterrupt is raised when that has ended.
    What other handlers raise waits for the end as well.
    """
    over = _Signal()
    try:
        with _interrupting(call) as interruptions:
            call.submit(over.set)
            over.wait()
        # Only now: until the block was left, Ctrl-C was noted.
        if interruptions:
            raise KeyboardInterrupt
    except BaseException:  # whatever a signal's handler raises: first the work must have ended
        with _interrupting(call):
            _join(call)
        raise
    return call.result()


def _join(call: Call[T]) -> None:
    over = _Signal()
    call.stop(over.set)
    over.wait()


class _Signal:
    """An event to wait for once. A bare lock: `threading.Event` would cost 10 us a call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()
        self.set = self._lock.release
        self.wait = self._lock.acquire


@contextmanager
def _interrupting(call: Call[T]) -> Iterator[list[int]]:
    """In this block, Ctrl-C cancels the call and is noted in the list that the block is given."""
    interruptions: list[int] = []
    if (
        threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    ):
        yield interruptions
        return

    def handle(number: int, _frame: FrameType | None) -> None:
        interruptions.append(number)
        call.cancel()

    signal.signal(signal.SIGINT, handle)
    try:
        yield interruptions
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
