"""A run over long polls, which every server has (docs/protocol.md, section 4)."""

from __future__ import annotations

from types import TracebackType
from typing import Self

import trio

from ..errors import ApiError, BackendError, ExecutionError
from ..transport.client import Client
from ..transport.connection_state import ConnectionState
from ..transport.pending_call import PendingCall
from ..wire.execution import INTERRUPT_RUN, STDIN_EOF, ExecuteReply, ExecuteRequest
from ..wire.http import JSON, Request
from ..wire.run_events import Event, Finished, TimedOut
from ..wire.run_state import RunState
from .run_stream import STOP_ATTEMPTS, AskedInput, end_of_input_error, interrupt_kernel

__all__ = ["open_poll_run"]


class open_poll_run(AskedInput):
    """A run followed by polls, for a block; see `RunStream`.

    A poll that is still under way at the block's end is given up.

    A poll that is under way is never broken off: its answer holds output that is handed out once,
    perhaps the run's end, and a manager whose poll is broken off keeps the kernel busy for good
    (docs/protocol.md, section 4.3). So a poll outlives the call that waits for it.

    Args:
        client: of the kernel's server.
        address: the kernel's token or id.
        first: the run's first request, or one that goes on with it (``input``, ``continue``).
    """

    def __init__(self, client: Client, address: str, first: ExecuteRequest) -> None:
        super().__init__()
        self.connection = ConnectionState()
        self._client = client
        self._address = address
        self._path = client.era.session_path(address)
        self._state = RunState(first)
        self._poll: PendingCall | None = None
        self._lost = False
        self._refused = False
        self._answered = self._state.begun
        self._interrupt_held = False

    @property
    def run_id(self) -> str | None:
        """The run's id; None until the server has chosen one."""
        return self._state.run_id

    @property
    def outcome(self) -> Finished | TimedOut | None:
        """How the run ended; None until that was received."""
        return self._state.outcome

    @property
    def begun(self) -> bool:
        """See `RunStream.begun`."""
        return self._state.begun and not self._refused

    @property
    def asks(self) -> bool:
        """See `RunStream.asks`."""
        return self._state.waiting and not self.has_answer

    async def receive(self) -> list[Event]:
        """See `RunStream.receive`."""
        if self._lost:
            await trio.lowlevel.checkpoint()
            raise ExecutionError(
                f"a poll of run {self.run_id} failed, and the output in its answer is lost"
            )
        events: list[Event] = []
        while not events:
            if self._state.waiting:
                await self._answer()
            events = await self._next_events()
            if self._state.waiting:
                events = self.asked(events)
        return events

    async def interrupt(self) -> None:
        """See `RunStream.interrupt`."""
        if self._client.era.interrupts_need_code and not self._answered:
            self._interrupt_held = True  # until the first answer says that the code was handed over
            await trio.lowlevel.checkpoint()
        else:
            await self._interrupt()

    async def _interrupt(self) -> None:
        self._interrupt_held = False
        questions = self.questions
        await interrupt_kernel(self._client, self._address, self.run_id)
        if questions == self.questions and self._state.waiting:
            # What reads answers in a manager's kernel is not what was interrupted: it waits all the
            # same, and gets an empty line. Our own gateway drops the question.
            self._state.interrupted(keeps_asking=not self._client.has(INTERRUPT_RUN))
            self.void_question()

    async def stop(self) -> Finished | TimedOut | None:
        """See `RunStream.stop`."""
        if not self.begun:
            await trio.lowlevel.checkpoint()
            return None
        if self._lost:
            # To repeat the request whose answer was lost could start the code again.
            self._state.interrupted()
        for _ in range(STOP_ATTEMPTS):
            overtaking = not self._answered
            await self.interrupt()
            while self._state.outcome is None and not self._state.waiting:
                await self._next_events()
                if overtaking and self._state.outcome is None:
                    # The interrupt may have come before the first request, and have hit nothing.
                    overtaking = False
                    await self.interrupt()
            if self._state.outcome is not None:
                return self._state.outcome
            self.questions += 1
        raise ExecutionError("it asks for input after each interrupt")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: object, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give up a poll that is still under way."""
        if self._poll is not None:
            self._poll.close()

    async def _next_events(self) -> list[Event]:
        if self._interrupt_held and self._answered:
            await self._interrupt()
        if self._poll is None:
            request = Request("POST", self._path, (), self._state.request().encode(), JSON)
            limit = self._client.limits.poll_seconds
            self._poll = self._client.start_call(request, head_seconds=limit)
        try:
            reply = await self._poll.wait()
            events = self._state.feed(ExecuteReply.decode(reply.body))
        except BackendError as exc:
            self._poll = None
            if isinstance(exc, ApiError) and exc.status < 500:  # it has brought nothing
                self._refused = not self._answered
            else:
                self._lost = True
            raise
        self._poll, self._answered = None, True
        if self._state.outcome is not None:
            self.end()
        return events

    async def _answer(self) -> None:
        line = await self.line()
        if not self._state.waiting:
            return  # an interrupt has answered
        if line is None and not self._client.has(STDIN_EOF):
            raise end_of_input_error()
        self._state.answer(line)
