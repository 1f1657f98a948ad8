"""Services in kernels: starting them for others, and ending them."""

from __future__ import annotations

from dataclasses import dataclass, field

import trio

from ..errors import LocalProtocolError, ServerError
from ..wire.apps import AppInfo
from ..wire.http import JSON, Request
from ..wire.services import (
    ServiceAddress,
    ServiceOptions,
    StartService,
    shutdown_arguments,
)
from .app_list import find_app
from .kernel import TrioKernel

__all__ = ["StartedService", "shutdown_service", "start_service"]


@dataclass(frozen=True, slots=True)
class StartedService:
    """A service that an app proxy serves. Made by `start_service`."""

    info: AppInfo
    """The service."""
    session_id: str
    """UUID of its session."""
    address: ServiceAddress = field(repr=False)
    """The app proxy and its token."""

    def url(self, *, public: bool = False) -> str:
        """The address to open in a browser. It lets in whoever knows it, so treat it as a secret.

        Args:
            public: let everyone in who knows the address that the proxy redirects to; else only the
                browser that was redirected.
        """
        return self.address.url(self.session_id, self.info, public=public)


async def start_service(
    kernel: TrioKernel, app: str, *, options: ServiceOptions | None = None
) -> StartedService:
    """Start a service, and let the cluster's app proxy serve it.

    Its address works in any browser, without this client; `open_app` makes a local port instead.

    Args:
        kernel: the kernel that the service runs in.
        app: name of the service, as in `list_apps`.
        options: arguments, variables and port of the service. A service that runs already keeps
            those that it was started with.

    Returns:
        The service, and its address.

    Raises:
        NotFound: the kernel is gone, or offers no such service.
        LocalProtocolError: a manager before 21.09.3, which starts no services; or the service takes
            no such argument, variable or port.
        ServerError: the cluster has no app proxy, or the service did not start.
        ApiError: the server refused.
        ConnectionFailed: it could not be reached.

    Cancellation: the service may have been started.

    Endpoint: ``POST /session/{name}/start-service`` (docs/protocol.md, section 6.5).
    """
    client = kernel.client
    if not (client.era.takes_ids and client.hello.starts_services):
        await trio.lowlevel.checkpoint()
        raise LocalProtocolError(
            f"this server cannot start the service {app} for an app proxy: managers can from "
            "21.09.3 on; use 'backend.ai app', which makes a local port for it"
        )
    info = await find_app(kernel, app, options=options)
    path = client.era.session_path(kernel.address, "start-service")
    body = StartService(app, options or ServiceOptions()).encode()
    try:
        reply = await client.call(Request("POST", path, (), body, JSON), head_seconds=None)
    except ServerError as exc:
        if exc.status == 503:
            exc.advice = (
                "where no app proxy serves the session's resource group, 'backend.ai app' makes a "
                "local port for a service"
            )
        raise
    return StartedService(info, kernel.kernel_id, ServiceAddress.decode(reply.body))


async def shutdown_service(kernel: TrioKernel, app: str) -> None:
    """End a service that the server has started. One that does not run is fine.

    Args:
        kernel: the kernel that the service runs in.
        app: name of the service.

    Raises:
        NotFound: the kernel is gone, or offers no such service.
        LocalProtocolError: a manager before 20.03, which ends no services.
        ApiError: the server refused or failed.
        ConnectionFailed: it could not be reached.

    Cancellation: the service may have been ended.

    Endpoint: ``POST /session/{name}/shutdown-service`` (docs/protocol.md, section 6.5).
    """
    client = kernel.client
    if not client.era.names_session:
        await trio.lowlevel.checkpoint()
        raise LocalProtocolError(
            f"this server cannot end the service {app}: managers can from 20.03 on"
        )
    await find_app(kernel, app)
    path = client.era.session_path(kernel.address, "shutdown-service")
    arguments = shutdown_arguments(app)
    # In both: servers have looked in the one and in the other (docs/protocol.md, section 3.8).
    query = tuple(arguments.items())
    await client.call(Request.of_json("POST", path, arguments, query=query))
