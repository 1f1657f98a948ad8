"""Resumable streams: two-way streams that survive a broken connection, without a gap."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import trio

from .._groups import one_error
from ..errors import ConnectionFailed, RemoteProtocolError
from ..wire.resumable import (
    Ack,
    Control,
    FromClient,
    InputSeen,
    Mark,
    Output,
    decode_from_server,
    encode_frame,
)
from .client import Client
from .connection_state import ConnectionState
from .limits import StreamLimits
from .reconnecting import Reconnecting
from .resumable_input import StreamInput
from .silence import drop_when_silent
from .websocket import CLOSE_SECONDS, ConnectionClosed, WebSocket
from .websocket_connect import connect_websocket

__all__ = ["ResumableStream", "StreamLimits", "open_resumable"]

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
        self._input = StreamInput(self._send)
        self._state: dict[str, Any] = {}
        self._url = client.config.endpoint.url
        self._reconnecting = Reconnecting(limits.outage_seconds, self._url, self.connection)
        self._closing = False
        self._attempt: trio.CancelScope | None = None

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
                with trio.CancelScope() as self._attempt:
                    self.connection.set_lost(self.limits.outage_seconds)
                    await self._abort()
                    await self._reconnecting.run(self.connect)
                self._attempt = None
                continue
            self.connection.set_back()
            self._reconnecting.note_message()
            self._is_new = False
            message = decode_from_server(frame)
            if isinstance(message, InputSeen):
                await self._confirm_input(message.position)
                continue
            if message.end <= self.position:
                continue  # sent again after a reconnect
            message = self._unseen_part(message)
            self.position = message.end
            self._reconnecting.note_progress()
            return message

    async def send(self, data: bytes) -> None:
        """Send input; waits while the program is far behind.

        Raises:
            trio.ClosedResourceError: the stream was closed meanwhile.

        Cancellation: a part of the data may have been sent.
        """
        await self._input.send(data)

    def discard_input(self) -> None:
        """The program has ended: `send` drops its data from now on, and no longer waits."""
        self._input.discard()

    async def send_eof(self) -> None:
        """End the input; may be repeated."""
        await self._input.send_eof()

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
        self._input.hold()
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
        self._input.close()
        if self._attempt is not None:
            self._attempt.cancel()
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
            raise ConnectionFailed(f"{self._url} closed the stream: {reason}")
        if code == _POLICY:
            raise RemoteProtocolError(f"{self._url} refused the stream: {reason}")
        return None

    # --- messages --------------------------------------------------------------------------------

    def _unseen_part(self, message: Output | Mark) -> Output | Mark:
        """The part of an output that was not received before; a mark is received whole.

        Raises:
            RemoteProtocolError: output before it is missing.
        """
        start = message.end - (len(message.data) if isinstance(message, Output) else 1)
        if start > self.position > 0:
            raise RemoteProtocolError(
                f"the server has lost {start - self.position:,} bytes of output at position "
                f"{self.position:,}"
            )
        if isinstance(message, Mark) or start >= self.position:
            return message
        return Output(message.kind, message.end, message.data[self.position - start :])

    async def _confirm_input(self, position: int) -> None:
        """The server has input up to here."""
        if self._input.confirm(position):
            self._reconnecting.note_progress()
        await self._input.go_on(position)

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
        limits: time limits; None for those of the client (`Limits.streams`).

    Raises:
        ApiError: the server refused it.
        ConnectionFailed: it cannot be reached.
    """
    with one_error():
        async with trio.open_nursery() as nursery:
            stream = ResumableStream(
                nursery, client, path, query, first, again, is_new, limits or client.limits.streams
            )
            await stream.connect()
            nursery.start_soon(drop_when_silent, lambda: stream.websocket, stream.limits)
            try:
                yield stream
            finally:
                await stream.aclose()
                nursery.cancel_scope.cancel()
