"""Resumable streams: two-way streams that survive a broken connection, without a gap."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import trio

from .._groups import one_error
from ..errors import BackendError, ConnectionFailed, RemoteProtocolError
from ..wire.resumable import (
    Ack,
    Control,
    EndOfInput,
    FromClient,
    InputSeen,
    Mark,
    Output,
    decode_from_server,
    encode_frame,
)
from .client import Client
from .connection_state import ConnectionState
from .resumable_input import CHUNK_BYTES, InputBuffer
from .retry import backoff, is_transient
from .silence import StreamLimits, drop_when_silent
from .websocket import CLOSE_SECONDS, ConnectionClosed, WebSocket
from .websocket_connect import connect_websocket

__all__ = ["ResumableStream", "StreamLimits", "open_resumable"]

_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 0.25
_ACK_BYTES = 128 * 1024
_NORMAL, _GOING_AWAY, _POLICY = 1000, 1001, 1008


class ResumableStream:
    """A two-way stream with positions. Made by `open_resumable`.

    One task receives; others may send meanwhile. A sender waits while the program has not read what
    was sent, and the program waits while what it wrote was not received.

    Attributes:
        position: how much output was received, marks included.
        connection: whether the connection is up.
        websocket: the current connection, or the last.
        limits: its time limits.
    """

    def __init__(
        self,
        nursery: trio.Nursery,
        client: Client,
        path: str,
        query: tuple[tuple[str, str], ...],
        first: str | None,
        again: str | None,
        is_new: bool,
        limits: StreamLimits,
    ) -> None:
        self.position = 0
        self.connection = ConnectionState()
        self._nursery = nursery
        self._client = client
        self._path = path
        self._query = query
        self._first = first
        self._again = again
        self._is_new = is_new
        self.limits = limits
        self.websocket: WebSocket | None = None
        self._acknowledged = 0
        self._input = InputBuffer()
        self._input_ended = False
        self._input_unwanted = False
        # Whether the server has told, on this connection, how much input it has, and was sent the
        # rest. Until then input is only kept.
        self._greeted = False
        self._state: dict[str, Any] = {}
        self._room = trio.lowlevel.ParkingLot()
        # When an outage has lasted for too long. A message over a new connection ends it.
        self._give_up_at: float | None = None
        # Between connections that break before they carry anything new.
        self._pauses: Iterator[float] | None = None
        self._closing = False
        self._reconnecting: trio.CancelScope | None = None

    async def receive(self) -> Output | Mark:
        """Receive the next output or mark.

        Raises:
            trio.EndOfChannel: the server has ended the stream.
            trio.ClosedResourceError: this side has closed it.
            ApiError: the server refused to go on with the stream.
            ConnectionFailed: the connection broke and did not come back in time
                (`StreamLimits.outage_seconds`), or the server closed the stream early.
            RemoteProtocolError: output is missing, or a message is malformed.

        Cancellation: loses nothing.
        """
        if self.position - self._acknowledged >= _ACK_BYTES:
            await self._acknowledge()
        while True:
            frame = await self._next_frame()
            if frame is None:
                with trio.CancelScope() as self._reconnecting:
                    await self._reconnect()
                self._reconnecting = None
                continue
            self.connection.set_back()
            self._give_up_at = None
            self._is_new = False
            message = decode_from_server(frame)
            if isinstance(message, InputSeen):
                await self._confirm_input(message.position)
                continue
            if message.end <= self.position:
                continue  # sent again after a reconnect
            if isinstance(message, Output):
                message = self._unseen_part(message)
            self.position = message.end
            self._pauses = None
            return message

    async def send(self, data: bytes) -> None:
        """Send input; waits while the program is far behind.

        Raises:
            trio.ClosedResourceError: the stream was closed meanwhile.

        Cancellation: a part of the data may have been sent.
        """
        if data and self._greeted:
            # Sending is a checkpoint itself, and each one delays the echo of a key. But a cancel
            # should come before a frame: within one it costs the connection.
            await trio.lowlevel.checkpoint_if_cancelled()
        else:
            await trio.lowlevel.checkpoint()
        view = memoryview(data)
        while view and not self._input_unwanted:
            while self._input.full and not self._input_unwanted:
                if self._closing:
                    raise trio.ClosedResourceError
                await self._room.park()
            message = self._input.append(bytes(view[:CHUNK_BYTES]))
            view = view[CHUNK_BYTES:]
            if self._greeted:
                await self._send(message)

    def discard_input(self) -> None:
        """The program has ended: `send` drops its data from now on, and no longer waits."""
        self._input_unwanted = True
        self._room.unpark_all()

    async def send_eof(self) -> None:
        """End the input; may be repeated."""
        self._input_ended = True
        if self._greeted:
            await self._send(EndOfInput(self._input.end))
        else:
            await trio.lowlevel.checkpoint()

    async def control(self, fields: Mapping[str, Any], *, keep: bool = False) -> None:
        """Send a message beside the stream.

        Args:
            fields: the message.
            keep: its fields describe a state, such as a window's size: the last of each is repeated
                after a reconnect. Any other message is lost if the connection breaks now.
        """
        if keep:
            self._state |= fields
        await self._send(Control(fields))

    # --- connection ------------------------------------------------------------------------------

    async def connect(self) -> None:
        """Connect, for the first time or again.

        Raises:
            ApiError: the server refused it.
            ConnectionFailed: it cannot be reached.
        """
        self._greeted = False
        query = (*self._query, ("position", str(self.position)))
        self.websocket = await connect_websocket(
            self._nursery,
            self._client,
            self._path,
            query=(*query, ("new", "1")) if self._is_new else query,
            answer_seconds=self.limits.answer_seconds,
            waits=self.connection.up,  # a lost one is replaced with pauses of its own
        )
        self._acknowledged = self.position
        # A server that knows the stream is not asked to begin it: if it has given the stream up, it
        # would begin anew.
        opening = self._first if self._is_new or not self._input.known else self._again
        if opening is not None:
            await self._send_frame(opening)
        if self._is_new:
            await self._confirm_input(0)
        if self._state:
            await self._send(Control(self._state))

    async def aclose(self) -> None:
        """Acknowledge what was received, and close; may be repeated. Bounded, also when cancelled.

        Calls of other tasks that wait raise `trio.ClosedResourceError`, or return.
        """
        self._closing = True
        self._room.unpark_all()
        if self._reconnecting is not None:
            self._reconnecting.cancel()
        # A cancellation also ends the reader, which the exchange of close frames needs.
        if trio.current_effective_deadline() > -math.inf:
            with trio.move_on_after(CLOSE_SECONDS, shield=True):
                await self._acknowledge()
                if self.websocket is not None:
                    await self.websocket.aclose()
        with trio.move_on_after(CLOSE_SECONDS, shield=True):
            await self._abort()

    async def _abort(self) -> None:
        """Drop the connection without a close frame."""
        if self.websocket is not None:
            await self.websocket.abort()

    async def _next_frame(self) -> str | bytes | None:
        """Receive a frame; None when the connection has broken.

        Raises:
            trio.EndOfChannel, ConnectionFailed, RemoteProtocolError: the server closed the stream.
        """
        assert self.websocket is not None
        try:
            return await self.websocket.get_message()
        except ConnectionClosed as exc:
            code, reason = exc.reason.code, exc.reason.reason or "without a reason"
        if self._closing:
            raise trio.ClosedResourceError
        if code == _NORMAL:
            raise trio.EndOfChannel
        if code == _GOING_AWAY:
            raise ConnectionFailed(f"the server closed the stream: {reason}")
        if code == _POLICY:
            raise RemoteProtocolError(f"the server refused the stream: {reason}")
        return None

    async def _reconnect(self) -> None:
        """Connect again: at once, and after growing pauses if that fails.

        There is also a pause, though a short one, when the last connection broke before it carried
        anything: a server that takes connections and breaks them is not asked in a tight loop.
        """
        self.connection.set_lost()
        await self._abort()
        now = trio.current_time()
        if self._give_up_at is None:
            self._give_up_at = now + self.limits.outage_seconds
        elif now > self._give_up_at:
            raise self._outage("the server breaks each new connection")
        if self._pauses is None:
            self._pauses = backoff(_FIRST_PAUSE, longest=_LONGEST_PAUSE)
        else:
            await trio.sleep(next(self._pauses))
        pauses = backoff(_FIRST_PAUSE)
        while True:
            try:
                await self.connect()
            except BackendError as exc:
                if not is_transient(exc, also={500}):
                    raise
                pause = next(pauses)
                if trio.current_time() + pause > self._give_up_at:
                    raise self._outage(exc) from exc
                await trio.sleep(pause)
            else:
                return

    def _outage(self, reason: object) -> ConnectionFailed:
        return ConnectionFailed(
            "the connection broke and did not come back within "
            f"{self.limits.outage_seconds:g} s; output may be missing ({reason})"
        )

    # --- messages --------------------------------------------------------------------------------

    def _unseen_part(self, output: Output) -> Output:
        """The part of an output that was not received before.

        Raises:
            RemoteProtocolError: output before it is missing.
        """
        start = output.end - len(output.data)
        if start > self.position > 0:
            raise RemoteProtocolError(
                f"the server has lost {start - self.position:,} bytes of output at position "
                f"{self.position:,}"
            )
        if start >= self.position:
            return output
        return Output(output.kind, output.end, output.data[self.position - start :])

    async def _confirm_input(self, position: int) -> None:
        """The server has input up to here. At first on a connection, send it the rest."""
        if self._input.confirm(position):
            self._pauses = None  # the connection carries something
        if self._greeted:
            self._input.request(position)
            self._room.unpark_all()
            return
        while (rest := self._input.chunk(position)) is not None:
            await self._send(rest)
            position += len(rest.data)
        self._greeted = True
        if self._input_ended:
            await self._send(EndOfInput(self._input.end))

    async def _acknowledge(self) -> None:
        self._acknowledged = self.position
        await self._send(Ack(self.position))

    async def _send(self, message: FromClient) -> None:
        await self._send_frame(encode_frame(message))

    async def _send_frame(self, frame: str | bytes) -> None:
        """Send if there is a connection; what must arrive is repeated after a reconnect."""
        if self.websocket is None:
            await trio.lowlevel.checkpoint()
            return
        try:
            await self.websocket.send_message(frame)
        except ConnectionClosed:
            pass
        except trio.Cancelled:
            # Input that was not sent counts as sent. The next connection makes up for it.
            await self._abort()  # noqa: ASYNC102 (it is shielded, and bounded)
            raise


@asynccontextmanager
async def open_resumable(
    client: Client,
    path: str,
    *,
    query: tuple[tuple[str, str], ...] = (),
    first: str | None = None,
    again: str | None = None,
    is_new: bool = False,
    limits: StreamLimits | None = None,
) -> AsyncIterator[ResumableStream]:
    """Open a resumable stream; closed when the block ends.

    Args:
        client: a client of a server that has the feature `RESUMABLE_STREAMS`.
        path: of the WebSocket.
        query: query of each connection.
        first: a message that begins each connection until the server has answered once.
        again: a message that begins each connection from then on.
        is_new: whether `first` begins the stream, so that its input is at position 0; the server
            need not say so.
        limits: time limits; None for the defaults.

    Raises:
        ApiError: the server refused it.
        ConnectionFailed: it cannot be reached.
    """
    with one_error():
        async with trio.open_nursery() as nursery:
            stream = ResumableStream(
                nursery, client, path, query, first, again, is_new, limits or StreamLimits()
            )
            await stream.connect()
            nursery.start_soon(drop_when_silent, lambda: stream.websocket, stream.limits)
            try:
                yield stream
            finally:
                await stream.aclose()
                nursery.cancel_scope.cancel()
