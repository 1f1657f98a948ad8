"""WebSockets of a client: wsproto's handshake and our own frames, on Trio's streams.

Whoever receives also reads: there is no task and no queue in between, so a cancelled receiver loses
nothing, a slow one slows the server, and a message needs one step of the event loop instead of
three, with trio-websocket and its reader task (benchmarks/streams.py measures the echo of a key).
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

import trio
import wsproto
from wsproto import events as ws
from wsproto.utilities import RemoteProtocolError as NoHandshake

from ..errors import ConnectionFailed
from ..wire.http import Reply
from ..wire.websocket_frames import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    Control,
    FrameDecoder,
    FrameError,
    decode_close,
    encode_close,
    encode_websocket_frame,
)

__all__ = ["ABORT_SECONDS", "CLOSE_SECONDS", "CloseReason", "ConnectionClosed", "WebSocket"]

RECEIVE_BUFFER_BYTES = 64 * 1024
# That of managers from 20.03 on (contract section 6.1).
MAX_MESSAGE_BYTES = 16 * 1024 * 1024
_MAX_REFUSAL_BYTES = 1024 * 1024
CLOSE_SECONDS = 2.0
"""How long a polite end may take."""
ABORT_SECONDS = 1.0
"""Closing without a word takes no time to speak of; this bounds it all the same."""
_ABNORMAL = 1006
_END_OF_HEAD = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class CloseReason:
    """Why a WebSocket was closed (RFC 6455, section 7.4)."""

    code: int
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.code} {self.reason}".rstrip()


class ConnectionClosed(Exception):
    """The WebSocket is closed, by either side, or has broken.

    Attributes:
        reason: why; code 1006 if the connection broke.
    """

    def __init__(self, reason: CloseReason) -> None:
        super().__init__(str(reason))
        self.reason = reason


class WebSocket:
    """A WebSocket of a client. Made by `backendai_trio.transport.websocket_connect`.

    One task at a time may receive, and any number may send.

    Attributes:
        subprotocol: the one that the server took, if any was offered.
        closed: why it is closed; None while it is open.
        waiting_since: since when somebody waits for a message and nothing comes, not even a part
            of one, in Trio's time; None while nobody waits. Only who waits sees pings and pongs.
    """

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.subprotocol: str | None = None
        self.closed: CloseReason | None = None
        self.waiting_since: float | None = None
        self._stream = stream
        self._sending = trio.Lock()
        self._decoder = FrameDecoder(masked=False, limit=MAX_MESSAGE_BYTES)
        self._leaving = False
        self._pings = 0
        self._pongs: dict[bytes, trio.Event] = {}
        self._left = trio.lowlevel.ParkingLot()

    async def shake_hands(self, request: ws.Request) -> Reply | None:
        """Ask for the upgrade; the server's answer if it refuses.

        Raises:
            trio.BrokenResourceError: it closed the connection.
            ConnectionFailed: it does not speak the protocol.
        """
        protocol = wsproto.WSConnection(wsproto.ConnectionType.CLIENT)
        refusal: ws.RejectConnection | None = None
        head, body = b"", bytearray()
        try:
            await self._stream.send_all(protocol.send(request))
            while True:
                data = bytes(await self._stream.receive_some(RECEIVE_BUFFER_BYTES))
                if not data:
                    raise trio.BrokenResourceError("the server closed the connection")
                rest = b""
                if _END_OF_HEAD not in head:
                    # What follows the head may be frames, which are ours to read.
                    before, head = len(head), head + data
                    rest = head.partition(_END_OF_HEAD)[2]
                    data = head[before : len(head) - len(rest)]
                protocol.receive_data(data)
                for event in protocol.events():
                    match event:
                        case ws.AcceptConnection():
                            self.subprotocol = event.subprotocol
                            self._decoder.feed(rest)
                            return None
                        case ws.RejectConnection():
                            refusal = event
                            if rest:  # nothing would stand for the end
                                protocol.receive_data(rest)
                        case ws.RejectData():
                            body += event.data
                    finished = getattr(event, "body_finished", not getattr(event, "has_body", True))
                    if refusal is not None and (finished or len(body) > _MAX_REFUSAL_BYTES):
                        return Reply(refusal.status_code, "", bytes(body))
        except NoHandshake as exc:
            raise ConnectionFailed(str(exc)) from exc

    async def get_message(self) -> str | bytes:
        """The next message.

        Raises:
            ConnectionClosed: there is none any more.

        Cancellation: loses nothing.
        """
        self.waiting_since = trio.current_time()
        try:
            while True:
                try:
                    message = self._decoder.next() if self.closed is None else None
                except FrameError as exc:
                    await self._refuse(exc)
                    message = None
                if isinstance(message, Control):
                    await self._handle(message)
                elif message is not None:
                    return message
                elif self.closed is not None:
                    await trio.lowlevel.checkpoint()
                    raise ConnectionClosed(self.closed)
                else:
                    await self._read()
                    self.waiting_since = trio.current_time()
        finally:
            self.waiting_since = None
            self._left.unpark_all()

    async def send_message(self, message: str | bytes) -> None:
        """Send a message; waits while the server is far behind.

        Raises:
            ConnectionClosed: it cannot be sent any more.

        Cancellation: a part of it may be out, and the connection is of no use then.
        """
        if isinstance(message, str):
            await self._send(TEXT, message.encode())
        else:
            await self._send(BINARY, message)

    async def beat(self) -> None:
        """Send a ping that nobody waits for, unless a message is under way.

        Raises:
            ConnectionClosed: nothing can be sent any more.
        """
        if self._sending.locked():
            await trio.lowlevel.checkpoint()
        else:
            await self._send(PING, b"")

    async def ping(self) -> None:
        """Wait for an answer to a ping. Somebody has to receive meanwhile.

        Raises:
            ConnectionClosed: there is none to come.
        """
        self._pings += 1
        payload = str(self._pings).encode()
        answered = self._pongs[payload] = trio.Event()
        try:
            await self._send(PING, payload)
            await answered.wait()
        finally:
            del self._pongs[payload]
        if self.closed is not None:
            raise ConnectionClosed(self.closed)

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        """Say goodbye and wait for the answer, a bounded time; then close. May be repeated.

        Whoever sends or receives meanwhile hears `ConnectionClosed`.
        """
        # There is no time for that when cancelled, nor while a server that is far behind keeps
        # somebody else's message waiting.
        hurried = trio.current_effective_deadline() == -math.inf or self._sending.locked()
        if self.closed is None and not hurried:
            with trio.move_on_after(CLOSE_SECONDS, shield=True):
                try:
                    self._leaving = True
                    await self._send(CLOSE, encode_close(code, reason))
                    while self.closed is None:
                        if self.waiting_since is not None:
                            await self._left.park()
                        elif isinstance(message := self._decoder.next(), Control):
                            await self._handle(message)
                        elif message is None:
                            await self._read()
                except (ConnectionClosed, FrameError):
                    pass
        self._close(CloseReason(code, reason))
        await self.abort()

    async def abort(self) -> None:
        """Close without a word."""
        self._close(CloseReason(_ABNORMAL, "the connection was dropped"))
        with trio.move_on_after(ABORT_SECONDS, shield=True):
            await trio.aclose_forcefully(self._stream)

    # --- the protocol ----------------------------------------------------------------------------

    async def _read(self) -> None:
        """Feed the protocol with what comes next."""
        try:
            data = await self._stream.receive_some(RECEIVE_BUFFER_BYTES)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            data = b""
        if not data:
            self._close(CloseReason(_ABNORMAL, "the connection broke"))
            return
        self._decoder.feed(data)

    async def _handle(self, control: Control) -> None:
        if control.opcode == PING:
            await self._send(PONG, control.payload)
        elif control.opcode == PONG:
            if (answered := self._pongs.get(control.payload)) is not None:
                answered.set()
        else:
            try:
                code, reason = decode_close(control.payload)
                if not self._leaving:
                    await self._send(CLOSE, control.payload)
            except FrameError as exc:
                await self._refuse(exc)
            except ConnectionClosed:
                pass
            else:
                self._close(CloseReason(code, reason))

    async def _refuse(self, error: FrameError) -> None:
        """Close because of what has come."""
        with trio.move_on_after(CLOSE_SECONDS):
            try:
                await self._send(CLOSE, encode_close(error.code, str(error)))
            except ConnectionClosed:
                pass
        self._close(CloseReason(error.code, str(error)))
        await self.abort()

    async def _send(self, opcode: int, payload: bytes) -> None:
        if self._sending.locked():
            await self._sending.acquire()
        else:
            self._sending.acquire_nowait()  # a step of the event loop less
        try:
            if self.closed is not None or (self._leaving and opcode != CLOSE):
                await trio.lowlevel.checkpoint()
                raise ConnectionClosed(self.closed or CloseReason(_ABNORMAL, "it is being closed"))
            # The mask keeps what a proxy sees from being chosen by who sends (RFC 6455, 10.3).
            await self._stream.send_all(encode_websocket_frame(opcode, payload, os.urandom(4)))
        except (trio.BrokenResourceError, trio.ClosedResourceError) as exc:
            self._close(CloseReason(_ABNORMAL, "the connection broke"))
            raise ConnectionClosed(self.closed or CloseReason(_ABNORMAL)) from exc
        except trio.Cancelled:
            # Half a frame may be out: whatever followed, a goodbye too, would be its other half.
            self._close(CloseReason(_ABNORMAL, "a message was cut off"))
            raise
        finally:
            self._sending.release()

    def _close(self, reason: CloseReason) -> None:
        if self.closed is None:
            self.closed = reason
            for answered in self._pongs.values():
                answered.set()
