"""A run as the gateway sees it: a bounded buffer between a program that prints and its polls."""

from __future__ import annotations

import codecs
from collections import deque
from collections.abc import Callable
from typing import Any

import trio

from ..wire.execution import ExecuteReply, ExecuteRequest

__all__ = ["Run"]

FULL_CHARS = 1024 * 1024
"""Output held for the next poll; a program that prints more blocks until it is fetched."""
GATHER_SECONDS = 0.05
"""After the first output, how long a poll waits for more before it answers: soon enough to look
live, and a program that prints line by line does not cost a request for each."""


class _Mark:
    """A point in the output where a poll must stop and tell its status."""

    def __init__(self, status: str, exit_code: int | None, options: dict[str, Any]) -> None:
        self.status = status
        self.exit_code = exit_code
        self.options = options


class Run:
    """One execution: written by the task that drives the program, read by polls.

    Attributes:
        request: what was asked.
        run_id: its name.
        outcome: the exit code once the program has ended, else None.
        interrupt: stops what runs now; None while nothing does.
        interrupted: whether somebody asked to stop it.
        last_polled: when a poll was last here, in Trio's time.
    """

    def __init__(self, run_id: str, request: ExecuteRequest, log: Callable[[str], None]) -> None:
        self.run_id = run_id
        self.request = request
        self.outcome: int | None = None
        self.interrupt: Callable[[], None] | None = None
        self.interrupted = False
        self.last_polled = trio.current_time()
        self._log = log
        self._items: deque[_Mark | tuple[str, list[str]]] = deque()
        self._chars = 0
        self._marks = 0
        self._question: _Mark | None = None
        self._answer: bytes | None = None
        self._answered = trio.Event()
        self._discarding = False
        self._written = trio.lowlevel.ParkingLot()
        self._fetched = trio.lowlevel.ParkingLot()
        errors = "surrogateescape" if request.raw_console else "replace"
        # Incremental: a character cut in two by a read comes out whole.
        decoder = codecs.getincrementaldecoder("utf-8")
        self._decoders = {kind: decoder(errors) for kind in ("stdout", "stderr")}

    # --- the program's side ----------------------------------------------------------------------

    async def write(self, kind: str, data: bytes) -> None:
        """Take output in; waits while the buffer is full."""
        self._append(kind, self._decoders[kind].decode(data))
        while self._chars >= FULL_CHARS and not self._discarding:
            await self._fetched.park()

    def stage_finished(self, status: str, exit_code: int) -> None:
        """Tell that a stage of a batch run (``build-finished``) has ended."""
        self._mark(status, exit_code, {})

    async def ask(self, is_password: bool) -> bytes | None:
        """Ask the client for a line; returns it with its newline, None for end of input."""
        self._answered = trio.Event()
        self._question = self._mark("waiting-input", None, {"is_password": is_password})
        try:
            await self._answered.wait()
        finally:
            self._question = None
        return self._answer

    def finish(self, exit_code: int) -> None:
        """The program has ended, and all it printed was written."""
        for kind, decoder in self._decoders.items():
            self._append(kind, decoder.decode(b"", final=True))
        self.outcome = exit_code
        self._mark("finished", exit_code, {})

    # --- the client's side -----------------------------------------------------------------------

    @property
    def waiting(self) -> bool:
        """Whether the program waits for `answer`."""
        return self._question is not None

    def answer(self, line: str | None) -> None:
        """Give the program its line, or end of input."""
        if self._question is not None:
            self._question = None
            self._answer = None if line is None else line.encode("utf-8", "surrogateescape") + b"\n"
            self._answered.set()

    def stop(self) -> None:
        """Interrupt the program; a question that is open needs no answer any more."""
        self.interrupted = True
        self._question = None
        if self.interrupt is not None:
            self.interrupt()

    def discard(self) -> None:
        """Drop all output from here on: nobody will fetch it."""
        self._discarding = True
        self._items.clear()
        self._chars = self._marks = 0
        self._fetched.unpark_all()

    async def poll(self, window: float) -> ExecuteReply:
        """Wait for something to tell, `window` seconds at most.

        Output is taken out at the end, without a checkpoint: a poll that is cancelled loses none.
        """
        try:
            self.last_polled = trio.current_time() + window
            with trio.move_on_after(window):
                while not (self._items or self.waiting):
                    await self._written.park()
            with trio.move_on_after(min(window, GATHER_SECONDS)):
                while not (self._marks or self.waiting or self._chars >= FULL_CHARS):
                    await self._written.park()
            return self._take()
        finally:
            self.last_polled = trio.current_time()

    def _take(self) -> ExecuteReply:
        console: list[tuple[str, Any]] = []
        mark: _Mark | None = None
        while self._items and mark is None:
            item = self._items.popleft()
            if isinstance(item, _Mark):
                mark = item
                self._marks -= 1
            else:
                console.append((item[0], "".join(item[1])))
                self._chars -= sum(map(len, item[1]))
        self._fetched.unpark_all()
        if mark is None and not self._items:
            mark = self._question  # told before, and still not answered
        if mark is None or (mark.status == "waiting-input" and mark is not self._question):
            return ExecuteReply("continued", self.run_id, tuple(console))
        return ExecuteReply(mark.status, self.run_id, tuple(console), mark.exit_code, mark.options)

    # --- both ------------------------------------------------------------------------------------

    def _append(self, kind: str, text: str) -> None:
        if not text:
            return
        self._log(text)
        if self._discarding:
            return
        last = self._items[-1] if self._items else None
        if isinstance(last, tuple) and last[0] == kind:
            last[1].append(text)
        else:
            self._items.append((kind, [text]))
        self._chars += len(text)
        self._written.unpark_all()

    def _mark(self, status: str, exit_code: int | None, options: dict[str, Any]) -> _Mark:
        mark = _Mark(status, exit_code, options)
        self._items.append(mark)
        self._marks += 1
        self._written.unpark_all()
        return mark
