"""Services in kernels: a stream to one, or a local TCP port that leads to one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from operator import index
from types import TracebackType

import trio

from .._groups import one_error
from ..errors import BackendError, ConfigError, ConnectionFailed, NotFound
from ..transport.websocket import CloseReason, ConnectionClosed, WebSocket
from ..transport.websocket_connect import open_websocket
from ..wire.apps import (
    END_OF_STREAM,
    HALF_CLOSE,
    NORMAL,
    SERVICE_CLOSED,
    SERVICE_REFUSED,
    AppInfo,
    connection_query,
    decode_apps,
    is_end_of_stream,
)
from ..wire.http import Request
from .kernel import TrioKernel

__all__ = ["App", "AppStream", "list_apps", "open_app", "open_app_stream"]

_CHUNK_BYTES = 64 * 1024
_KEPT_PROBLEMS = 100
_CLOSED = "this connection to a service is closed"


async def list_apps(kernel: TrioKernel) -> list[AppInfo]:
    """List the services that a kernel offers.

    On our own gateway these are the TCP ports that programs in the kernel listen on at the moment;
    the name of each is its number.

    Args:
        kernel: the kernel.

    Returns:
        The services, in the server's order.

    Raises:
        NotFound: the kernel is gone, or the server is older than 20.03 and has no list.
        ApiError: the server refused or failed.
        ConnectionFailed: it cannot be reached.

    Endpoint: ``GET /stream/session/{name}/apps`` (docs/protocol.md, section 6.5).
    """
    path = kernel.client.era.stream_path(kernel.address, "apps")
    return decode_apps((await kernel.client.call(Request("GET", path))).body)


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
        self._sending = _OneAtATime("sending to")
        self._receiving = _OneAtATime("receiving from")

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
            if self._closed or self._input_ended:
                raise trio.ClosedResourceError(
                    _CLOSED if self._closed else "the input of this service has ended"
                )
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
            if self._closed:
                raise trio.ClosedResourceError(_CLOSED)

    async def send_eof(self) -> None:
        """Tell the service that no more bytes will come. May be repeated.

        Managers have no message for this: there the service is not told, and only closing the
        stream ends its input.

        Raises:
            trio.BusyResourceError: another task is sending.
            trio.ClosedResourceError: the stream is closed.
        """
        await trio.lowlevel.checkpoint()
        with self._sending:
            if self._closed:
                raise trio.ClosedResourceError(_CLOSED)
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
            if self._closed:
                raise trio.ClosedResourceError(_CLOSED)
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

        Raises: no error.

        Cancellation: closes the connection all the same, within a bounded time.
        """
        self._closed = True
        await self._websocket.aclose()
        await trio.lowlevel.checkpoint()


