"""Watches whether a program waits for input, and asks for it."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import trio

from .check_pace import pace_of
from .output_source import Sink
from .pty import PseudoTerminal
from .stdin_pipe import StdinPipe

__all__ = ["Ask", "InputWatch"]

Ask: TypeAlias = Callable[[bool], Awaitable[bytes | None]]
"""Called (with "is it a password?") when the program waits for standard input. Returns a line with
its newline, or None for end of file."""

FIRST_CHECK_SECONDS, MAX_CHECK_SECONDS = 0.002, 0.040
"""The time between two checks whether a program waits for input; grows while nothing happens. A
check takes 50 us. When hundreds of programs run, it is longer (`CheckPace`)."""

REQUEST_CHECK_SECONDS = 0.1
"""The time between two checks while an input request is open."""


class _NoLongerWaiting:
    """Returned instead of an answer: the program has stopped waiting for one."""


class InputWatch:
    """Watches one program.

    There is no other way than to look again and again: Linux has no event for "a process reads this
    terminal or pipe".
    """

    def __init__(
        self, stdin: PseudoTerminal | StdinPipe, pid: int, drain: Callable[[Sink], Awaitable[None]]
    ) -> None:
        """
        Args:
            stdin: the gateway's end of its standard input.
            pid: its process id.
            drain: delivers what it has written so far.
        """
        self._stdin = stdin
        self._pid = pid
        self._drain = drain
        self._activity = 0
        self._output_read = trio.lowlevel.ParkingLot()
        self._cost: float | None = None

    def note_output(self) -> None:
        """Note that the program has written something: it is seldom waiting then."""
        self._activity += 1
        self._output_read.unpark_all()

    async def run(self, sink: Sink, ask: Ask) -> None:
        """Ask for input whenever the program waits for it, until cancelled.

        Args:
            sink: gets what the program has written before it waits.
            ask: called when it waits.
        """
        pace = pace_of("input")
        delay, seen, checked_at = FIRST_CHECK_SECONDS, self._activity, trio.current_time()
        with pace.watching():
            while True:
                await trio.sleep(pace.pause(delay, self._cost))
                if self._activity != seen:
                    seen, delay = self._activity, FIRST_CHECK_SECONDS
                    # A program that writes is seldom waiting, though another of its threads may be.
                    if trio.current_time() - checked_at < MAX_CHECK_SECONDS:
                        continue
                else:
                    delay = min(delay * 1.4, MAX_CHECK_SECONDS)
                checked_at = trio.current_time()
                if self._waits():
                    await self._drain(sink)
                    # While the sink was busy, a signal may have ended the read.
                    if self._waits():
                        await self._answer(ask)

    def _waits(self) -> bool:
        """Look whether the program waits."""
        before = time.thread_time()
        found = self._stdin.is_awaited_by(self._pid)
        self._cost = time.thread_time() - before
        pace_of("input").note(self._cost)
        return found

    async def _answer(self, ask: Ask) -> None:
        answer = await self._ask_while_waiting(ask)
        if answer is None and not self._waits():
            # `write_stdin` has just written end of file, and a second one would be data.
            return
        if not isinstance(answer, _NoLongerWaiting):
            await self._stdin.write(answer)
        self._activity += 1

    async def _ask_while_waiting(self, ask: Ask) -> bytes | _NoLongerWaiting | None:
        """Call `ask`, but cancel it when the program no longer waits for that answer.

        That is so when the program stops waiting (because of a signal, say), and when it waits for
        a password instead of something else, or the other way round: input that is typed ahead can
        end one wait and begin the next between two checks.
        """
        answer: bytes | _NoLongerWaiting | None = _NoLongerWaiting()
        hidden = self._stdin.hides_input()

        async def call_ask() -> None:
            nonlocal answer
            answer = await ask(hidden)
            nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(call_ask)
            misses = 0
            while misses < 2:  # one may be a thread that woke up for a moment
                pause = pace_of("input").pause(REQUEST_CHECK_SECONDS, self._cost)
                with trio.move_on_after(pause) as unchanged:
                    # A prompt for the next input is output, so a change is seen at once.
                    while self._stdin.hides_input() == hidden:
                        await self._output_read.park()
                if not unchanged.cancelled_caught:
                    break
                waits = self._waits()
                misses = 0 if waits else misses + 1
            nursery.cancel_scope.cancel()
        return answer
