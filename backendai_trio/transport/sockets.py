"""Sockets without TLS, as Trio's streams."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from operator import index
from typing import Self

import trio

__all__ = ["PlainStream"]

_RECEIVE_BYTES = 64 * 1024


class PlainStream(trio.abc.Stream):
    """A connected socket as a stream, which `is_readable` can look at without reading.

    Sending costs a call of the system and a step of the event loop, as with Trio's own stream;
    receiving waits first, since a reply is never there yet when a client begins to wait for it.
    """

    def __init__(self, connected: socket.socket) -> None:
        connected.setblocking(False)
        self.socket = connected
        self._sending = False

    @classmethod
    def of(cls, stream: trio.SocketStream) -> Self:
        """Take over the socket of one of Trio's streams, which cannot be used after that."""
        return cls(socket.socket(fileno=stream.socket.detach()))

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send all of the data; see `trio.abc.SendStream.send_all`.

        Raises:
            trio.BusyResourceError: another task is sending.
            trio.BrokenResourceError: the connection broke.
            trio.ClosedResourceError: this stream was closed.

        Cancellation: a part of the data may have been sent.
        """
        with self._one_sender():
            await trio.lowlevel.checkpoint_if_cancelled()
            rest = memoryview(data)
            waited = False
            while rest:
                try:
                    rest = rest[self.socket.send(rest) :]
                except BlockingIOError:
                    await trio.lowlevel.wait_writable(self.socket)
                    waited = True
            if not waited:
                # A sender that never waits would keep all other tasks, and its deadline, waiting.
                await trio.lowlevel.cancel_shielded_checkpoint()

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until there is room; see `trio.abc.SendStream.wait_send_all_might_not_block`.

        Raises:
            trio.BusyResourceError, trio.BrokenResourceError, trio.ClosedResourceError:
                as for `send_all`.
        """
        with self._one_sender():
            await trio.lowlevel.wait_writable(self.socket)

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Receive what has come, ``b""`` at the end; see `trio.abc.ReceiveStream.receive_some`.

        Args:
            max_bytes: at most so many, at least 1; None for 64 KiB.

        Raises:
            trio.BusyResourceError: another task is receiving.
            trio.BrokenResourceError: the connection broke.
            trio.ClosedResourceError: this stream was closed.
        """
        size = _RECEIVE_BYTES if max_bytes is None else index(max_bytes)
        if size < 1:
            raise ValueError("max_bytes must be at least 1")
        self._check_open()
        try:
            while True:
                await trio.lowlevel.wait_readable(self.socket)
                try:
                    return self.socket.recv(size)
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
        """Close the socket; tasks that wait for it raise `trio.ClosedResourceError`."""
        if self.socket.fileno() >= 0:
            trio.lowlevel.notify_closing(self.socket)
            self.socket.close()

    async def aclose(self) -> None:
        """Close the socket, at once."""
        self.close()
        await trio.lowlevel.checkpoint()

    @contextmanager
    def _one_sender(self) -> Iterator[None]:
        """Let one task send at a time, and raise Trio's errors."""
        if self._sending:
            raise trio.BusyResourceError("another task is sending on this stream")
        self._check_open()
        self._sending = True
        try:
            yield
        except OSError as exc:
            raise self._error(exc) from exc
        finally:
            self._sending = False

    def _check_open(self) -> None:
        if self.socket.fileno() < 0:
            raise trio.ClosedResourceError("this stream was closed")

    def _error(self, exc: OSError) -> Exception:
        if self.socket.fileno() < 0:
            return trio.ClosedResourceError("this stream was closed")
        return trio.BrokenResourceError(str(exc))
