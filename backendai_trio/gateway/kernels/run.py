"""One execution in the gateway: the program's side, and the side of the client that follows it.

Output goes into a `ReplayBuffer`. Clients that poll get it as text, one poll after the other, and
need no positions. Clients that stream (`backendai_trio.gateway.api.streams`) read the buffer.
"""

from __future__ import annotations

import codecs
import math
from collections.abc import Callable, Mapping
from typing import Any, Literal

import trio

from ...wire.execution import ExecuteReply, ExecuteRequest
from ...wire.resumable import RecordParser, encode_record
from .input_buffer import InputBuffer
from .output_buffer import DEFAULT_CAPACITY, ReplayBuffer

__all__ = ["Run"]

GATHER_SECONDS = 0.05
"""How long a poll waits for more output after the first: short enough to look live, and a program
that prints line by line does not cost a request for each line."""
_ANSWER_BYTES = 64 * 1024


class Run:
    """One execution.

    Attributes:
        request: the client's request.
        run_id: names the run in later requests.
        output: what the program writes. Marks carry ``status`` and the fields that belong to it.
        input: what the client typed.
        live: the client streams, so input goes to the program as it arrives, not when it is read.
        connections: how many connections stream it; two while a dead one was not noticed yet.
        outcome: the exit code, None until the program has ended.
        interrupt: interrupts the running program; None while none runs.
        interrupted: whether a client has interrupted the run.
        interrupts: how many interrupts its stream's client has sent.
        window: rows and columns of the program's terminal; None for the usual ones.
        on_resize: tells the program about a new window size; None while none runs.
        stage_gap_seconds: for how long output is lost when a poll has reported the end of a stage;
            see `Faults`.
        last_seen: the last time (Trio's clock) a client was there; infinite or in the future while
            one is there.
    """

    def __init__(
        self,
        run_id: str,
        request: ExecuteRequest,
        log: Callable[[str], None],
        *,
        live: bool = False,
        output_bytes: int = DEFAULT_CAPACITY,
    ) -> None:
        """
        Args:
            run_id: names the run.
            request: the client's request.
            log: called with all output, for the kernel's log.
            live: see the attribute.
            output_bytes: output that is buffered before the program has to wait.
        """
        self.run_id = run_id
        self.request = request
        self.output = ReplayBuffer(output_bytes)
        self.input = InputBuffer()
        self.live = live
        self.connections = 0
        self.outcome: int | None = None
        self.interrupt: Callable[[], None] | None = None
        self.interrupted = False
        self.interrupts = 0
        self.window = request.window or request.stdio.size
        self.on_resize: Callable[[int, int], None] | None = None
        self.stage_gap_seconds = 0.0
        self._lost_until = -math.inf
        self.last_seen = trio.current_time()
        self._log = log
        self._input_request: dict[str, Any] | None = None
        self._polled_request: Mapping[str, Any] | None = None
        """The last input request that was in the reply to a poll."""
        # Incremental, because a read may end within a character. The log has decoders of its own,
        # since a poll may be far behind it.
        errors = "surrogateescape" if request.raw_console else "replace"
        self._decoders = _decoders(errors)
        self._log_decoders = _decoders("replace")
        self._records = RecordParser()

    # --- the program's side ----------------------------------------------------------------------

    async def write(self, kind: Literal["stdout", "stderr"], data: bytes) -> None:
        """Take output from the program; waits while the client is far behind."""
        self._log(self._log_decoders[kind].decode(data))
        if self._is_lost():
            await trio.lowlevel.checkpoint()
            return
        await self.output.write(kind, data)

    async def write_record(self, kind: str, payload: object) -> bool:
        """Take output that is not text of a stream; waits while the client is far behind.

        Returns:
            Whether it was taken: a client that streams, and has not asked for such output, gets
            none.
        """
        if self._is_lost() or (self.live and not self.request.rich_output):
            await trio.lowlevel.checkpoint()
            return False
        await self.output.write("records", encode_record(kind, payload))
        return True

    def stage_finished(self, status: str, exit_code: int) -> None:
        """Report the end of a stage of a batch run, e.g. ``build-finished``."""
        if not self._is_lost():
            self.output.write_mark({"status": status, "exit_code": exit_code})

    async def ask_line(self, is_password: bool) -> bytes | None:
        """A line for the program, with its newline; None for end of input.

        The client gets an input request, unless it has typed ahead.
        """
        if not self.input.has_line:
            self._request_input(is_password)
        try:
            return await self.input.line()
        finally:
            self._input_request = None

    async def ask_bytes(self, is_password: bool) -> bytes | None:
        """Like `ask_line`, for a program that reads its terminal: any available bytes."""
        if not self.input.has_line:
            self._request_input(is_password)
        try:
            return await self.input.receive_some(_ANSWER_BYTES)
        finally:
            self._input_request = None

    async def ask_eof(self, is_password: bool) -> None:
        """Like `ask_line`, for a program that gets input as it arrives: returns at end of input."""
        if not self.input.exhausted:
            self._request_input(is_password)
        try:
            await self.input.wait_exhausted()
        finally:
            self._input_request = None

    def finish(self, exit_code: int) -> None:
        """The program has ended and all its output was written."""
        self.outcome = exit_code
        if not self._is_lost():
            self.output.write_mark({"status": "finished", "exit_code": exit_code}, last=True)

    # --- the client's side -----------------------------------------------------------------------

    @property
    def input_request(self) -> Mapping[str, Any] | None:
        """The input request that the client has not answered yet; None if there is none."""
        return self._input_request

    @property
    def waits_for_input(self) -> bool:
        """Whether the program waits for input."""
        return self._input_request is not None

    @property
    def asked_by_poll(self) -> bool:
        """Whether the program waits for input, and the reply to a poll has said so."""
        return self.waits_for_input and self._polled_request is self._input_request

    async def answer(self, line: str | None) -> None:
        """Give the program a line (without its newline), or None for end of input."""
        self._input_request = None
        if line is None:
            self.input.close()
            await trio.lowlevel.checkpoint()
        else:
            await self.input.put(line.encode("utf-8", "surrogateescape") + b"\n")

    def stop(self) -> None:
        """Interrupt the program, and withdraw its input request."""
        self.interrupted = True
        self._input_request = None
        if self.interrupt is not None:
            self.interrupt()

    def resize(self, rows: int, columns: int) -> None:
        """The client's window has a new size."""
        self.window = rows, columns
        if self.on_resize is not None:
            self.on_resize(rows, columns)

    def abandon(self) -> None:
        """Interrupt the program and discard its output: no client will fetch it."""
        self.output.start_discarding()
        self.stop()

    async def poll(self, seconds: float, limit: int = DEFAULT_CAPACITY) -> ExecuteReply:
        """Wait for output, an input request or the end, and return it.

        Args:
            seconds: how long to wait at most.
            limit: the most bytes of output to return.

        Cancellation: no output is lost, since it is taken from the buffer last, without a
        checkpoint.
        """
        output = self.output
        try:
            self.last_seen = trio.current_time() + seconds
            with trio.move_on_after(seconds):
                while output.end == output.start and not self.waits_for_input:
                    await output.wait_written()
            with trio.move_on_after(min(seconds, GATHER_SECONDS)):
                while not (output.marks or self.waits_for_input or output.full):
                    await output.wait_written()
            return self._take(limit)
        finally:
            self.last_seen = trio.current_time()

    def _is_lost(self) -> bool:
        """Whether what the program does now stays unknown to the client, by `stage_gap_seconds`."""
        return trio.current_time() < self._lost_until

    def _request_input(self, is_password: bool) -> None:
        self._input_request = {"status": "waiting-input", "is_password": is_password}
        self.output.write_mark(self._input_request)

    def _take(self, limit: int) -> ExecuteReply:
        console: list[tuple[str, Any]] = []
        position = self.output.start
        mark: Mapping[str, Any] | None = None
        end = position + limit
        while mark is None and (chunk := self.output.read(position, end - position)) is not None:
            position, mark = chunk.end, chunk.mark
            if chunk.kind == "records":
                console += self._records.feed(chunk.data)
            elif mark is None and (text := self._decoders[chunk.kind].decode(chunk.data)):
                _append(console, chunk.kind, text)
        self.output.release(position)
        if mark is None and self.output.start == self.output.end:
            mark = self._input_request  # sent before, and still not answered
        status = mark["status"] if mark is not None else "continued"
        if mark is None or (status == "waiting-input" and mark is not self._input_request):
            return ExecuteReply("continued", self.run_id, tuple(console))
        if status in ("clean-finished", "build-finished") and self.stage_gap_seconds:
            self._lost_until = trio.current_time() + self.stage_gap_seconds
            self.output.release(self.output.end)
        options: dict[str, Any] = {}
        if status == "waiting-input":
            self._polled_request = mark
            options["is_password"] = mark["is_password"]
        elif status == "finished":
            for kind, decoder in self._decoders.items():
                if text := decoder.decode(b"", final=True):
                    _append(console, kind, text)
        return ExecuteReply(status, self.run_id, tuple(console), mark.get("exit_code"), options)


def _append(console: list[tuple[str, Any]], kind: str, text: str) -> None:
    """Add text to a reply's records, joined with the last one if that is of the same kind.

    Source: docs/protocol.md, section 4.2.
    """
    if console and console[-1][0] == kind:
        text = console.pop()[1] + text
    console.append((kind, text))


def _decoders(errors: str) -> dict[str, codecs.IncrementalDecoder]:
    decoder = codecs.getincrementaldecoder("utf-8")
    return {"stdout": decoder(errors), "stderr": decoder(errors)}
