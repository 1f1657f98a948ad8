"""A run of code in a kernel, seen as a stream of events with a standard input."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, TypedDict

import trio

from ..errors import BackendError, LocalProtocolError, NotFound
from ..transport.client import Client
from ..transport.connection_state import ConnectionState
from ..wire.execution import RAW_CONSOLE, ExecuteRequest
from ..wire.query_failures import QueryFailure
from ..wire.run_events import (
    Event,
    Finished,
    InputRequest,
    Stderr,
    TimedOut,
    joined,
    record_of,
)
from .run_stream import RunStream
from .run_streams import open_run_stream
from .run_turns import open_turn

__all__ = ["Execution", "ExecutionResult", "execute", "open_execution"]

_MAX_KEPT_EVENTS = 4096
"""Events that are read ahead; one has the output of a poll, or 64 KiB of it."""


class ExecutionResult(TypedDict):
    """What a run has printed, and how it stands. The keys are those of API 2."""

    status: str
    """``finished``, ``waiting-input`` or ``exec-timeout``."""
    runId: str
    """The run's id, to answer with."""
    console: list[tuple[str, Any]]
    """What was printed, in order, as (kind, payload): ``stdout``, ``stderr``, ``html`` and ``log``
    with a text, ``media`` with a list of MIME type and data."""
    exitCode: int | None
    """Exit code of the program, None where the server does not tell."""
    options: dict[str, Any]
    """``is_password`` when input is asked for."""


