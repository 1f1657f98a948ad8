"""A run of code in a kernel, seen as a stream of events with a standard input."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import trio

from .channels import Channel, open_channel
from .errors import BackendError, LocalProtocolError, NotFound
from .transport.client import Client
from .transport.connection import Connection
from .wire.execution import (
    INTERRUPT_RUN,
    RAW_CONSOLE,
    Event,
    ExecuteReply,
    ExecuteRequest,
    Finished,
    InputRequest,
    RunState,
    TimedOut,
)
from .wire.fields import encode_json
from .wire.http import JSON, Request

__all__ = ["Execution", "open_execution"]

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
    def connection(self) -> Connection:
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
        if not await self._channel.interrupt():
            await self._interrupt_over_http()

    async def _interrupt_over_http(self) -> None:
        path = self._client.era.session_path(self._token, "interrupt")
        request = Request("POST", path)
        if self._client.has(INTERRUPT_RUN):
            body = encode_json({"runId": self.run_id, "run_id": self.run_id})
            request = Request("POST", path, (), body, JSON)
        await self._client.call(request)
        self._channel.interrupted()

    def abandon(self) -> None:
        """Let the end of the block not wait for the code: its kernel is about to be destroyed."""
        self._abandoned = True

    async def _stop(self) -> str | None:
        """Interrupt what runs and wait until it has ended; output that comes is dropped.

        All of it goes over plain HTTP: a cancellation has just killed the reader of any WebSocket.

        Returns:
            Why that failed, None if it did not. It is no exception, since what ended the block is
            the error to report, and a broken connection breaks this as well.
        """
        if self._abandoned or not self._channel.begun or self._channel.outcome is not None:
            return None
        try:
            for _ in range(_INTERRUPT_ATTEMPTS):
                await self._interrupt_over_http()
                # Without an id nobody can be asked; the end of its socket interrupts it again.
                if self.run_id is None or await self._has_ended(self.run_id):
                    return None
        except NotFound:
            return None  # its kernel has gone, and took it along
        except BackendError as exc:
            return str(exc)
        return "it asks for input again and again"

    async def _has_ended(self, run_id: str) -> bool:
        """Wait until the run has ended, or asks for input (it may catch the interruption)."""
        state = RunState(ExecuteRequest("continue", run_id))
        path = self._client.era.session_path(self._token)
        while state.outcome is None and not state.waiting:
            body = state.request().encode()
            reply = await self._client.call(Request("POST", path, (), body, JSON))
            state.feed(ExecuteReply.decode(reply.body))
        self._stopped = state.outcome
        return self._stopped is not None


@asynccontextmanager
async def open_execution(
    client: Client, token: str, first: ExecuteRequest
) -> AsyncIterator[Execution]:
    """A run that is interrupted in the kernel when the block ends before the code does.

    Running out of grace is reported as a `RuntimeWarning` that names kernel and run.
    """
    first = replace(first, raw_console=client.has(RAW_CONSOLE))
    async with open_channel(client, token, first) as channel:
        run = Execution(client, token, channel)
        try:
            yield run
        finally:
            left: str | None = f"it did not stop within {client.config.grace_seconds:g} s"
            with trio.move_on_after(client.config.grace_seconds, shield=True):
                left = await run._stop()
            if left is not None:
                warnings.warn(
                    f"run {run.run_id} in kernel {token} may still go on, not stopped: {left}",
                    RuntimeWarning,
                    stacklevel=3,
                )
