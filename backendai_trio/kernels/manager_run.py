"""A run over a manager's WebSocket (docs/protocol.md, section 6.2)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from .._groups import one_error
from ..errors import ExecutionError
from ..transport.client import Client
from ..transport.connection_state import ConnectionState
from ..transport.websocket import ConnectionClosed, WebSocket
from ..transport.websocket_connect import open_websocket
from ..wire.execution import ExecuteRequest
from ..wire.manager_streams import decode_reply, encode_start
from ..wire.run_events import Event, Finished, TimedOut
from ..wire.run_state import RunState
from .run_stream import STOP_ATTEMPTS, AskedInput, end_of_input_error, interrupt_kernel
from .shields import finish_within

__all__ = ["ManagerRun", "open_manager_run"]

_NORMAL = 1000
"""Code of a WebSocket that was closed in order (RFC 6455, section 7.4.1)."""


class ManagerRun(AskedInput):
    """See `RunStream`. Made by `open_manager_run`. It cannot be resumed."""

    def __init__(self, client: Client, address: str, websocket: WebSocket) -> None:
        super().__init__()
        self.run_id: str | None = None
        self.outcome: Finished | TimedOut | None = None
        self.connection = ConnectionState()
        self.begun = True
        self._client = client
        self._address = address
        self._websocket = websocket
        self._waiting = False
        self._line: str | None = None
        """An answer that is not sent yet."""
        self._answered = False

    @property
    def asks(self) -> bool:
        """See `RunStream.asks`."""
        return self._waiting and not self.has_answer

    async def receive(self) -> list[Event]:
        """See `RunStream.receive`."""
        events: list[Event] = []
        while not events:
            try:
                await self._answer()
                events = await self._next_events()
            except ConnectionClosed as exc:
                raise ExecutionError(_explanation(exc)) from exc
            if self._waiting:
                events = self.asked(events)
        return events

    async def interrupt(self) -> None:
        """See `RunStream.interrupt`."""
        questions = self.questions
        await interrupt_kernel(self._client, self._address, None)
        if questions == self.questions and self._waiting:
            self.void_question()

    async def stop(self) -> Finished | TimedOut | None:
        """See `RunStream.stop`. Reads to the end: a manager whose client leaves before that keeps
        the kernel busy for good (docs/protocol.md, section 4.3)."""
        for _ in range(STOP_ATTEMPTS):
            overtaking = not self._answered
            await self.interrupt()
            try:
                while self.outcome is None and (self.void or not self._waiting):
                    await self._answer()
                    await self._next_events()
                    if overtaking and self.outcome is None:
                        # The interrupt may have come before the code began, and have hit nothing.
                        overtaking = False
                        await self.interrupt()
            except ConnectionClosed:
                return None  # the manager notices as well, and interrupts the run itself
            if self.outcome is not None:
                return self.outcome
            self.questions += 1
        raise ExecutionError("it asks for input after each interrupt")

    async def _next_events(self) -> list[Event]:
        frame = await self._websocket.get_message()
        self._answered = True
        # A fresh state for each message: the run's id is private to the WebSocket.
        state = RunState(ExecuteRequest("query", "websocket"))
        events = state.feed(decode_reply(frame))
        self._waiting = state.waiting
        self.outcome = state.outcome
        if self.outcome is not None:
            self.end()
        elif self._waiting:
            self.void = False
        return events

    async def _answer(self) -> None:
        """Answer the question that waits for it, and send an answer that was not sent."""
        if self._waiting:
            # Also a question that an interrupt has ended: until it is answered, the manager does
            # not say how the run goes on.
            line = await self.line()
            if line is None:
                raise end_of_input_error()
            self._line, self._waiting = line, False
        while self._line is not None:
            # Not to be cancelled half-way: a frame that is cut off ends the connection.
            with finish_within(self._client.config.grace_seconds):
                await self._websocket.send_message(self._line)
                self._line = None
            await trio.lowlevel.checkpoint_if_cancelled()


def _explanation(closed: ConnectionClosed) -> str:
    text = f"the stream ended before the run did ({closed.reason}); output may be missing"
    if closed.reason.code != _NORMAL:
        return text
    # Managers 23.09 to 26.9 fail so on HTML (docs/protocol.md, section 12.1).
    return (
        f"{text}. A manager does that when the code shows HTML, such as a table of pandas: print "
        "it as text. The kernel then runs nothing more, and has to be destroyed"
    )


@asynccontextmanager
async def open_manager_run(
    client: Client, address: str, first: ExecuteRequest
) -> AsyncIterator[ManagerRun]:
    """Start a run over a WebSocket, which stays open until the block has ended.

    Its tasks go on when the block is cancelled, so that `ManagerRun.stop` can read the run's end.

    Args:
        client: of the kernel's server.
        address: the kernel's token or id.
        first: the run's first request.

    Raises:
        ApiError: the server refused it.
        ConnectionFailed: it cannot be reached.
    """
    with one_error():
        async with trio.open_nursery() as nursery:
            websocket, scope = await nursery.start(_hold_websocket, client, address)
            try:
                scope.shield = True
                run = ManagerRun(client, address, websocket)
                await websocket.send_message(encode_start(first))
                yield run
            finally:
                scope.cancel()


async def _hold_websocket(
    client: Client,
    address: str,
    *,
    task_status: trio.TaskStatus[tuple[WebSocket, trio.CancelScope]],
) -> None:
    path = client.era.stream_path(address, "execute")
    with trio.CancelScope() as scope:
        async with open_websocket(client, path) as websocket:
            task_status.started((websocket, scope))
            await trio.sleep_forever()
