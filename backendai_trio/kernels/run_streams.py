"""The ways a run's messages travel: polls, a manager's WebSocket, or a resumable stream.

Which one is taken is negotiated (`open_channel`); a run looks the same over each.
"""

from __future__ import annotations

import codecs
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Protocol

import trio

from ..errors import (
    ApiError,
    ConnectionFailed,
    ExecutionError,
    LocalProtocolError,
    RemoteProtocolError,
)
from ..transport.client import Client
from ..transport.connection_state import ConnectionState
from ..transport.proxied import takes_tunnels
from ..transport.resumable import ResumableStream, open_resumable
from ..transport.websocket import CLOSE_SECONDS, ConnectionClosed, WebSocket
from ..transport.websocket_connect import open_websocket
from ..wire.execution import (
    INTERRUPT_RUN,
    STDIN_EOF,
    BuildFinished,
    CleanFinished,
    Event,
    ExecuteReply,
    ExecuteRequest,
    Finished,
    InputRequest,
    RunState,
    Stderr,
    Stdout,
    TimedOut,
)
from ..wire.http import JSON, Request
from ..wire.line_buffer import LineBuffer
from ..wire.manager_streams import decode_reply, encode_start
from ..wire.resumable import RESUMABLE_STREAMS, Output

__all__ = ["POLL_SECONDS", "Channel", "open_channel"]

# One poll comes back after about 2 s; a manager may wait up to 300 s for its agent (section 4.3).
POLL_SECONDS = 330.0
_INPUT_BYTES = 256 * 1024


class Channel(Protocol):
    """A run's connection to its kernel."""

    @property
    def outcome(self) -> Finished | TimedOut | None:
        """How the run ended; None until that was received."""

    @property
    def run_id(self) -> str | None:
        """The run's id on the server."""

    @property
    def begun(self) -> bool:
        """Whether the code may run, and nobody else stops it when we go."""

    @property
    def connection(self) -> ConnectionState:
        """Whether the connection is there."""

    @property
    def asked(self) -> bool:
        """Whether the server waits for the answer to a question."""

    @property
    def questions(self) -> int:
        """How many questions were received."""

    async def receive(self) -> list[Event]:
        """The next events, at least one; not to be called after the outcome."""

    async def type(self, data: bytes) -> None:
        """Input for the program; waits while too much was not read."""

    async def end_input(self) -> None:
        """No more input will come."""

    async def resize(self, rows: int, columns: int) -> None:
        """Set the size of the program's terminal."""

    async def interrupt(self) -> bool:
        """Tell the code to stop; False where that has to go another way."""

    def interrupted(self, questions: int) -> None:
        """The code was told to stop, another way, when so many questions had been received."""


@asynccontextmanager
async def open_channel(client: Client, token: str, first: ExecuteRequest) -> AsyncIterator[Channel]:
    """Connect a new run to its kernel by the best way that the server has."""
    path = client.era.stream_path(token, "execute")
    if not takes_tunnels(client.config):
        yield _PollChannel(client, token, first)
    elif client.has(RESUMABLE_STREAMS):
        again = ExecuteRequest("continue", first.run_id)
        messages = {"first": _text(first), "again": _text(again)}
        async with open_resumable(client, path, **messages) as stream:
            yield _ResumableChannel(stream, first)
    elif client.era.streams_executions:
        async with open_websocket(client, path) as socket:
            channel = _SocketChannel(socket)
            await socket.send_message(encode_start(first))
            try:
                yield channel
            finally:
                await channel.leave()  # noqa: ASYNC102 (it is shielded, and bounded)
    else:
        yield _PollChannel(client, token, first)


