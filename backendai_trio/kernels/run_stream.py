"""What the ways have in common that a run may travel: by polls, a manager's WebSocket, or ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import trio

from ..errors import ExecutionError, LocalProtocolError
from ..transport.client import Client
from ..transport.connection_state import ConnectionState
from ..wire.execution import INTERRUPT_RUN
from ..wire.http import JSON, Request
from ..wire.json_fields import encode_json
from ..wire.line_buffer import LineBuffer
from ..wire.run_events import Event, Finished, InputRequest, TimedOut

__all__ = ["STOP_ATTEMPTS", "AskedInput", "RunStream", "end_of_input_error", "interrupt_kernel"]

STOP_ATTEMPTS = 3
"""How many interrupts a run gets that asks for input after each of them."""
_INPUT_BYTES = 256 * 1024


class RunStream(Protocol):
    """The two-way stream of a run: events come out, input goes in.

    Attributes:
        run_id: the run's id on the server; None where the server keeps it to itself.
        outcome: how the run ended; None until that was received.
        connection: whether the connection is up.
        begun: whether the code may run, or have run: the server was asked to, and did not refuse.
        asks: whether a question that was received is open: it was not answered with a line or the
            end of input, and no interrupt has ended it.
    """

    @property
    def run_id(self) -> str | None: ...

    @property
    def outcome(self) -> Finished | TimedOut | None: ...

    @property
    def connection(self) -> ConnectionState: ...

    @property
    def begun(self) -> bool: ...

    @property
    def asks(self) -> bool: ...

    async def receive(self) -> Sequence[Event]:
        """The next events, at least one; not to be called after the outcome.

        At a question, a stream that gives input when the program asks waits until there is some.

        Cancellation: loses nothing.
        """

    async def send_stdin(self, data: bytes) -> None:
        """Send input to the program; waits while it is far behind."""

    async def close_stdin(self) -> None:
        """End the program's input."""

    async def resize(self, rows: int, columns: int) -> None:
        """Set the size of the program's terminal, in characters."""

    async def interrupt(self) -> None:
        """Interrupt the code. A question that is open is over then."""

    async def stop(self) -> Finished | TimedOut | None:
        """Interrupt the code if it may run, and wait until it has ended; its output is dropped.

        Works also when the tasks around have been cancelled. The caller shields and bounds it.

        Returns:
            How the run ended; None where the server does not say.

        Raises:
            ExecutionError: the code asks for input after each interrupt.
            ApiError, ConnectionFailed: the server failed, or could not be reached.
        """


async def interrupt_kernel(client: Client, address: str, run_id: str | None) -> None:
    """Interrupt the code that runs in a kernel.

    Args:
        client: of the kernel's server.
        address: the kernel's token or id.
        run_id: the run that is meant. Servers without `INTERRUPT_RUN` interrupt whatever runs.
    """
    request = Request("POST", client.era.session_path(address, "interrupt"))
    if client.has(INTERRUPT_RUN):
        body = encode_json({"runId": run_id, "run_id": run_id})
        request = replace(request, body=body, content_type=JSON)
    await client.call(request)


class AskedInput:
    """Input that waits here until the program asks for it, line by line.

    Attributes:
        questions: how many were asked.
        void: whether the last question was ended by an interrupt.
    """

    def __init__(self) -> None:
        self.questions = 0
        self.void = False
        self._lines = LineBuffer()
        self._changed = trio.lowlevel.ParkingLot()
        self._over = False

    @property
    def has_answer(self) -> bool:
        """Whether the last question needs no answer any more, or has one that waits here."""
        return self.void or self._lines.has_line

    async def send_stdin(self, data: bytes) -> None:
        """See `RunStream.send_stdin`."""
        await trio.lowlevel.checkpoint()
        self._lines.put(data)
        self._changed.unpark_all()
        while len(self._lines) > _INPUT_BYTES and not self._over:
            await self._changed.park()

    async def close_stdin(self) -> None:
        """See `RunStream.close_stdin`."""
        await trio.lowlevel.checkpoint()
        self._lines.end()
        self._changed.unpark_all()

    async def resize(self, rows: int, columns: int) -> None:
        """See `RunStream.resize`."""
        await trio.lowlevel.checkpoint()
        raise LocalProtocolError("programs have no terminal on this server; use open_terminal")

    def asked(self, events: list[Event]) -> list[Event]:
        """The program asks. The events without the question if its answer was typed ahead."""
        assert isinstance(events[-1], InputRequest)
        self.questions += 1
        self.void = False
        return events[:-1] if self._lines.has_line else events

    def void_question(self) -> None:
        """An interrupt has ended the open question; its answer is an empty line."""
        self.void = True
        self._changed.unpark_all()

    def end(self) -> None:
        """The run is over: nobody will read what is typed."""
        self._over = True
        self._changed.unpark_all()

    async def line(self) -> str | None:
        """The answer to the open question, without its newline; None at the end of input.

        Nothing that was typed is lost to a question that an interrupt has ended.
        """
        await trio.lowlevel.checkpoint()
        while not self.has_answer:
            await self._changed.park()
        if self.void:
            return ""
        line = self._lines.line()
        self._changed.unpark_all()
        return None if line is None else line.decode("utf-8", "surrogateescape").removesuffix("\n")


def end_of_input_error() -> ExecutionError:
    """What a run raises whose input has ended, on a server that cannot tell its program so."""
    return ExecutionError(
        "the program asks for input, there is none left, and this server cannot tell it so; "
        "interrupt the run, or give it more input"
    )
