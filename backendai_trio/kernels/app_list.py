"""The services that a kernel offers."""

from __future__ import annotations

import trio

from ..errors import LocalProtocolError, NotFound
from ..wire.apps import AppInfo, decode_apps
from ..wire.http import UNKNOWN_ROUTE, Request
from ..wire.services import ServiceOptions, check_service_options
from .kernel import TrioKernel

__all__ = ["find_app", "list_apps"]


async def list_apps(kernel: TrioKernel) -> list[AppInfo]:
    """List the services that a kernel offers.

    On our own gateway these are the TCP ports that programs in the kernel listen on at the moment;
    the name of each is its number.

    Args:
        kernel: the kernel.

    Returns:
        The services, in the server's order.

    Raises:
        NotFound: the kernel is gone.
        LocalProtocolError: a manager before 20.03, which has no list.
        ApiError: the server refused or failed.
        ConnectionFailed: it cannot be reached.

    Endpoint: ``GET /stream/session/{name}/apps`` (docs/protocol.md, section 6.5).
    """
    path = kernel.client.era.stream_path(kernel.address, "apps")
    try:
        reply = await kernel.client.call(Request("GET", path))
    except NotFound as exc:
        if exc.kind in UNKNOWN_ROUTE and not kernel.client.era.names_session:
            raise LocalProtocolError(
                "this server has no list of services (managers have that from 20.03 on); "
                "name the service that is wanted"
            ) from exc
        raise
    return decode_apps(reply.body)


async def find_app(
    kernel: TrioKernel, app: str, *, options: ServiceOptions | None = None
) -> AppInfo:
    """Find a service in the server's list.

    Args:
        kernel: the kernel.
        app: name of the service.
        options: what it is to be started with, for a check that it takes that.

    Returns:
        Its entry; only the name where servers have no list (managers before 20.03).

    Raises:
        NotFound: the kernel is gone, or offers no such service; the text lists those it offers.
        LocalProtocolError: the service takes no such argument, variable or port.
        ApiError, ConnectionFailed: as for `list_apps`.

    Endpoint: as for `list_apps`.
    """
    if not kernel.client.era.names_session:
        await trio.lowlevel.checkpoint()
        return AppInfo(app)  # such servers have no list; the first connection shows it
    offered = await list_apps(kernel)
    for info in offered:
        if info.name == app:
            if options:
                check_service_options(info, options)
            return info
    names = ", ".join(info.name for info in offered)
    others = f"it offers {names}" if names else "nor any other"
    raise NotFound(
        404,
        kind="app-not-found",
        title=f"kernel {kernel.token} offers no service {app!r} ({others}); a program "
        "must listen on a port before it can be reached",
    )