class _OneAtATime:
    """Raises `trio.BusyResourceError` in the second task that enters it."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._busy = False

    def __enter__(self) -> None:
        if self._busy:
            raise trio.BusyResourceError(f"another task is {self._what} this service")
        self._busy = True

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._busy = False


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
async def open_app_stream(kernel: TrioKernel, app: str) -> AsyncIterator[AppStream]:
    """Connect to a service of a kernel; the end of the block closes the connection.

    Args:
        kernel: the kernel that the service runs in.
        app: name of the service; on our own gateway the number of a port that a program in the
            kernel listens on.

    Raises:
        NotFound: the kernel is gone, or offers no such service.
        ApiError: the server refused or failed.
        ConnectionFailed: it cannot be reached.

    Endpoint: WebSocket ``/stream/session/{name}/tcpproxy`` (docs/protocol.md, section 6.5).
    """
    client = kernel.client
    half_close = client.has(HALF_CLOSE)
    path = client.era.stream_path(kernel.address, "tcpproxy")
    query = connection_query(app, half_close=half_close)
    async with open_websocket(client, path, query=query, tunnel=True) as websocket:
        yield AppStream(websocket, half_close=half_close)


class App:
    """A local TCP port that leads to a service. Made by `open_app`.

    Attributes:
        info: the service.
        host: IP address that the port is on.
        port: number of the port.
        problems: errors of connections that failed, as they happen. If nothing receives them, the
            first hundred are kept and later ones dropped.
    """

    def __init__(
        self,
        info: AppInfo,
        address: tuple[str, int],
        problems: trio.MemoryReceiveChannel[BackendError],
    ) -> None:
        self.info = info
        self.host, self.port = address
        self.problems = problems

    @property
    def url(self) -> str:
        """Address of the service for a browser or another program, e.g. ``http://127.0.0.1:8080``.

        Made of the service's own template, where the server gives one.
        """
        host = f"[{self.host}]" if ":" in self.host else self.host
        template = self.info.url_template or "{protocol}://{host}:{port}"
        for name, value in (
            ("protocol", self.info.protocol),
            ("host", host),
            ("port", str(self.port)),
        ):
            template = template.replace("{" + name + "}", value)
        return template


@asynccontextmanager
async def open_app(
    kernel: TrioKernel, app: str, *, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[App]:
    """Listen on a local TCP port, and connect each client there to a service of a kernel.

    Each connection has a WebSocket of its own. The end of the block closes the port and all
    connections.

    Args:
        kernel: the kernel that the service runs in.
        app: name of the service, as in `list_apps`.
        host: local address or host name to listen on. Everyone who can connect to it reaches the
            service.
        port: local TCP port; 0 for a free one.

    Raises:
        NotFound: the kernel is gone, or offers no such service; the text lists those it offers.
        ConfigError: the local address cannot be listened on.
        ApiError: the server refused or failed.
        ConnectionFailed: it cannot be reached.

    Endpoint: ``GET /stream/session/{name}/apps``, then a WebSocket
    ``/stream/session/{name}/tcpproxy`` for each connection (docs/protocol.md, section 6.5).
    """
    info = await _find(kernel, app)
    try:
        listeners = await trio.open_tcp_listeners(port, host=host)
    except (OSError, OverflowError) as exc:
        raise ConfigError(
            "--bind",
            f"cannot listen on {host} port {port}: {exc}; choose another port, or 0 for a free one",
        ) from None
    sender, problems = trio.open_memory_channel[BackendError](_KEPT_PROBLEMS)

    async def serve(local: trio.SocketStream) -> None:
        try:
            with one_error():
                async with local, open_app_stream(kernel, app) as remote:
                    await _copy_both_ways(local, remote)
        except BackendError as exc:
            try:
                sender.send_nowait(exc)
            except trio.WouldBlock:
                pass  # nothing receives, and enough are kept

    with one_error(), problems:
        async with trio.open_nursery() as nursery:
            address = listeners[0].socket.getsockname()
            await nursery.start(trio.serve_listeners, serve, listeners)
            yield App(info, (address[0], address[1]), problems)
            nursery.cancel_scope.cancel()


async def _find(kernel: TrioKernel, app: str) -> AppInfo:
    """The server's entry for a service."""
    if not kernel.client.era.names_session:
        return AppInfo(app)  # such servers have no list; the first connection shows it
    offered = await list_apps(kernel)
    for info in offered:
        if info.name == app:
            return info
    names = ", ".join(info.name for info in offered) or "none"
    raise NotFound(
        404,
        kind="app-not-found",
        title=f"kernel {kernel.token} offers no service {app!r} (it offers: {names}); "
        "a program must listen on a port before it can be reached",
    )


async def _copy_both_ways(local: trio.SocketStream, remote: AppStream) -> None:
    """Copy bytes both ways until both directions have ended.

    Raises:
        ConnectionFailed: the connection to the service broke.
    """

    async def send() -> None:
        try:
            async for data in local:
                try:
                    await remote.send_all(data)
                except trio.BrokenResourceError:
                    return  # `receive` finds out why
            await remote.send_eof()
        except trio.BrokenResourceError:  # the local client has gone
            nursery.cancel_scope.cancel()

    async def receive() -> None:
        try:
            async for data in remote:
                await local.send_all(data)
            if not remote.ended:
                await local.send_eof()
                return
        except trio.BrokenResourceError as exc:
            if isinstance(exc.__cause__, BackendError):
                raise exc.__cause__ from None
        nursery.cancel_scope.cancel()  # nothing more can be sent either way

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        nursery.start_soon(receive)
