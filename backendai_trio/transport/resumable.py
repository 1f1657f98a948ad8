"""Numbered streams: WebSockets that come back when their connection breaks, without a gap."""

from __future__ import annotations

import math
import random
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import trio

from .._groups import one_error
from ..errors import ConnectionFailed, RemoteProtocolError, ServerError
from ..wire.resumable import (
    Ack,
    Control,
    EndOfInput,
    FromClient,
    Input,
    InputSeen,
    Mark,
    Output,
    decode_from_server,
    encode_frame,
)
from .client import Client
from .connection_state import ConnectionState
from .websocket import ConnectionClosed, WebSocket
from .websocket_connect import connect_websocket

__all__ = ["ResumableStream", "open_resumable"]

PING_SECONDS = 10.0
"""After so long without a byte from the gateway it is asked whether it is alive ..."""
PONG_SECONDS = 10.0
"""... and after so long without an answer the connection counts as dead. With the time until the
silence is seen that is 25 s at most."""
WAKE_SECONDS = 5.0
"""How often silence is looked for. The wall clock's going ahead by more than this means that the
machine slept, and the gateway is asked at once."""
OUTAGE_SECONDS = 60.0
"""How long reconnecting is tried; the gateway holds a stream's output for as long."""
CLOSE_SECONDS = 2.0
"""How long a polite end may take."""
_FIRST_PAUSE, _BROKEN_PAUSE, _LAST_PAUSE = 0.02, 0.25, 5.0
_ACK_BYTES = 128 * 1024
_INPUT_WINDOW = 256 * 1024
_INPUT_PIECE = 32 * 1024
_NORMAL, _GOING_AWAY, _POLICY = 1000, 1001, 1008


