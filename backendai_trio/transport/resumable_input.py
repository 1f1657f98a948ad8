"""The input side of a resumable stream: what was typed, and what of it the server has."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from ..errors import RemoteProtocolError
from ..wire.resumable import EndOfInput, FromClient, Input

__all__ = ["CHUNK_BYTES", "InputBuffer", "StreamInput"]

CHUNK_BYTES = 32 * 1024
"""Limit for a message: one that is cut off is lost whole."""
_WINDOW_BYTES = 256 * 1024


class InputBuffer:
    """Typed bytes, kept until the server has confirmed them.

    Attributes:
        end: the position behind all that was typed.
        known: whether the server has told its position, on any connection.
    """

    def __init__(self) -> None:
        self.end = 0
        self.known = False
        self._unconfirmed = bytearray()
        self._requested = 0

    @property
    def full(self) -> bool:
        """Whether as much was typed as the server has asked for."""
        return self.end >= self._requested + _WINDOW_BYTES

    def append(self, data: bytes) -> Input:
        """Add typed bytes; the message that carries them."""
        message = Input(self.end, data)
        self._unconfirmed += data
        self.end += len(data)
        return message

    def confirm(self, position: int) -> bool:
        """Forget what the server has.

        Args:
            position: up to where that is.

        Returns:
            Whether it was more than before.

        Raises:
            RemoteProtocolError: the server cannot be at this position.
        """
        if not self.known:
            # A terminal may have had users before us: our count begins where theirs ended.
            self.known = True
            self.end += position
            self._requested = position
        start = self.end - len(self._unconfirmed)
        if not start <= position <= self.end:
            raise RemoteProtocolError(
                f"the server has input up to position {position}; "
                f"it was sent that from {start} to {self.end}"
            )
        del self._unconfirmed[: position - start]
        return position > start

    def request(self, position: int) -> None:
        """The server, being at this position, asks for more."""
        self._requested = position

    def chunk(self, position: int) -> Input | None:
        """The message that carries what was typed from a position on; None at the end.

        Args:
            position: of input that was not confirmed.
        """
        start = position - (self.end - len(self._unconfirmed))
        data = bytes(self._unconfirmed[start : start + CHUNK_BYTES])
        return Input(position, data) if data else None


class StreamInput:
    """The input side of a stream, over one connection after another.

    Input goes out when the server has said, on the current connection, how much it has, and was
    sent what it lacks. Until then input is only kept.

    Args:
        send: sends a message if there is a connection. What must arrive is repeated by `go_on`.
    """

    def __init__(self, send: Callable[[FromClient], Awaitable[None]]) -> None:
        self._buffer = InputBuffer()
        self._send = send
        self._flows = False
        self._ended = False
        self._unwanted = False
        self._closed = False
        self._room = trio.lowlevel.ParkingLot()

    @property
    def known(self) -> bool:
        """Whether the server has told its position, on any connection."""
        return self._buffer.known

    async def send(self, data: bytes) -> None:
        """See `ResumableStream.send`."""
        if data and self._flows:
            # Sending is a checkpoint itself, and each one delays the echo of a key. But a cancel
            # should come before a frame: within one it costs the connection.
            await trio.lowlevel.checkpoint_if_cancelled()
        else:
            await trio.lowlevel.checkpoint()
        view = memoryview(data)
        while view and not self._unwanted:
            while self._buffer.full and not self._unwanted:
                if self._closed:
                    raise trio.ClosedResourceError
                await self._room.park()
            message = self._buffer.append(bytes(view[:CHUNK_BYTES]))
            view = view[CHUNK_BYTES:]
            if self._flows:
                await self._send(message)

    async def send_eof(self) -> None:
        """See `ResumableStream.send_eof`."""
        self._ended = True
        if self._flows:
            await self._send(EndOfInput(self._buffer.end))
        else:
            await trio.lowlevel.checkpoint()

    def discard(self) -> None:
        """See `ResumableStream.discard_input`."""
        self._unwanted = True
        self._room.unpark_all()

    def close(self) -> None:
        """The stream is closed: calls that wait for room raise `trio.ClosedResourceError`."""
        self._closed = True
        self._room.unpark_all()

    def hold(self) -> None:
        """There is a new connection, or none: keep input until `go_on`."""
        self._flows = False

    def confirm(self, position: int) -> bool:
        """See `InputBuffer.confirm`."""
        return self._buffer.confirm(position)

    async def go_on(self, position: int) -> None:
        """Go on with the input, at first on a connection with all that the server lacks.

        Args:
            position: what the server has confirmed.
        """
        if self._flows:
            self._buffer.request(position)
            self._room.unpark_all()
            return
        while (rest := self._buffer.chunk(position)) is not None:
            await self._send(rest)
            position += len(rest.data)
        self._flows = True
        if self._ended:
            await self._send(EndOfInput(self._buffer.end))
