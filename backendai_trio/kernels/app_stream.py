"""A connection to a service of a kernel, as a stream of bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from operator import index

import trio

from ..errors import ConnectionFailed
from ..transport.websocket import CloseReason, ConnectionClosed, WebSocket
from ..transport.websocket_connect import open_websocket
from ..wire.apps import (
    END_OF_STREAM,
    HALF_CLOSE,
    NORMAL,
    SERVICE_CLOSED,
    SERVICE_REFUSED,
    connection_query,
    is_end_of_stream,
)
from ..wire.services import ServiceOptions
from .app_list import find_app
from .kernel import TrioKernel
from .one_at_a_time import OneAtATime

__all__ = ["AppStream", "connect_app", "open_app_stream"]

_CHUNK_BYTES = 64 * 1024
_CLOSED = "this connection to a service is closed"


class AppStream(trio.abc.HalfCloseableStream):
    """A connection to a service, as a stream of bytes. Made by `open_app_stream`.

    One task sends at a time, and one receives.

    Attributes:
        ended: whether the server has closed both directions.
    """

    def __init__(self, websocket: WebSocket, *, half_close: bool) -> None:
        self.ended = False
        self._websocket = websocket
        self._half_close = half_close
        self._input_ended = False
        self._output_ended = False
        self._unread = b""
        self._closed = False
        self._sending = OneAtATime("sending to this service")
        self._receiving = OneAtATime("receiving from this service")

    def _check_open(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError(_CLOSED)

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send bytes to the service; waits while it is far behind.

        Args:
            data: any bytes.

        Raises:
            trio.BusyResourceError: another task is sending.
            trio.ClosedResourceError: the stream is closed, or `send_eof` was called.
            trio.BrokenResourceError: the service has closed the connection, or it broke.

        Cancellation: a part of the data may have been sent.
        """
        await trio.lowlevel.checkpoint()
        with self._sending:
            self._check_open()
            if self._input_ended:
                raise trio.ClosedResourceError("the input of this service has ended")
            view = memoryview(data)
            try:
                for start in range(0, len(view), _CHUNK_BYTES):
                    await self._websocket.send_message(bytes(view[start : start + _CHUNK_BYTES]))
            except ConnectionClosed as exc:
                raise self._broken("the service has closed the connection") from exc

    async def wait_send_all_might_not_block(self) -> None:
        """Return at once: only sending shows how far behind the service is.

        Raises:
            trio.BusyResourceError: another task is sending.
            trio.ClosedResourceError: the stream is closed.
        """
        await trio.lowlevel.checkpoint()
        with self._sending:
            self._check_open()

    async def send_eof(self) -> None:
        """Tell the service that no more bytes will come. May be repeated.

        Managers have no message for this: there only closing the stream ends the service's input.

        Raises:
            trio.BusyResourceError: another task is sending.
            trio.ClosedResourceError: the stream is closed.
        """
        await trio.lowlevel.checkpoint()
        with self._sending:
            self._check_open()
            if self._half_close and not self._input_ended:
                try:
                    await self._websocket.send_message(END_OF_STREAM)
                except ConnectionClosed:
                    pass  # both directions have ended
            self._input_ended = True

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Wait for bytes from the service.

        Args:
            max_bytes: the most bytes to return, 1 or more; None for no limit.

        Returns:
            The bytes; ``b""`` when the service sends no more.

        Raises:
            ValueError: `max_bytes` is less than 1.
            trio.BusyResourceError: another task is receiving.
            trio.ClosedResourceError: the stream is closed, or is closed meanwhile.
            trio.BrokenResourceError: the connection broke, or the service refused it; the cause is
                a `ConnectionFailed` that says why.

        Cancellation: loses no bytes.
        """
        await trio.lowlevel.checkpoint()
        if max_bytes is not None and index(max_bytes) < 1:
            raise ValueError("max_bytes must be at least 1")
        with self._receiving:
            self._check_open()
            while not self._unread and not self._output_ended:
                await self._receive_message()
        size = len(self._unread) if max_bytes is None else max_bytes
        data, self._unread = self._unread[:size], self._unread[size:]
        return data

    async def _receive_message(self) -> None:
        try:
            message = await self._websocket.get_message()
        except ConnectionClosed as exc:
            if self._closed:
                raise trio.ClosedResourceError(_CLOSED) from exc
            self._output_ended = self.ended = True
            if (problem := _problem(exc.reason)) is not None:
                raise trio.BrokenResourceError(str(problem)) from problem
            return
        if isinstance(message, bytes):
            self._unread = message
        elif is_end_of_stream(message):
            self._output_ended = True

    def _broken(self, why: str) -> trio.ClosedResourceError | trio.BrokenResourceError:
        return trio.ClosedResourceError(_CLOSED) if self._closed else trio.BrokenResourceError(why)

    async def aclose(self) -> None:
        """Close both directions. May be repeated. Calls that wait raise `trio.ClosedResourceError`.

        Cancellation: closes the connection all the same, within a bounded time.
        """
        self._closed = True
        await self._websocket.aclose()
        await trio.lowlevel.checkpoint()


def _problem(reason: CloseReason | None) -> ConnectionFailed | None:
    """The error that a close code stands for; None for an orderly end."""
    code = 0 if reason is None else reason.code
    if code in (NORMAL, SERVICE_CLOSED):
        return None
    text = (reason and reason.reason) or f"close code {code}"
    if code == SERVICE_REFUSED:
        return ConnectionFailed(
            f"the service refused the connection ({text}); check that it is running"
        )
    return ConnectionFailed(f"the connection to the service broke ({text})")


@asynccontextmanager
async def open_app_stream(
    kernel: TrioKernel, app: str, *, options: ServiceOptions | None = None
) -> AsyncIterator[AppStream]:
    """Connect to a service of a kernel; the end of the block closes the connection.

    The first connection starts the service, if it is one that the server starts.

    Args:
        kernel: the kernel that the service runs in.
        app: name of the service; on our own gateway ``sshd``, or the number of a port that a
            program in the kernel listens on.
        options: arguments, variables and port of the service. A service that runs already keeps
            those that it was started with.

    Raises:
        NotFound: the kernel is gone, or offers no such service.
        LocalProtocolError: the service takes no such argument, variable or port.
        ApiError: the server refused or failed, e.g. to start the service.
        ConnectionFailed: it cannot be reached.

    Endpoint: WebSocket ``/stream/session/{name}/tcpproxy`` (docs/protocol.md, section 6.5).
    """
    if options:
        await find_app(kernel, app, options=options)
    async with connect_app(kernel, app, options) as stream:
        yield stream


@asynccontextmanager
async def connect_app(
    kernel: TrioKernel, app: str, options: ServiceOptions | None
) -> AsyncIterator[AppStream]:
    """Open a connection to a service of a kernel.

    Args:
        kernel: where the service is.
        app: name of the service.
        options: of the service, which were checked.

    Yields:
        The connection.

    Raises:
        NotFound: there is no such kernel or service.
        ApiError, ConnectionFailed: the server refuses, or cannot be reached.

    Endpoint: WebSocket ``/stream/session/{name}/tcpproxy`` (docs/protocol.md, section 6.5).
    """
    client = kernel.client
    half_close = client.has(HALF_CLOSE)
    path = client.era.stream_path(kernel.address, "tcpproxy")
    texts = options.as_texts() if options else None
    query = connection_query(app, half_close=half_close, options=texts)
    async with open_websocket(client, path, query=query, tunnel=True) as websocket:
        yield AppStream(websocket, half_close=half_close)
