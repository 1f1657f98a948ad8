"""Ctrl-C at any line of a wait: it is never lost, and what the call has made is undone."""

from __future__ import annotations

import linecache
import signal
import sys
from types import FrameType
from typing import Any

import trio

from backendai_trio.faces import waiting
from backendai_trio.faces.calls import Call

MANY = 1000


class CtrlC:
    """Ctrl-C at a line of the module `waiting`, given by how many are run before.

    Attributes:
        line: the line; empty if there are not so many.
    """

    def __init__(self, number: int) -> None:
        self.line = ""
        self._left = number

    def __enter__(self) -> CtrlC:
        self._before = sys.gettrace()
        sys.settrace(self._trace)
        return self

    def __exit__(self, *details: object) -> None:
        sys.settrace(self._before)

    def _trace(self, frame: FrameType, event: str, _: Any) -> Any:
        if frame.f_code.co_filename != waiting.__file__:
            return None
        if event == "line":
            self._left -= 1
            if self._left == 0:
                self.line = linecache.getline(waiting.__file__, frame.f_lineno).strip()
                signal.raise_signal(signal.SIGINT)
        return self._trace


def wait_with_ctrl_c(number: int) -> tuple[str, bool, list[str]]:
    """Wait for a call; returns the line, whether it was interrupted, and what is left of it."""
    left: list[str] = []

    async def make() -> str:
        await trio.lowlevel.checkpoint()
        left.append("made")
        return "made"

    async def undo(value: str) -> None:
        await trio.lowlevel.checkpoint()
        left.remove(value)

    with CtrlC(number) as ctrl_c:
        try:
            waiting.wait(Call(make, undo=undo))
        except KeyboardInterrupt:
            return ctrl_c.line, True, left
    return ctrl_c.line, False, left


def test_ctrl_c_at_every_line() -> None:
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    lines: set[str] = set()
    for number in range(1, MANY):
        line, interrupted, left = wait_with_ctrl_c(number)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if not line:
            assert not interrupted and left == ["made"]
            break
        lines.add(line)
        assert interrupted, f"lost at {line!r}"
        # From there on, the value is on its way to the caller.
        assert left == [] or line == "return call.result()", line
    assert {"over.wait()", "if interruptions:", "yield interruptions"} <= lines