class Execution:
    """A run in progress: iterate over it for its events, send it input.

    The last event is always `Finished` or `TimedOut`; a run that ends in any other way raises.
    One task iterates; others may send input and interrupt meanwhile.
    """

    def __init__(
        self, stream: RunStream, turn: open_turn, query_failure: QueryFailure | None = None
    ) -> None:
        self._stream = stream
        self._turn = turn
        self._query_failure = query_failure
        self._ended: Finished | TimedOut | None = None
        self._events: deque[Event] = deque()
        self._moved = trio.lowlevel.ParkingLot()
        self._receiving = False
        self._reader_waits = False
        self._failure: BackendError | None = None
        self._readers_ahead: set[trio.CancelScope] = set()
        self._may_read_ahead = True
        self._asked = False
        self._abandoned = False
        self._stopped: Finished | TimedOut | None = None

    @property
    def run_id(self) -> str | None:
        """The run's id on the server; None where the server keeps it to itself."""
        return self._stream.run_id

    @property
    def outcome(self) -> Finished | TimedOut | None:
        """How the run ended; None until its last event was received.

        After a block that was left early, how the interrupted run ended; None where the server
        does not say.
        """
        return self._ended or self._stream.outcome or self._stopped

    @property
    def connection(self) -> ConnectionState:
        """Whether the connection is up; it changes only for streams that can be resumed."""
        return self._stream.connection

    def __aiter__(self) -> Execution:
        return self

    async def __anext__(self) -> Event:
        """The next event.

        Raises:
            ExecutionError: the run ended without an outcome, or asks for input that has ended on a
                server that cannot tell it so.
            ApiError: the server refused or failed.
            ConnectionFailed: it could not be reached, or the connection broke.

        Cancellation: loses no event.
        """
        await trio.lowlevel.checkpoint()
        while not self._events:
            if self._stream.outcome is not None:
                raise StopAsyncIteration
            await self._receive()
        return self._next()

    async def _receive(self) -> None:
        """Receive events for this run's reader, or wait while another reads ahead."""
        if self._failure is not None:
            raise self._failure
        if not self._receiving:
            await self._receive_from_stream()
            return
        self._reader_waits = True
        try:
            await self._moved.park()
        finally:
            self._reader_waits = False

    async def _receive_from_stream(self) -> None:
        self._receiving = True
        try:
            events = await self._stream.receive()
            self._events.extend(map(self._judged, events) if self._query_failure else events)
        finally:
            self._receiving = False
            self._moved.unpark_all()
        if self._stream.outcome is not None:
            self._turn.end()

    def _judged(self, event: Event) -> Event:
        """The event; the end with the exit code that the output speaks for."""
        assert self._query_failure is not None
        match event:
            case Stderr(text):
                self._query_failure.see_stderr(text)
            case Finished(None | 0):
                self._ended = event = Finished(self._query_failure.exit_code() or event.exit_code)
            case Finished():
                self._ended = event
            case _:
                self._query_failure.see_stdout()
        return event

    def _next(self) -> Event:
        event = self._events.popleft()
        self._asked = isinstance(event, InputRequest)
        self._moved.unpark_all()
        return event

    async def _read_ahead(self) -> None:
        """Receive events and keep them for the reader of this run, until it has ended; for one
        that waits for its turn.

        Pauses at a question, and when much is kept already: the reader has to go on then.

        Raises:
            BackendError: the run has failed, and its reader does not wait for an event now.

        Cancellation: loses no event.
        """
        with trio.CancelScope() as scope:
            self._readers_ahead.add(scope)
            try:
                while self._may_read_ahead and self._stream.outcome is None:
                    asks = bool(self._events) and isinstance(self._events[-1], InputRequest)
                    kept = len(self._events) >= _MAX_KEPT_EVENTS
                    if asks or self._asked or kept or self._receiving or self._failure:
                        await self._moved.park()
                    else:
                        await self._receive_from_stream()
            except BackendError as exc:
                self._failure = exc
                if not self._reader_waits:  # it may be what waits for the turn
                    raise
            finally:
                self._readers_ahead.discard(scope)
                self._moved.unpark_all()

    async def _end_reading_ahead(self) -> None:
        """Have nobody read this run any more but its own block."""
        self._may_read_ahead = False
        for scope in self._readers_ahead:
            scope.cancel()
        while self._readers_ahead:
            await self._moved.park()

    async def send_input(self, line: str | None) -> None:
        """Answer an `InputRequest`.

        Args:
            line: the text without its newline, or None for end of input.

        Raises:
            LocalProtocolError: the last event was no `InputRequest`; see `send_stdin`.
        """
        if not self._asked:
            await trio.lowlevel.checkpoint()
            raise LocalProtocolError(
                "the program does not wait for input; to type ahead, use send_stdin"
            )
        self._asked = False
        self._moved.unpark_all()
        if line is None:
            await self._stream.close_stdin()
        else:
            await self._stream.send_stdin(line.encode("utf-8", "surrogateescape") + b"\n")

    async def send_stdin(self, data: bytes) -> None:
        """Send input to the program, whether or not it waits for input.

        On our own gateway bytes reach the program at once; elsewhere they are kept here and given
        line by line when it asks. Waits while the program is far behind.

        Args:
            data: any bytes; lines end with a newline.

        Raises:
            ConnectionFailed: the connection broke for good.

        Cancellation: a part of the data may have been sent.
        """
        await self._stream.send_stdin(data)

    async def close_stdin(self) -> None:
        """End the program's standard input; may be repeated.

        Raises:
            ConnectionFailed: the connection broke for good.
        """
        await self._stream.close_stdin()

    async def resize(self, rows: int, columns: int) -> None:
        """Set the size of the program's terminal; see the `window` of `TrioKernel.execute`.

        Args:
            rows: height in characters.
            columns: width in characters.

        Raises:
            LocalProtocolError: programs have no terminal on this server.
            ConnectionFailed: the connection broke for good.
        """
        await self._stream.resize(rows, columns)

    async def interrupt(self) -> None:
        """Interrupt the code, as Ctrl-C would; the run goes on until its `Finished` event.

        Raises:
            ApiError: the server refused or failed.
            ConnectionFailed: it could not be reached.
        """
        await self._stream.interrupt()

    def abandon(self) -> None:
        """Let the end of the block not wait for the code.

        For code whose kernel is about to be destroyed.
        """
        self._abandoned = True

    def _leave_waiting(self) -> None:
        """Let the run wait for its answer when the block ends; a later request brings it."""
        self._abandoned = True
        if self.run_id is not None:
            self._turn.leave_waiting(self.run_id)

    async def collect(self) -> ExecutionResult:
        """Receive events until the run ends or asks for input.

        All output is held in memory.

        Returns:
            What was printed since the run began, or since the last call.

        Raises:
            ExecutionError, ApiError, ConnectionFailed: as iteration does.
            LocalProtocolError: all events of the run were received before.

        Cancellation: what was received so far is lost.
        """
        console: list[tuple[str, Any]] = []
        status, options = "", dict[str, Any]()
        exit_code: int | None = None
        if self._events or self._stream.outcome is not None:
            await trio.lowlevel.checkpoint()
        while not status:
            while not self._events:
                if self._stream.outcome is not None:
                    raise LocalProtocolError(f"run {self.run_id} has ended; there is nothing left")
                await self._receive()
            match event := self._next():
                case Finished(exit_code):
                    status = "finished"
                case TimedOut():
                    status = "exec-timeout"
                case InputRequest(is_password):
                    status, options = "waiting-input", {"is_password": is_password}
                case _ if (record := record_of(event)) is not None:
                    console.append(record)
        return ExecutionResult(
            status=status,
            runId=self.run_id or "",
            console=list(joined(console)),
            exitCode=exit_code,
            options=options,
        )

    async def _stop(self, grace_seconds: float, kernel: str) -> None:
        """Interrupt code that runs when the block ends. A failure is a warning, since what ended
        the block is the error to report."""
        left = f"it did not stop within {grace_seconds:g} s"
        with trio.move_on_after(grace_seconds, shield=True):
            await self._end_reading_ahead()
            if self._abandoned or self._stream.outcome is not None:
                return
            try:
                self._stopped = await self._stream.stop()
                return
            except NotFound:
                return  # its kernel has gone, and took the run along
            except BackendError as exc:
                left = str(exc)
        warnings.warn(
            f"{f'run {self.run_id}' if self.run_id else 'a run'} in kernel {kernel} may still go "
            f"on, not stopped: {left}",
            RuntimeWarning,
            stacklevel=4,
        )


