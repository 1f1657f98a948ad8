"""The requests and WebSockets of each API version, and their handlers."""

from __future__ import annotations

from collections.abc import Iterator

from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket

from ...wire.versions import Era
from ..kernels.session import Session
from ..refusals import Refused
from . import handlers, kernel_files, server_info, templates
from .apps import serve_app_connection
from .endpoints import Endpoints, SocketHandler
from .handlers import Answer, Call, Handler
from .manager_streams import serve_manager_execution, serve_manager_terminal
from .streams import is_resumable, serve_execution, serve_terminal
from .vfolders import folder_routes

__all__ = ["stream_routes", "table_of"]

_Table = list[tuple[str, str, Handler]]
"""Method, path and handler of each request."""

_SESSION_ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "", handlers.info),
    ("PATCH", "", handlers.restart),
    ("DELETE", "", handlers.destroy),
    ("POST", "", handlers.execute),
    ("POST", "/interrupt", handlers.interrupt),
    ("POST", "/complete", handlers.complete),
    ("GET", "/logs", handlers.logs),
    ("POST", "/rename", handlers.rename),
    ("POST", "/upload", kernel_files.upload),
)
# From 1.4 on (docs/protocol.md, section 5). Managers have changed the methods back and forth.
_FILE_ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/files", kernel_files.list_files),
    *((method, "/download", kernel_files.download) for method in ("GET", "POST")),
    *((method, "/download_single", kernel_files.download_single) for method in ("GET", "POST")),
)
# Only gateways have these, in all API versions, unless they keep a manager's limits.
_ARCHIVE_ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("PUT", "/archive", kernel_files.upload_archive),
    ("POST", "/archive", kernel_files.download_archive),
    ("POST", "/files/digests", kernel_files.digests),
    ("POST", "/files/remove", kernel_files.remove),
    ("POST", "/files/mkdir", kernel_files.mkdir),
)


def table_of(era: Era, *, manager_limits: bool) -> _Table:
    """The requests of one API version.

    Args:
        era: the version.
        manager_limits: whether the gateway keeps the limits of managers, and has no archives.
    """
    base = f"{era.prefix}/{era.noun}"
    creates = {era.create_path, f"{base}/" if era.prefix else base}
    if era.names_session:
        creates.add(f"{base}/_/create")
    table: _Table = [("POST", path, handlers.create) for path in sorted(creates)]
    if era.names_session:
        table.append(("GET", f"{base}/_/match", handlers.matches))
        table.append(("GET", f"{base}/_/logs", handlers.task_log))
        table.append(("POST", era.template_create_path, templates.create_from_template))
        table += templates.ROUTES
    table.append(("POST", era.graphql_path, handlers.graphql))
    # In the seed era the path names a kernel, and managers refuse the request.
    events = f"{era.prefix}/stream/kernel/{{name}}/events" if era.prefix else era.events_path
    table.append(("GET", events, handlers.events))
    session_routes = list(_SESSION_ROUTES)
    if not era.prefix:
        session_routes += _FILE_ROUTES
    if not manager_limits:
        session_routes += _ARCHIVE_ROUTES
        if era.prefix:
            session_routes.append(("GET", "/files", kernel_files.list_files))
    table += [
        (method, f"{base}/{{name}}{tail}", handler) for method, tail, handler in session_routes
    ]
    table += folder_routes(era)
    if era.prefix:
        table.append(("GET", f"{era.prefix}/authorize", handlers.authorize))
        return table
    if era.names_session:
        table.append(("POST", f"{base}/{{name}}/shutdown-service", handlers.shutdown_service))
    if era.takes_ids:
        table.append(("POST", f"{base}/{{name}}/start-service", handlers.start_service))
    # Managers have the list of services from 20.03 on.
    table.append(("GET", f"{_streams_of(era)}/apps", handlers.apps))
    table += [
        (method, path, handlers.authorize)
        for method in ("GET", "POST")
        for path in ("/auth", "/auth/test")
    ]
    table += server_info.routes_of(era)
    return table


def stream_routes(endpoints: Endpoints, era: Era) -> Iterator[BaseRoute]:
    """The WebSockets of one API version.

    Args:
        endpoints: makes the endpoints of the handlers.
        era: the version.
    """
    streams: dict[str, SocketHandler] = {
        "pty": _serve_terminal,
        # Not in the seed era's API; there, resumable streams are an addition of gateways.
        "execute": _serve_execution,
    }
    if not era.prefix:  # managers have them from 18.12 on
        streams["httpproxy"] = streams["tcpproxy"] = serve_app_connection
    for name, handler in streams.items():
        path = f"{_streams_of(era)}/{name}"
        yield WebSocketRoute(path, endpoints.websocket(handler, era))
        yield Route(path, endpoints.http(_refuse_request, era), methods=["GET"])


def _streams_of(era: Era) -> str:
    return f"{era.prefix}/stream/{era.noun}/{{name}}"


def _refuse_request(_call: Call) -> Answer:
    """Refuse a WebSocket that a proxy has taken the upgrade out of, as managers do."""
    raise Refused(400, "generic-bad-request", "This is a WebSocket; the request has no upgrade")


async def _serve_execution(socket: WebSocket, session: Session) -> None:
    """An execution, in the form of resumable streams or in that of managers."""
    serve = serve_execution if is_resumable(socket) else serve_manager_execution
    await serve(socket, session)


async def _serve_terminal(socket: WebSocket, session: Session) -> None:
    """The kernel's terminal, in either form."""
    serve = serve_terminal if is_resumable(socket) else serve_manager_terminal
    await serve(socket, session)
