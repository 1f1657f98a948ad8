"""Services in kernels, reached from here: a stream, or a local TCP port with many connections."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

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

_PIECE_BYTES = 64 * 1024
_KEPT_PROBLEMS = 100


async def list_apps(kernel: TrioKernel) -> list[AppInfo]:
    """The services that a kernel offers.

    On our own gateway these are the TCP ports that programs in the kernel listen on at the moment,
    each under its number.

    Raises:
        NotFound: the kernel is gone, or the server is older than 20.03 and keeps no list.

    Endpoint: ``GET /stream/session/{name}/apps`` (contract section 6.5).
    """
    path = kernel.client.era.stream_path(kernel.address, "apps")
    return decode_apps((await kernel.client.call(Request("GET", path))).body)


class AppStream(trio.abc.HalfCloseableStream):
    """A connection to a service. Made by `open_app_stream`.

    Attributes:
        ended: whether the server has closed both directions.
    """

    def __init__(self, socket: WebSocket, *, half_close: bool) -> None:
        self.ended = False
        self._socket = socket
        self._half_close = half_close
        self._input_ended = False
        self._output_ended = False
        self._left = b""

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send bytes to the service; waits while it is behind.

        Cancellation: a part of the data may have been sent.
        """
        await trio.lowlevel.checkpoint()
        if self._input_ended:
            raise trio.ClosedResourceError("this direction was ended")
        view = memoryview(data)
        try:
            for start in range(0, len(view), _PIECE_BYTES):
                await self._socket.send_message(bytes(view[start : start + _PIECE_BYTES]))
        except ConnectionClosed as exc:
            raise trio.BrokenResourceError("the service has closed the connection") from exc

    async def wait_send_all_might_not_block(self) -> None:
        """Returns at once: how far the service has read shows only in sending."""
        await trio.lowlevel.checkpoint()

    async def send_eof(self) -> None:
        """Tell the service that no more comes. Managers cannot; there nothing happens."""
        await trio.lowlevel.checkpoint()
        if self._input_ended:
            return
        self._input_ended = True
        if self._half_close:
            try:
                await self._socket.send_message(END_OF_STREAM)
            except ConnectionClosed:
                pass  # it has ended anyway

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Bytes from the service, ``b""`` when it sends no more.

        Raises:
            trio.BrokenResourceError: the connection broke, or the service refused it; its cause is
                a `ConnectionFailed` that tells why.
        """
        await trio.lowlevel.checkpoint()
        while not self._left and not self._output_ended:
            try:
                message = await self._socket.get_message()
            except ConnectionClosed as exc:
                self._output_ended = self.ended = True
                if (problem := _problem(exc.reason)) is not None:
                    raise trio.BrokenResourceError(str(problem)) from problem
                break
            if isinstance(message, bytes):
                self._left = message
            elif is_end_of_stream(message):
                self._output_ended = True
        size = len(self._left) if max_bytes is None else max_bytes
        data, self._left = self._left[:size], self._left[size:]
        return data

    async def aclose(self) -> None:
        """End both directions."""
        self._input_ended = self._output_ended = True
        await self._socket.aclose()


def _problem(reason: CloseReason | None) -> ConnectionFailed | None:
    """What a close means; None for an orderly end."""
    code = 0 if reason is None else reason.code
    if code in (NORMAL, SERVICE_CLOSED):
        return None
    text = (reason and reason.reason) or f"close code {code}"
    if code == SERVICE_REFUSED:
        return ConnectionFailed(f"the service takes no connections ({text}); is it running?")
    return ConnectionFailed(f"the connection to the service broke ({text})")


@asynccontextmanager
async def open_app_stream(kernel: TrioKernel, app: str) -> AsyncIterator[AppStream]:
    """Connect to a service of a kernel; closed when the block ends.

    Args:
        kernel: where it runs.
        app: its name; on our own gateway the number of a port that a program there listens on.

    Raises:
        NotFound: the kernel is gone, or offers no such service.
        ConnectionFailed: the server cannot be reached.

    Endpoint: WebSocket ``/stream/session/{name}/tcpproxy`` (contract section 6.5).
    """
    client = kernel.client
    half_close = client.has(HALF_CLOSE)
    path = client.era.stream_path(kernel.address, "tcpproxy")
    query = connection_query(app, half_close=half_close)
    async with open_websocket(client, path, query=query, tunnel=True) as socket:
        yield AppStream(socket, half_close=half_close)


class App:
    """A local port that leads to a service. Made by `open_app`.

    Attributes:
        info: the service.
        host: the local address, as a number.
        port: the local TCP port.
        problems: why connections failed, as they do; if nobody reads, the first hundred are kept.
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
        """Its address for a person to use."""
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
    """Listen on a local TCP port, and lead each connection to a service of a kernel.

    Every connection has a WebSocket of its own. The end of the block ends them all.

    Args:
        kernel: where the service runs.
        app: its name, one of `list_apps`.
        host: local address or name. Whoever reaches it reaches the service.
        port: local TCP port, 0 for a free one.

    Raises:
        NotFound: the kernel is gone, or offers no such service; the text names those it offers.
        ConfigError: the local address cannot be listened on.
    """
    info = await _find(kernel, app)
    try:
        listeners = await trio.open_tcp_listeners(port, host=host)
    except (OSError, OverflowError) as exc:
        raise ConfigError(
            "--bind", f"cannot listen on {host} port {port}: {exc}; choose another, or 0 for any"
        ) from None
    sender, problems = trio.open_memory_channel[BackendError](_KEPT_PROBLEMS)

    async def connect(near: trio.SocketStream) -> None:
        try:
            with one_error():
                async with near, open_app_stream(kernel, app) as far:
                    await _join(near, far)
        except BackendError as exc:
            try:
                sender.send_nowait(exc)
            except trio.WouldBlock:
                pass  # nobody reads, and enough are kept

    with one_error(), problems:
        async with trio.open_nursery() as nursery:
            address = listeners[0].socket.getsockname()
            await nursery.start(trio.serve_listeners, connect, listeners)
            yield App(info, (address[0], address[1]), problems)
            nursery.cancel_scope.cancel()


async def _find(kernel: TrioKernel, app: str) -> AppInfo:
    """What the server says of a service."""
    if not kernel.client.era.names_session:
        return AppInfo(app)  # it keeps no list; the first connection tells
    offered = await list_apps(kernel)
    for info in offered:
        if info.name == app:
            return info
    names = ", ".join(info.name for info in offered) or "none"
    raise NotFound(
        404,
        kind="app-not-found",
        title=f"kernel {kernel.token} offers no service {app!r} (but: {names}); "
        "a program must listen on a port before it can be reached",
    )


async def _join(near: trio.SocketStream, far: AppStream) -> None:
    """Carry bytes both ways until both directions have ended.

    Raises:
        ConnectionFailed: the far side broke.
    """

    async def outward() -> None:
        try:
            async for data in near:
                await far.send_all(data)
            await far.send_eof()
        except trio.BrokenResourceError:
            await far.aclose()  # `inward` hears why

    async def inward() -> None:
        try:
            async for data in far:
                await near.send_all(data)
            if not far.ended:
                await near.send_eof()
                return
        except trio.BrokenResourceError as exc:
            if isinstance(exc.__cause__, BackendError):
                raise exc.__cause__ from None
        nursery.cancel_scope.cancel()  # nobody is left to send to

    async with trio.open_nursery() as nursery:
        nursery.start_soon(outward)
        nursery.start_soon(inward)