class _ResumableChannel:
    """Our own gateway: input and output flow by themselves, and survive a broken connection."""

    def __init__(self, stream: ResumableStream, first: ExecuteRequest) -> None:
        self.outcome: Finished | TimedOut | None = None
        self.run_id = first.run_id
        self.begun = True
        self.connection = stream.connection
        self.asked, self.questions = False, 0  # the gateway waits for nothing
        self._interrupts = 0
        self._stream = stream
        # Incremental: a character may be cut by the frames it came in.
        decoder = codecs.getincrementaldecoder("utf-8")
        self._decoders = {kind: decoder("surrogateescape") for kind in ("stdout", "stderr")}

    async def receive(self) -> list[Event]:
        while True:
            try:
                message = await self._stream.receive()
            except (trio.EndOfChannel, ConnectionFailed) as exc:
                raise ExecutionError(
                    f"run {self.run_id} has no outcome: {str(exc) or 'the server ended its stream'}"
                ) from exc
            if isinstance(message, Output):
                text = self._decoders[message.kind].decode(message.data)
                if text:
                    return [_output(message.kind, text)]
            else:
                return self._mark(message.fields)

    async def type(self, data: bytes) -> None:
        await self._stream.send(data)

    async def end_input(self) -> None:
        await self._stream.send_eof()

    async def resize(self, rows: int, columns: int) -> None:
        await self._stream.control({"resize": [rows, columns]}, keep=True)

    async def interrupt(self) -> bool:
        # Counted: when it is repeated after a reconnect, the code is not interrupted again.
        self._interrupts += 1
        await self._stream.control({"interrupts": self._interrupts}, keep=True)
        return True

    def interrupted(self, questions: int) -> None:
        pass

    def _mark(self, fields: Mapping[str, Any]) -> list[Event]:
        code = fields.get("exit_code")
        match fields.get("status"):
            case "waiting-input":
                return [InputRequest(fields.get("is_password") is True)]
            case "build-finished":
                return [BuildFinished(code)]
            case "clean-finished":
                return [CleanFinished(code)]
            case "finished" if code is None or isinstance(code, int):
                rest = {kind: d.decode(b"", final=True) for kind, d in self._decoders.items()}
                self.outcome = Finished(code)
                self._stream.discard_input()
                return [*(_output(kind, text) for kind, text in rest.items() if text), self.outcome]
        raise RemoteProtocolError(f"stream: unknown mark {dict(fields)!r}")


