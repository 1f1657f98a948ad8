"""A run of code in a kernel, seen as a stream of events with a standard input."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import trio

from ..errors import ApiError, BackendError, LocalProtocolError, NotFound
from ..transport.client import Client
from ..transport.connection_state import ConnectionState
from ..wire.execution import (
    INTERRUPT_RUN,
    RAW_CONSOLE,
    Event,
    ExecuteReply,
    ExecuteRequest,
    Finished,
    InputRequest,
    RunState,
    TimedOut,
    joined,
)
from ..wire.http import JSON, Request
from ..wire.json_fields import encode_json
from .run_streams import POLL_SECONDS, Channel, open_channel

__all__ = ["Execution", "execute", "open_execution"]

_INTERRUPT_ATTEMPTS = 3


class Execution:
    """A run in progress: iterate over it for its events, type into it.

    The last event is always `Finished` or `TimedOut`; a run that ends in any other way raises.
    One task iterates; others may type and interrupt meanwhile.
    """

    def __init__(self, client: Client, token: str, channel: Channel) -> None:
        self._client = client
        self._token = token
        self._channel = channel
        self._events: deque[Event] = deque()
        self._asked = False
        self._abandoned = False
        self._stopped: Finished | TimedOut | None = None

    @property
    def run_id(self) -> str | None:
        """The run's id on the server; None where it is the server's secret."""
        return self._channel.run_id

    @property
    def outcome(self) -> Finished | TimedOut | None:
        """How the run ended; None until its last event was received.

        After a block that was left early, how the interrupted run ended; None where the server
        tells that to nobody (a manager's streaming execution).
        """
        return self._channel.outcome or self._stopped

    @property
    def connection(self) -> ConnectionState:
        """Whether the connection is there, for who wants to tell a person when it is lost."""
        return self._channel.connection

    def __aiter__(self) -> Execution:
        return self

    async def __anext__(self) -> Event:
        """The next event.

        Raises:
            ExecutionError: the run ended without an outcome, or asks for input that has ended on a
                server that cannot tell it so.
            ApiError, ConnectionFailed: the server failed, or could not be reached.
        """
        await trio.lowlevel.checkpoint()
        if not self._events:
            if self._channel.outcome is not None:
                raise StopAsyncIteration
            self._events.extend(await self._channel.receive())
        event = self._events.popleft()
        self._asked = isinstance(event, InputRequest)
        return event

    async def send_input(self, line: str | None) -> None:
        """Answer an `InputRequest`.

        Args:
            line: the text without its newline, or None for end of input.

        Raises:
            LocalProtocolError: the last event was no `InputRequest`; see `send_stdin`.
        """
        if not self._asked:
            raise LocalProtocolError(
                "the program does not wait for input; to type ahead, use send_stdin"
            )
        self._asked = False
        if line is None:
            await self._channel.end_input()
        else:
            await self._channel.type(line.encode("utf-8", "surrogateescape") + b"\n")

    async def send_stdin(self, data: bytes) -> None:
        """Type, whether or not the program waits for it.

        On our own gateway bytes reach the program at once; elsewhere they are kept here and given
        line by line when it asks. Waits while the program is far behind.

        Cancellation: a part of the data may have been typed.
        """
        await self._channel.type(data)

    async def close_stdin(self) -> None:
        """End the program's standard input; may be repeated."""
        await self._channel.end_input()

    async def resize(self, rows: int, columns: int) -> None:
        """Set the size of the program's terminal, in characters; see `TrioKernel.execute`."""
        await self._channel.resize(rows, columns)

    async def interrupt(self) -> None:
        """Interrupt the code, as Ctrl-C would; the run goes on until its `Finished` event."""
        questions = self._channel.questions
        if not await self._channel.interrupt():
            await _interrupt(self._client, self._token, self.run_id)
        self._channel.interrupted(questions)

    def abandon(self) -> None:
        """Let the end of the block not wait for the code: its kernel is about to be destroyed."""
        self._abandoned = True

    async def _stop(self) -> None:
        if not self._abandoned and self._channel.begun and self._channel.outcome is None:
            channel = self._channel
            self._stopped = await _stop(self._client, self._token, self.run_id, channel)


async def execute(client: Client, token: str, first: ExecuteRequest) -> ExecuteReply:
    """Run code until it needs the caller: until it ends, or asks for input.

    It goes by long polls, which every server has, and of which a short run needs but one. All
    output is held in memory; `open_execution` is for more than that.

    Args:
        client: where.
        token: the kernel's.
        first: the run's first request, or one that goes on with it (``input``, ``continue``).

    Returns:
        The last reply, with all that was printed since `first`.

    Cancellation:
        Interrupts the code, and waits for its end, for the grace time at most.
    """
    state = RunState(_raw(client, first))
    path = client.era.session_path(token)
    console: list[tuple[str, Any]] = []
    try:
        while True:
            body = state.request().encode()
            answer = await client.call(
                Request("POST", path, (), body, JSON), answer_seconds=POLL_SECONDS
            )
            reply = ExecuteReply.decode(answer.body)
            state.feed(reply)
            console += reply.console
            if state.outcome is not None or state.waiting:
                return ExecuteReply(
                    reply.status,
                    state.run_id or "",
                    joined(console),
                    reply.exit_code,
                    reply.options,
                )
    except BaseException as exc:
        # A refusal has started nothing; whatever else went wrong, code may run.
        if not (isinstance(exc, ApiError) and exc.status < 500):
            await _stop(client, token, state.run_id)  # noqa: ASYNC102 (it has a shield)
        raise


@asynccontextmanager
async def open_execution(
    client: Client, token: str, first: ExecuteRequest
) -> AsyncIterator[Execution]:
    """A run that is interrupted in the kernel when the block ends before the code does.

    Running out of grace is reported as a `RuntimeWarning` that names kernel and run.
    """
    async with open_channel(client, token, _raw(client, first)) as channel:
        run = Execution(client, token, channel)
        try:
            yield run
        finally:
            await run._stop()  # noqa: ASYNC102 (it has a shield)


def _raw(client: Client, first: ExecuteRequest) -> ExecuteRequest:
    """Ask for output byte by byte where the server can give it."""
    return replace(first, raw_console=True) if client.has(RAW_CONSOLE) else first


async def _interrupt(client: Client, token: str, run_id: str | None) -> None:
    request = Request("POST", client.era.session_path(token, "interrupt"))
    if client.has(INTERRUPT_RUN):
        body = encode_json({"runId": run_id, "run_id": run_id})
        request = replace(request, body=body, content_type=JSON)
    await client.call(request)


async def _stop(
    client: Client, token: str, run_id: str | None, channel: Channel | None = None
) -> Finished | TimedOut | None:
    """Interrupt what runs, and wait until it has ended; output that comes is dropped.

    All of it goes over plain HTTP: a cancellation has just killed the reader of any WebSocket. A
    failure is a warning, since what ended the run's block is the error to report.

    Args:
        client: where.
        token: the kernel's.
        run_id: the run's.
        channel: what it was followed by, if it may wait for an answer.

    Returns:
        How the run ended, None where nobody tells.
    """
    left = f"it did not stop within {client.config.grace_seconds:g} s"
    asked = channel is not None and channel.asked
    with trio.move_on_after(client.config.grace_seconds, shield=True):
        try:
            for _ in range(_INTERRUPT_ATTEMPTS):
                await _interrupt(client, token, run_id)
                if channel is not None:
                    channel.interrupted(channel.questions)
                # Without an id nobody can be asked; the end of its socket interrupts it again.
                if run_id is None:
                    return None
                if (outcome := await _outcome(client, token, run_id, asked=asked)) is not None:
                    return outcome
                asked = True
            left = "it asks for input again and again"
        except NotFound:
            return None  # its kernel has gone, and took it along
        except BackendError as exc:
            left = str(exc)
    warnings.warn(
        f"{f'run {run_id}' if run_id else 'a run'} in kernel {token} may still go on, "
        f"not stopped: {left}",
        RuntimeWarning,
        stacklevel=4,
    )
    return None


async def _outcome(
    client: Client, token: str, run_id: str, *, asked: bool
) -> Finished | TimedOut | None:
    """Wait until a run has ended; None if it asks for input (it may catch the interruption).

    Args:
        client: where.
        token: the kernel's.
        run_id: the run's.
        asked: it waited for an answer when it was interrupted; a manager's kernel still does, and
            gets an empty one.
    """
    void = asked and not client.has(INTERRUPT_RUN)
    state = RunState(ExecuteRequest("input" if void else "continue", run_id))
    path = client.era.session_path(token)
    while state.outcome is None and not state.waiting:
        reply = await client.call(Request("POST", path, (), state.request().encode(), JSON))
        state.feed(ExecuteReply.decode(reply.body))
    return state.outcome
