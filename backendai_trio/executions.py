"""A run of code in a kernel, seen as a stream of events."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import trio

from .errors import BackendError, ExecutionError
from .transport.client import Client
from .wire.execution import (
    INTERRUPT_RUN,
    RAW_CONSOLE,
    STDIN_EOF,
    Event,
    ExecuteReply,
    ExecuteRequest,
    Finished,
    RunState,
    TimedOut,
)
from .wire.fields import encode_json
from .wire.http import JSON, Request

__all__ = ["Execution", "open_execution"]

# One poll comes back after about 2 s; a manager may wait up to 300 s for its agent (section 4.3).
_POLL_SECONDS = 330.0
_INTERRUPT_ATTEMPTS = 3


class Execution:
    """A run in progress: iterate over it for its events, answer its questions.

    The last event is always `Finished` or `TimedOut`; a run that ends in any other way raises.
    One task iterates. `interrupt` may be called from any task.
    """

    def __init__(self, client: Client, token: str, first: ExecuteRequest) -> None:
        self._client = client
        self._token = token
        self._state = RunState(replace(first, raw_console=client.has(RAW_CONSOLE)))
        self._events: deque[Event] = deque()
        self._started = False

    @property
    def run_id(self) -> str | None:
        """The run's id on the server."""
        return self._state.run_id

    @property
    def outcome(self) -> Finished | TimedOut | None:
        """How the run ended; None until its last event was received."""
        return self._state.outcome

    def __aiter__(self) -> Execution:
        return self

    async def __anext__(self) -> Event:
        """The next event.

        Raises:
            LocalProtocolError: the last one was an `InputRequest` that has not been answered.
            ExecutionError: the server does not know the run any more.
            ApiError, ConnectionFailed: the server failed, or could not be reached.
        """
        await trio.lowlevel.checkpoint()
        while not self._events:
            if self._state.outcome is not None:
                raise StopAsyncIteration
            await self._exchange()
        return self._events.popleft()

    async def send_input(self, line: str | None) -> None:
        """Answer an `InputRequest`; the answer travels with the next event that is awaited.

        Args:
            line: the text without its newline, or None for end of input.

        Raises:
            LocalProtocolError: the program does not wait for input.
            ExecutionError: end of input, on a server that has no way to tell a program so.
        """
        await trio.lowlevel.checkpoint()
        if line is None and not self._client.has(STDIN_EOF):
            raise ExecutionError(
                "the program asks for input, there is none left, and this server cannot tell it "
                "so; interrupt the run or give it more input"
            )
        self._state.answer(line)

    async def interrupt(self) -> None:
        """Interrupt the code, as Ctrl-C would; the run goes on until its `Finished` event."""
        path = self._client.era.session_path(self._token, "interrupt")
        request = Request("POST", path)
        if self._client.has(INTERRUPT_RUN):
            body = encode_json({"runId": self.run_id, "run_id": self.run_id})
            request = Request("POST", path, (), body, JSON)
        await self._client.call(request)
        self._state.interrupted()

    async def _exchange(self) -> None:
        """One request, one reply."""
        path = self._client.era.session_path(self._token)
        body = self._state.request().encode()
        self._started = True
        reply = await self._client.call(
            Request("POST", path, (), body, JSON), answer_seconds=_POLL_SECONDS
        )
        self._events.extend(self._state.feed(ExecuteReply.decode(reply.body)))

    async def _stop(self) -> None:
        """Interrupt what runs and poll until it has ended; output that comes is dropped."""
        if not self._started or self._state.outcome is not None:
            return
        for _ in range(_INTERRUPT_ATTEMPTS):
            # A program may catch the interrupt and ask for input again.
            await self.interrupt()
            while self._state.outcome is None and not self._state.waiting:
                await self._exchange()
            if self._state.outcome is not None:
                return


@asynccontextmanager
async def open_execution(
    client: Client, token: str, first: ExecuteRequest
) -> AsyncIterator[Execution]:
    """A run that is interrupted in the kernel when the block ends before the code does.

    Running out of grace is reported as a `RuntimeWarning` that names kernel and run.
    """
    run = Execution(client, token, first)
    try:
        yield run
    finally:
        with trio.move_on_after(client.config.grace_seconds, shield=True) as grace:
            try:
                await run._stop()
            except BackendError as exc:
                # What ended the block is the error to report; a broken connection breaks this too.
                warnings.warn(
                    f"run {run.run_id} in kernel {token} may still go on; interrupting it failed: "
                    f"{exc}",
                    RuntimeWarning,
                    stacklevel=2,
                )
        if grace.cancelled_caught:
            warnings.warn(
                f"run {run.run_id} in kernel {token} did not stop within "
                f"{client.config.grace_seconds:g} s of its interruption",
                RuntimeWarning,
                stacklevel=2,
            )