class _AskedChannel:
    """What the others share: input waits here until the program asks for it, line by line."""

    def __init__(self) -> None:
        self.connection = ConnectionState()
        self._typed = LineBuffer()
        self._room = trio.lowlevel.ParkingLot()
        self.questions = 0
        self._void = False
        self._ended = False

    async def type(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        self._typed.put(data)
        self._room.unpark_all()
        while len(self._typed) > _INPUT_BYTES and not self._ended:
            await self._room.park()

    async def end_input(self) -> None:
        await trio.lowlevel.checkpoint()
        self._typed.end()
        self._room.unpark_all()

    async def resize(self, rows: int, columns: int) -> None:
        raise LocalProtocolError("programs have no terminal on this server; use open_terminal")

    async def interrupt(self) -> bool:
        await trio.lowlevel.checkpoint()
        return False

    def interrupted(self, questions: int) -> None:
        # A question that came since is one of code that minds no interruption.
        if questions == self.questions:
            self._void = True
            self._room.unpark_all()

    def _told(self, events: list[Event], state: RunState) -> list[Event]:
        """What is to be told of the events that came. A question is the last of them, and is not
        told if the answer was typed ahead."""
        if state.waiting:
            self.questions += 1
            self._void = False
            if self._typed.has_line:
                events = events[:-1]
        elif state.outcome is not None:
            self._ended = True
            self._room.unpark_all()
        return events

    async def _line(self) -> str | None:
        """The next line, without its newline; None at the end of input.

        An interruption ends the question: then it is empty, and nothing typed is lost.
        """
        while not (self._void or self._typed.has_line):
            await self._room.park()
        if self._void:
            return ""
        line = self._typed.line()
        self._room.unpark_all()
        return None if line is None else line.decode("utf-8", "surrogateescape").removesuffix("\n")


class _PollChannel(_AskedChannel):
    """Long polls over HTTP: every server has them (contract section 4)."""

    def __init__(self, client: Client, token: str, first: ExecuteRequest) -> None:
        super().__init__()
        self._client = client
        self._path = client.era.session_path(token)
        self._state = RunState(first)
        self._lost = False

    @property
    def outcome(self) -> Finished | TimedOut | None:
        return self._state.outcome

    @property
    def run_id(self) -> str | None:
        return self._state.run_id

    @property
    def begun(self) -> bool:
        return self._state.begun

    @property
    def asked(self) -> bool:
        return self._state.asked

    async def receive(self) -> list[Event]:
        if self._lost:
            raise ExecutionError(
                f"a poll of run {self.run_id} was given up, and what it would have brought is lost"
            )
        events: list[Event] = []
        while not events:
            if self._state.waiting:
                await self._answer()
            body = self._state.request().encode()
            # Until there is a reply: servers hand out output once, and to repeat a first request
            # would start the code again on managers (section 4.5).
            self._lost = True
            try:
                reply = await self._client.call(
                    Request("POST", self._path, (), body, JSON), answer_seconds=POLL_SECONDS
                )
            except ApiError as exc:
                self._lost = exc.status >= 500  # what was refused has brought nothing
                raise
            self._lost = False
            events = self._told(self._state.feed(ExecuteReply.decode(reply.body)), self._state)
        return events

    def interrupted(self, questions: int) -> None:
        forgets = self._client.has(INTERRUPT_RUN)
        if forgets:
            # Our gateway drops an open question, and a new one comes again with the next poll.
            questions = self.questions
        if questions == self.questions:
            self._state.interrupted(keeps_asking=not forgets)
        super().interrupted(questions)

    async def _answer(self) -> None:
        line = await self._line()
        if not self._state.waiting:
            return  # interrupted
        if line is None and not self._client.has(STDIN_EOF):
            raise _no_end_of_input()
        self._state.answer(line)


class _SocketChannel(_AskedChannel):
    """A manager's streaming execution (contract section 6.2). It cannot be resumed."""

    def __init__(self, socket: WebSocket) -> None:
        super().__init__()
        self.outcome: Finished | TimedOut | None = None
        self.run_id: str | None = None
        # A run that nobody has told of may wait for its turn (section 4.3): to interrupt the kernel
        # would hit another. The manager does so itself when it has its turn and finds us gone.
        self.begun = False
        self._socket = socket
        self.asked = False

    async def receive(self) -> list[Event]:
        events: list[Event] = []
        while not events:
            try:
                if self.asked:
                    await self._answer()
                frame = await self._socket.get_message()
            except ConnectionClosed as exc:
                raise ExecutionError(
                    f"the stream ended before the run did ({exc.reason}); output may be missing"
                ) from exc
            # A fresh state for each message: the run's id is private to the socket.
            state = RunState(ExecuteRequest("query", "socket"))
            self.begun = True
            events = self._told(state.feed(decode_reply(frame)), state)
            self.asked = state.waiting
            self.outcome = state.outcome
        return events

    async def _answer(self) -> None:
        # Also a question that an interruption has ended: before that is answered, the manager does
        # not tell how the run goes on.
        line = await self._line()
        if line is None:
            raise _no_end_of_input()
        self.asked = False
        await self._socket.send_message(line)

    async def leave(self) -> None:
        """Answer what was asked when the code was interrupted: the kernel still waits for it."""
        if self.asked and self._void:
            with trio.move_on_after(CLOSE_SECONDS, shield=True):
                try:
                    await self._socket.send_message("")
                except ConnectionClosed:
                    pass


def _text(request: ExecuteRequest) -> str:
    return request.encode().decode("ascii")


def _output(kind: str, text: str) -> Event:
    return Stdout(text) if kind == "stdout" else Stderr(text)


def _no_end_of_input() -> ExecutionError:
    return ExecutionError(
        "the program asks for input, there is none left, and this server cannot tell it so; "
        "interrupt the run, or give it more input"
    )
