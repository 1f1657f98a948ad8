"""Local TCP ports that lead to services in kernels."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from .._groups import one_error
from ..errors import BackendError, ConfigError
from ..wire.apps import AppInfo
from ..wire.services import ServiceOptions
from .app_list import find_app
from .app_stream import AppStream, connect_app
from .kernel import TrioKernel

__all__ = ["App", "copy_both_ways", "open_app"]

_KEPT_PROBLEMS = 100


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
    kernel: TrioKernel,
    app: str,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    options: ServiceOptions | None = None,
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
        options: arguments, variables and port of the service, which its first connection starts. A
            service that runs already keeps those that it was started with.

    Raises:
        NotFound: the kernel is gone, or offers no such service; the text lists those it offers.
        LocalProtocolError: the service takes no such argument, variable or port.
        ConfigError: the local address cannot be listened on.
        ApiError: the server refused or failed.
        ConnectionFailed: it cannot be reached.

    Endpoint: ``GET /stream/session/{name}/apps``, then a WebSocket
    ``/stream/session/{name}/tcpproxy`` for each connection (docs/protocol.md, section 6.5).
    """
    info = await find_app(kernel, app, options=options)
    try:
        listeners = await trio.open_tcp_listeners(port, host=host)
    except (OSError, OverflowError) as exc:
        reason = getattr(exc, "strerror", None) or exc
        raise ConfigError(
            "--bind",
            f"cannot listen on {host} port {port}: {reason}; choose another port, or 0 for a free "
            "one",
        ) from None
    sender, problems = trio.open_memory_channel[BackendError](_KEPT_PROBLEMS)

    async def serve(local: trio.SocketStream) -> None:
        try:
            with one_error():
                async with local, connect_app(kernel, app, options) as remote:
                    await copy_both_ways(local, remote)
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


async def copy_both_ways(local: trio.abc.HalfCloseableStream, remote: AppStream) -> None:
    """Copy bytes both ways until both directions have ended, or one side has gone.

    The end of one direction is passed on, and the other goes on. Managers cannot tell a service
    that its input has ended: what it still sends is copied until it closes the connection.

    Args:
        local: a stream of this machine.
        remote: the connection to a service.

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
