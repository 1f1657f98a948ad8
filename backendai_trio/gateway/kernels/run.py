"""A run as the gateway sees it: a program that prints and asks, and a client that fetches.

Output goes into a `Ring`. Clients that poll get it as text, one poll after the other, and need no
positions; clients that stream (`backendai_trio.gateway.api.streams`) read the ring themselves.
"""

from __future__ import annotations

import codecs
import math
from collections.abc import Callable, Mapping
from typing import Any, Literal

import trio

from ...wire.execution import ExecuteReply, ExecuteRequest
from ...wire.line_buffer import LineBuffer
from .output_buffer import LIMIT_BYTES, Ring

__all__ = ["Input", "Run"]

GATHER_SECONDS = 0.05
"""After the first output, how long a poll waits for more before it answers: soon enough to look
live, and a program that prints line by line does not cost a request for each."""
_INPUT_BYTES = 256 * 1024
_ANSWER_BYTES = 64 * 1024


class Input:
    """What a client typed and the program has not taken yet.

    Attributes:
        position: how many bytes were put in, ever.
    """

    def __init__(self) -> None:
        self.position = 0
        self._buffer = LineBuffer()
        self._changed = trio.lowlevel.ParkingLot()
        self._room = trio.lowlevel.ParkingLot()
        self._wanted: float = math.inf
        """The least position that somebody in `wait_room` waits for."""
        self._taker: Callable[[bytes], int] | None = None

    def __len__(self) -> int:
        return len(self._buffer)

    @property
    def exhausted(self) -> bool:
        """Whether there is nothing, and nothing will come."""
        return self._buffer.exhausted

    @property
    def has_line(self) -> bool:
        """Whether `line` would return at once."""
        return self._buffer.has_line

    async def put(self, data: bytes) -> None:
        """Append; waits while more is held than a program is likely to read soon."""
        self.put_nowait(data)
        while len(self._buffer) > _INPUT_BYTES:
            await self._changed.park()

    def put_nowait(self, data: bytes) -> None:
        """Append, for who bounds by himself what is held: see `wait_room`."""
        self.position += len(data)
        if self._taker is not None and not self._buffer:
            data = data[self._taker(data) :]
        if data:
            self._buffer.put(data)
            self._changed.unpark_all()
        self._tell_of_room()

    async def wait_room(self, position: int) -> None:
        """Wait until input was put in up to a position, and the program has taken most of it."""
        while not self._has_room(position):
            self._wanted = min(self._wanted, position)
            await self._room.park()

    def end(self) -> None:
        """Nothing more will come."""
        self._buffer.end()
        self._stir()

    def discard(self) -> None:
        """Drop what was not taken: the program it was meant for is gone."""
        self._take(len(self._buffer))

    async def line(self) -> bytes | None:
        """The next line with its newline (the last one may lack it); None at the end of input."""
        while not self._buffer.has_line:
            await self._changed.park()
        line = self._buffer.line()
        self._stir()
        return line

    async def wait_exhausted(self) -> None:
        """Wait until there is nothing, and nothing will come."""
        while not self._buffer.exhausted:
            await self._changed.park()

    async def some(self, limit: int, taker: Callable[[bytes], int] | None = None) -> bytes | None:
        """What is there, at least a byte and at most `limit`; None at the end of input.

        Args:
            limit: in bytes.
            taker: gets what comes while this waits, and tells how many bytes it has taken. Only
                what is left ends the wait: a key goes its way without a step of the event loop.
        """
        self._taker = taker
        try:
            while not self._buffer and not self._buffer.closed:
                await self._changed.park()
        finally:
            self._taker = None
        return self._take(limit)

    def _take(self, limit: int) -> bytes | None:
        data = self._buffer.some(limit)
        self._stir()
        return data

    def _has_room(self, position: float) -> bool:
        return self.position >= position and len(self._buffer) <= _INPUT_BYTES

    def _stir(self) -> None:
        self._changed.unpark_all()
        self._tell_of_room()

    def _tell_of_room(self) -> None:
        # Not after each key, which would slow its echo.
        if self._has_room(self._wanted):
            self._wanted = math.inf
            self._room.unpark_all()


