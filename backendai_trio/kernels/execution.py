"""A run of code in a kernel, seen as a stream of events with a standard input."""

from __future__ import annotations

import warnings
from dataclasses import replace
from types import TracebackType
from typing import Any, TypedDict

import trio

from ..errors import BackendError, LocalProtocolError, NotFound
from ..transport.client import Client
from ..transport.connection_state import ConnectionState
from ..wire.execution import RAW_CONSOLE, RICH_OUTPUT, ExecuteRequest
from ..wire.query_failures import QueryFailure
from ..wire.run_events import Event, Finished, InputRequest, TimedOut, joined, record_of
from .run_reader import RunReader
from .run_stream import RunStream
from .run_streams import open_run_stream
from .run_turns import open_turn
from .shields import finish_within

__all__ = ["Execution", "ExecutionResult", "execute", "open_execution"]


class ExecutionResult(TypedDict):
    """What a run has printed, and how it stands. The keys are those of API 2."""

    status: str
    """``finished``, ``waiting-input`` or ``exec-timeout``."""
    runId: str
    """The run's id, to answer with."""
    console: list[tuple[str, Any]]
    """What was printed, in order, as (kind, payload): ``stdout``, ``stderr``, ``html`` and ``log``
    with a text, ``media`` with a list of MIME type and data (``Media(*payload).content()`` gives
    its bytes)."""
    exitCode: int | None
    """Exit code of the program, as in `Finished`."""
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
        self._reader = RunReader(stream, turn, query_failure)
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
        return self._reader.ended or self._stream.outcome or self._stopped

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
        while not self._reader.events:
            if self._stream.outcome is not None:
                raise StopAsyncIteration
            await self._reader.receive()
        return self._reader.take()

    async def send_input(self, line: str | None) -> None:
        """Answer an `InputRequest`.

        Args:
            line: the text without its newline, or None for end of input.

        Raises:
            LocalProtocolError: the last event was no `InputRequest`, or that was answered, or ended
                by an interrupt; see `send_stdin`.
        """
        if not self._reader.asks:
            await trio.lowlevel.checkpoint()
            raise LocalProtocolError(
                "the program does not wait for input; to type ahead, use send_stdin"
            )
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
        if self._reader.events or self._stream.outcome is not None:
            await trio.lowlevel.checkpoint()
        while not status:
            while not self._reader.events:
                if self._stream.outcome is not None:
                    raise LocalProtocolError(f"run {self.run_id} has ended; there is nothing left")
                await self._reader.receive()
            match event := self._reader.take():
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
        if self._stream.outcome is not None and not self._reader.is_read_ahead:
            return
        left = f"it did not stop within {grace_seconds:g} s"
        with finish_within(grace_seconds):
            await self._reader.end_reading_ahead()
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
            stacklevel=3,
        )


class open_execution:
    """A run that is interrupted in the kernel when the block ends before the code does.

    Running out of grace is reported as a `RuntimeWarning` that names kernel and run.

    A class, where a generator would be shorter: each run goes through it.

    Args:
        client: of the kernel's server.
        address: the kernel's token or id.
        first: the run's first request.
        live: whether input and output flow as they come; False for polls. A run that is polled
            may be abandoned at a question, to be answered by a later request with its id.

    Raises:
        ApiError: on entry, the server refused the run.
        ConnectionFailed: on entry, it could not be reached.
    """

    def __init__(
        self, client: Client, address: str, first: ExecuteRequest, *, live: bool = True
    ) -> None:
        self._client = client
        self._address = address
        self._guesses = first.mode != "batch" and not client.has(RAW_CONSOLE)
        if client.has(RAW_CONSOLE):
            first = replace(first, raw_console=True)
        if client.has(RICH_OUTPUT):
            first = replace(first, rich_output=True)
        self._turn = open_turn(client, address, first.run_id)
        self._stream = open_run_stream(client, address, first, live=live)
        self._run: Execution

    async def __aenter__(self) -> Execution:
        await self._turn.__aenter__()
        try:
            stream = await self._stream.__aenter__()
        except BaseException:  # cancelled, too: no block will end the turn
            self._turn.end()
            raise
        told = self._client.hello.tells_query_codes
        failure = QueryFailure(told=told) if self._guesses else None
        self._run = Execution(stream, self._turn, failure)
        self._turn.taken(self._run._reader.read_ahead)
        return self._run

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        try:
            try:
                grace_seconds = self._client.config.grace_seconds
                await self._run._stop(grace_seconds, self._address)  # noqa: ASYNC102 (shielded)
            except BaseException as exc:
                # Streams shield and bound their end themselves.
                await self._stream.__aexit__(type(exc), exc, exc.__traceback__)  # noqa: ASYNC102
                raise
            return await self._stream.__aexit__(kind, error, traceback)  # noqa: ASYNC102
        finally:
            self._turn.end()


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
