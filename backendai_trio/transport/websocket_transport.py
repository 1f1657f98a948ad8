"""The stream below a WebSocket: how its connection is doing, and how it ended."""

from __future__ import annotations

import math
from collections.abc import Callable

import trio

__all__ = ["WebSocketTransport"]

_ABORT_SECONDS = 1.0
_PING = 0x89  # the first byte of a ping's frame


class WebSocketTransport(trio.abc.Stream):
    """The stream below trio-websocket.

    Attributes:
        waiting_since: since when the library waits for a byte; None while it does not.
        sending: whether a frame is being sent.
        end: how the connection ended, to continue "the server ..."; None while it has not.
        on_end: called when the connection ends.
        on_ping_sent: called when a ping has been sent.
        room: how many bytes may still come.
    """

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.waiting_since: float | None = None
        self.sending = False
        self.end: str | None = None
        self.on_end: Callable[[], object] | None = None
        self.on_ping_sent: Callable[[], object] | None = None
        self.room = math.inf
        self._stream = stream
        self._closed = False

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await trio.lowlevel.checkpoint_if_cancelled()
        self.sending = True
        try:
            await self._stream.send_all(data)
        except trio.Cancelled:
            # Part of the frame may be out; the next one would be taken for its rest.
            await self.abort()  # noqa: ASYNC102 (it is shielded, and bounded)
            raise
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self._ended("closed the connection")
            raise
        finally:
            self.sending = False
        if self.on_ping_sent is not None and data[0] == _PING:
            self.on_ping_sent()

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        self.waiting_since = trio.current_time()
        try:
            data = await self._stream.receive_some(max_bytes)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self._ended("closed the connection")
            raise
        finally:
            self.waiting_since = None
        self.room -= len(data)
        if not data:
            self._ended("closed the connection")
        elif self.room < 0:
            self._ended("sent a refusal of more than 1 MiB")
        return data

    async def aclose(self) -> None:
        # During the handshake, the library closes for an answer that is not of the protocol.
        self._ended("broke the WebSocket protocol")
        self._closed = True
        await self._stream.aclose()

    async def abort(self) -> None:
        """Close the stream without waiting for anything; may be repeated."""
        if self._closed:
            # Cleanup: a cancellation here would hide the error that is on its way.
            await trio.lowlevel.cancel_shielded_checkpoint()
            return
        self._closed = True
        self._ended("closed the connection")
        with trio.move_on_after(_ABORT_SECONDS, shield=True):
            await trio.aclose_forcefully(self._stream)

    def _ended(self, end: str) -> None:
        if self.end is None:
            self.end = end
            if self.on_end is not None:
                self.on_end()