class Run:
    """One execution.

    Attributes:
        request: what was asked.
        run_id: its name.
        ring: its output; marks carry ``status`` and the fields that go with it.
        input: what the client typed.
        live: the client streams: input goes to the program as it comes, not when it is asked for.
        streams: how many connections carry it; more than one while a dead one was not noticed.
        outcome: the exit code once the program has ended, else None.
        interrupt: stops what runs now; None while nothing does.
        interrupted: whether somebody asked to stop it.
        interrupts: how often its stream's client says that it did.
        window: size of the program's terminal in characters; None if it has no terminal.
        resized: tells the program of a new size; None while none runs.
        last_seen: when a client was last here, in Trio's time; in the future while one is.
    """

    def __init__(
        self,
        run_id: str,
        request: ExecuteRequest,
        log: Callable[[str], None],
        *,
        live: bool = False,
    ) -> None:
        self.run_id = run_id
        self.request = request
        self.ring = Ring()
        self.input = Input()
        self.live = live
        self.streams = 0
        self.outcome: int | None = None
        self.interrupt: Callable[[], None] | None = None
        self.interrupted = False
        self.interrupts = 0
        self.window = request.window
        self.resized: Callable[[int, int], None] | None = None
        self.last_seen = trio.current_time()
        self._log = log
        self._question: dict[str, Any] | None = None
        # Incremental: a character cut in two by a read comes out whole. The log has its own, since
        # a poll may be far behind it.
        errors = "surrogateescape" if request.raw_console else "replace"
        self._decoders = _decoders(errors)
        self._log_decoders = _decoders("replace")

    # --- the program's side ----------------------------------------------------------------------

    async def write(self, kind: Literal["stdout", "stderr"], data: bytes) -> None:
        """Take output in; waits while the client is far behind."""
        self._log(self._log_decoders[kind].decode(data))
        await self.ring.write(kind, data)

    def stage_finished(self, status: str, exit_code: int) -> None:
        """Tell that a stage of a batch run (``build-finished``) has ended."""
        self.ring.mark({"status": status, "exit_code": exit_code})

    async def ask_line(self, is_password: bool) -> bytes | None:
        """A line for the program, with its newline; None for end of input.

        The client is told that the program waits, unless it has typed ahead.
        """
        if not self.input.has_line:
            self._tell_question(is_password)
        try:
            return await self.input.line()
        finally:
            self._question = None

    async def ask_bytes(self, is_password: bool) -> bytes | None:
        """Like `ask_line`, for a program that reads its terminal itself: whatever is there."""
        if not self.input.has_line:
            self._tell_question(is_password)
        try:
            return await self.input.some(_ANSWER_BYTES)
        finally:
            self._question = None

    async def ask_end(self, is_password: bool) -> None:
        """Like `ask_line`, for a program whose input goes to it by itself: returns at its end."""
        if not self.input.exhausted:
            self._tell_question(is_password)
        try:
            await self.input.wait_exhausted()
        finally:
            self._question = None

    def finish(self, exit_code: int) -> None:
        """The program has ended, and all it printed was written."""
        self.outcome = exit_code
        self.ring.mark({"status": "finished", "exit_code": exit_code}, last=True)

    # --- the client's side -----------------------------------------------------------------------

    @property
    def question(self) -> Mapping[str, Any] | None:
        """What the client was told when the program asked for input; None if nothing is open."""
        return self._question

    @property
    def waiting(self) -> bool:
        """Whether the program waits for input and the client was told so."""
        return self._question is not None

    async def answer(self, line: str | None) -> None:
        """Give the program a line without its newline, or end of input."""
        self._question = None
        if line is None:
            self.input.end()
            await trio.lowlevel.checkpoint()
        else:
            await self.input.put(line.encode("utf-8", "surrogateescape") + b"\n")

    def stop(self) -> None:
        """Interrupt the program; a question that is open needs no answer any more."""
        self.interrupted = True
        self._question = None
        if self.interrupt is not None:
            self.interrupt()

    def resize(self, rows: int, columns: int) -> None:
        """The client's window has a new size."""
        self.window = rows, columns
        if self.resized is not None:
            self.resized(rows, columns)

    def abandon(self) -> None:
        """Interrupt it, and drop what it prints: nobody will fetch it."""
        self.ring.drop()
        self.stop()

    async def poll(self, window: float, limit: int = LIMIT_BYTES) -> ExecuteReply:
        """Wait for something to tell, `window` seconds at most; tells at most `limit` bytes.

        Output is taken out at the end, without a checkpoint: a poll that is cancelled loses none.
        """
        ring = self.ring
        try:
            self.last_seen = trio.current_time() + window
            with trio.move_on_after(window):
                while ring.end == ring.start and not self.waiting:
                    await ring.wait_written()
            with trio.move_on_after(min(window, GATHER_SECONDS)):
                while not (ring.marks or self.waiting or ring.full):
                    await ring.wait_written()
            return self._take(limit)
        finally:
            self.last_seen = trio.current_time()

    def _tell_question(self, is_password: bool) -> None:
        self._question = {"status": "waiting-input", "is_password": is_password}
        self.ring.mark(self._question)

    def _take(self, limit: int) -> ExecuteReply:
        console: list[tuple[str, Any]] = []
        position = self.ring.start
        mark: Mapping[str, Any] | None = None
        end = position + limit
        while mark is None and (piece := self.ring.read(position, end - position)) is not None:
            position, mark = piece.end, piece.mark
            if mark is None and (text := self._decoders[piece.kind].decode(piece.data)):
                _append(console, piece.kind, text)
        self.ring.release(position)
        if mark is None and self.ring.start == self.ring.end:
            mark = self._question  # told before, and still not answered
        status = mark["status"] if mark is not None else "continued"
        if mark is None or (status == "waiting-input" and mark is not self._question):
            return ExecuteReply("continued", self.run_id, tuple(console))
        options: dict[str, Any] = {}
        if status == "waiting-input":
            options["is_password"] = mark["is_password"]
        elif status == "finished":
            for kind, decoder in self._decoders.items():
                if text := decoder.decode(b"", final=True):
                    _append(console, kind, text)
        return ExecuteReply(status, self.run_id, tuple(console), mark.get("exit_code"), options)


def _append(console: list[tuple[str, Any]], kind: str, text: str) -> None:
    """Add text to the records of a reply; adjacent ones of one kind are one (section 4.2)."""
    if console and console[-1][0] == kind:
        text = console.pop()[1] + text
    console.append((kind, text))


def _decoders(errors: str) -> dict[str, codecs.IncrementalDecoder]:
    decoder = codecs.getincrementaldecoder("utf-8")
    return {"stdout": decoder(errors), "stderr": decoder(errors)}
