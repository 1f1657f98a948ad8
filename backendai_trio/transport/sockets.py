"""Sockets without TLS, with as few steps of the event loop as can be."""

from __future__ import annotations

import socket
from typing import Self

import trio

__all__ = ["PlainStream"]


class PlainStream(trio.abc.Stream):
    """A connected socket.

    It waits only for what is not there yet. Trio's own stream lets the other tasks run after every
    `send_all`; here that comes with the reply, since all our protocols wait for one. It saves a
    sixth of a small request's time, and a tenth of an echo's.
    """

    def __init__(self, connected: socket.socket) -> None:
        connected.setblocking(False)
        self.socket = connected

    @classmethod
    def of(cls, stream: trio.SocketStream) -> Self:
        """The socket of Trio's stream, which is of no use any more."""
        return cls(socket.socket(fileno=stream.socket.detach()))

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """As any stream's, but no checkpoint where all can be sent at once."""
        rest = memoryview(data)
        try:
            while rest:
                try:
                    rest = rest[self.socket.send(rest) :]
                except BlockingIOError:
                    await trio.lowlevel.wait_writable(self.socket)
        except OSError as exc:
            raise self._error(exc) from exc

    async def wait_send_all_might_not_block(self) -> None:
        """As any stream's."""
        try:
            await trio.lowlevel.wait_writable(self.socket)
        except OSError as exc:
            raise self._error(exc) from exc

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """As any stream's."""
        try:
            while True:
                await trio.lowlevel.wait_readable(self.socket)
                try:
                    return self.socket.recv(max_bytes or 65536)
                except BlockingIOError:
                    continue
        except OSError as exc:
            raise self._error(exc) from exc

    def is_readable(self) -> bool:
        """Whether there is something to receive, be it the end or an error."""
        try:
            self.socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            pass
        return True

    def close(self) -> None:
        """Close it; whoever waits for it hears so."""
        if self.socket.fileno() >= 0:
            trio.lowlevel.notify_closing(self.socket)
            self.socket.close()

    async def aclose(self) -> None:
        """As any stream's."""
        self.close()
        await trio.lowlevel.checkpoint()

    def _error(self, exc: OSError) -> Exception:
        if self.socket.fileno() < 0:
            return trio.ClosedResourceError("this stream was closed")
        return trio.BrokenResourceError(str(exc))