@asynccontextmanager
async def open_execution(
    client: Client, address: str, first: ExecuteRequest, *, live: bool = True
) -> AsyncIterator[Execution]:
    """A run that is interrupted in the kernel when the block ends before the code does.

    Running out of grace is reported as a `RuntimeWarning` that names kernel and run.

    Args:
        client: of the kernel's server.
        address: the kernel's token or id.
        first: the run's first request.
        live: whether input and output flow as they come; False for polls. A run that is polled
            may be abandoned at a question, to be answered by a later request with its id.

    Raises:
        ApiError: the server refused the run.
        ConnectionFailed: it could not be reached.
    """
    if client.has(RAW_CONSOLE):
        first = replace(first, raw_console=True)
    async with (
        open_turn(client, address, first.run_id) as turn,
        open_run_stream(client, address, first, live=live) as stream,
    ):
        # Managers tell no exit code of a query run, up to 25.x (docs/protocol.md, section 4.2).
        guesses = first.mode != "batch" and not client.has(RAW_CONSOLE)
        run = Execution(stream, turn, QueryFailure() if guesses else None)
        turn.taken(run._read_ahead)
        try:
            yield run
        finally:
            await run._stop(client.config.grace_seconds, address)  # noqa: ASYNC102 (shielded)


async def execute(client: Client, address: str, first: ExecuteRequest) -> ExecutionResult:
    """Run code until it ends or asks for input, which a later request answers.

    A run that asks occupies its kernel until it is answered, or until other code is run: that ends
    it.

    Args:
        client: of the kernel's server.
        address: the kernel's token or id.
        first: the run's first request, or one that goes on with it (``input``, ``continue``).

    Raises:
        ExecutionError: the run ended without an outcome.
        ApiError: the server refused or failed.
        ConnectionFailed: it could not be reached, or the connection broke.

    Cancellation:
        Interrupts the code, and waits for its end, for the grace time at most.
    """
    async with open_execution(client, address, first, live=False) as run:
        result = await run.collect()
        if run.outcome is None:
            run._leave_waiting()
        return result