class ResumableStream:
    """A two-way stream with positions. Made by `open_resumable`.

    One task receives; others may send meanwhile. Sending more than the program reads waits, and so
    does the program when it writes more than is received.

    Attributes:
        position: how much output was received, marks included.
        connection: whether it is there.
    """

    def __init__(
        self,
        client: Client,
        path: str,
        first: str | None,
        again: str | None,
    ) -> None:
        self.position = 0
        self.connection = ConnectionState()
        self._client = client
        self._path = path
        self._first = first
        self._again = again
        self._socket: WebSocket | None = None
        self._acknowledged = 0
        self._unseen = bytearray()
        self._typed = 0
        self._asked = 0
        self._ended = False
        self._unread = False
        # Whether the server has said, on this connection, how much input it has. Before that,
        # typing is only noted; it goes out in answer to the greeting.
        self._greeted = False
        self._known = False
        self._state: dict[str, Any] = {}
        self._room = trio.lowlevel.ParkingLot()
        self._pause = 0.0
        self._closing = False
        self._reconnecting: trio.CancelScope | None = None

    async def receive(self) -> Output | Mark:
        """The next piece of output, or the next mark.

        Raises:
            trio.EndOfChannel: the server has closed the stream after its last word.
            trio.ClosedResourceError: so have we.
            ConnectionFailed: no connection for `OUTAGE_SECONDS`, or the server sent us away.
            RemoteProtocolError: output is missing, or a message is malformed.
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
            message = decode_from_server(frame)
            if isinstance(message, InputSeen):
                await self._saw_input(message.position)
                continue
            if message.end <= self.position:
                continue  # sent again after a reconnect
            if isinstance(message, Output):
                message = self._unseen_part(message)
            self.position = message.end
            self._pause = 0.0
            return message

    async def send(self, data: bytes) -> None:
        """Type; waits while the program is far behind.

        Raises:
            trio.ClosedResourceError: the stream was closed meanwhile.

        Cancellation: a part of the data may have been typed.
        """
        if data and self._greeted:
            # Sending is a checkpoint itself, and the fewer there are, the sooner comes the echo.
            # But a cancel should come before a frame: within one it costs the connection.
            await trio.lowlevel.checkpoint_if_cancelled()
        else:
            await trio.lowlevel.checkpoint()
        view = memoryview(data)
        while view and not self._unread:
            while self._typed >= self._asked + _INPUT_WINDOW and not self._unread:
                if self._closing:
                    raise trio.ClosedResourceError
                await self._room.park()
            piece = bytes(view[:_INPUT_PIECE])
            view = view[_INPUT_PIECE:]
            start = self._typed
            self._unseen += piece
            self._typed += len(piece)
            if self._greeted:
                await self._send(Input(start, piece))

    def end_reading(self) -> None:
        """Nobody reads any more what is typed: who waits need not."""
        self._unread = True
        self._room.unpark_all()

    async def end(self) -> None:
        """Tell that no more is typed; may be repeated."""
        self._ended = True
        if self._greeted:
            await self._send(EndOfInput(self._typed))
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
        query = (("position", str(self.position)),)
        self._socket = await connect_websocket(self._client, self._path, query=query)
        self._acknowledged = self.position
        # A server that knows us is not asked to begin: if it has given us up, it would begin anew.
        opening = self._again if self._known else self._first
        if opening is not None:
            await self._send_frame(opening)
        if self._state:
            await self._send(Control(self._state))

    async def aclose(self) -> None:
        """Say what was received, and close; may be repeated. Bounded, also when cancelled.

        Calls that wait end: with `trio.ClosedResourceError`, or as if they were done.
        """
        self._closing = True
        self._room.unpark_all()
        if self._reconnecting is not None:
            self._reconnecting.cancel()
        # When cancelled, the reader is gone that a polite end needs.
        if trio.current_effective_deadline() > -math.inf:
            with trio.move_on_after(CLOSE_SECONDS, shield=True):
                await self._acknowledge()
                if self._socket is not None:
                    await self._socket.aclose()
        with trio.move_on_after(CLOSE_SECONDS, shield=True):
            await self._abort()

    async def _abort(self) -> None:
        """Drop the connection without a word."""
        if self._socket is not None:
            await self._socket.abort()

    async def keep_alive(self) -> None:
        """Notice a gateway that is silent because it, or the way to it, is dead.

        TCP may find the way alive to something in between that is not the gateway; and what was
        typed must not keep it from asking.
        """
        wall, steady = time.time(), time.monotonic()
        while True:
            await trio.sleep(WAKE_SECONDS)
            slept = (time.time() - wall) - (time.monotonic() - steady)
            wall, steady = time.time(), time.monotonic()
            socket = self._socket
            # A receiver that is busy elsewhere says nothing about the gateway.
            if socket is None or (since := socket.waiting_since) is None:
                continue
            if slept < WAKE_SECONDS and trio.current_time() - since < PING_SECONDS:
                continue
            try:
                with trio.move_on_after(PONG_SECONDS) as patience:
                    await socket.ping()
                if patience.cancelled_caught and socket.waiting_since == since:
                    await socket.abort()  # the receiver notices, and reconnects
            except ConnectionClosed:
                pass  # the receiver notices

    async def _next_frame(self) -> str | bytes | None:
        """A frame; None when the connection has broken.

        Raises:
            trio.EndOfChannel, ConnectionFailed, RemoteProtocolError: the server closed it.
        """
        assert self._socket is not None
        try:
            return await self._socket.get_message()
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
        """Connect again, with growing pauses that differ from client to client.

        A server that takes connections and breaks them at once is not asked in a loop either: its
        pauses (`_pause`) grow from one reconnect to the next, until something is received.
        """
        self.connection.set_lost()
        give_up_at = trio.current_time() + OUTAGE_SECONDS
        pause = self._pause
        await self._abort()
        while True:
            # Jitter: many clients of a server that restarts must not all come at once.
            await trio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311
            pause = min(max(pause * 2, _FIRST_PAUSE), _LAST_PAUSE)
            try:
                await self.connect()
            except (ConnectionFailed, ServerError) as exc:  # a 502 or 503 comes while it restarts
                if trio.current_time() + pause > give_up_at:
                    raise ConnectionFailed(
                        f"the connection broke and did not come back within {OUTAGE_SECONDS:g} s; "
                        f"output may be missing ({exc})"
                    ) from exc
            else:
                self._pause = min(max(self._pause * 2, _FIRST_PAUSE), _BROKEN_PAUSE)
                return

    # --- messages --------------------------------------------------------------------------------

    def _unseen_part(self, output: Output) -> Output:
        """The part of an output that was not received before."""
        start = output.end - len(output.data)
        if start > self.position > 0:
            raise RemoteProtocolError(
                f"the server has lost {start - self.position:,} bytes of output at position "
                f"{self.position:,}"
            )
        if start >= self.position:
            return output
        return Output(output.kind, output.end, output.data[self.position - start :])

    async def _saw_input(self, position: int) -> None:
        """The server has input up to here; at first on a connection, it gets what it lacks."""
        if not self._known:
            # A terminal may have had users before us: our own count starts where theirs ended.
            self._known = True
            self._typed += position
            self._asked = position
        start = self._typed - len(self._unseen)
        if not start <= position <= self._typed:
            raise RemoteProtocolError(
                f"the server has input up to {position}, we sent {self._typed}"
            )
        if position > start:
            self._pause = 0.0  # the connection carries something
        del self._unseen[: position - start]
        if self._greeted:
            self._asked = position
            self._room.unpark_all()
            return
        self._greeted = True
        if self._unseen:
            await self._send(Input(position, bytes(self._unseen)))
        if self._ended:
            await self._send(EndOfInput(self._typed))

    async def _acknowledge(self) -> None:
        self._acknowledged = self.position
        await self._send(Ack(self.position))

    async def _send(self, message: FromClient) -> None:
        await self._send_frame(encode_frame(message))

    async def _send_frame(self, frame: str | bytes) -> None:
        """Send if there is a connection; what must arrive is repeated after a reconnect."""
        if self._socket is None:
            await trio.lowlevel.checkpoint()
            return
        try:
            await self._socket.send_message(frame)
        except ConnectionClosed:
            pass
        except trio.Cancelled:
            # Half a frame may be out; whatever follows would be taken for its other half.
            with trio.move_on_after(CLOSE_SECONDS, shield=True):
                await self._abort()
            raise


@asynccontextmanager
async def open_resumable(
    client: Client, path: str, *, first: str | None = None, again: str | None = None
) -> AsyncIterator[ResumableStream]:
    """Open a numbered stream; closed when the block ends.

    Args:
        client: whose server has `RESUMABLE_STREAMS`.
        path: of the WebSocket.
        first: a message that begins a connection, until the server has answered once.
        again: the message that does so from then on.

    Raises:
        ApiError: the server refused it.
        ConnectionFailed: it cannot be reached.
    """
    with one_error():
        async with trio.open_nursery() as nursery:
            stream = ResumableStream(client, path, first, again)
            await stream.connect()
            nursery.start_soon(stream.keep_alive)
            try:
                yield stream
            finally:
                await stream.aclose()
                nursery.cancel_scope.cancel()
