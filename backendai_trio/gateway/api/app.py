"""The web application: routes of each era, authentication, and errors as problems."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

import trio
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketState

from ..._groups import one_error
from ...errors import RemoteProtocolError
from ...wire.archives import TAR
from ...wire.http import PROBLEM, Problem, encode_problem
from ...wire.storage_proxy import TUS_CONTENT_TYPE
from ...wire.versions import SEED, SESSION_5, SESSION_6, Era, Hello
from ..bodies import read_body
from ..kernels.registry import Sessions
from ..kernels.session import Session
from ..refusals import Refused
from . import handlers, kernel_files, server_info
from .apps import serve_service
from .auth import authenticate
from .handlers import Answer, Call, Handler
from .streams import GOING_AWAY, NORMAL, serve_execution, serve_screen
from .vfolders import folder_routes, storage_routes

__all__ = ["make_app"]

_log = logging.getLogger("backendai_trio.gateway")
MAX_BODY_BYTES = 64 * 1024 * 1024
"""Largest body that is read whole; files are streamed and have limits of their own."""
_STREAMED = ("multipart/", TAR, TUS_CONTENT_TYPE)
"""Content types of files; no era signs such bodies."""

# What the kinds of problems were called before sessions were (contract section 10).
_OLD_KINDS = {
    "session-not-found": "kernel-not-found",
    "session-already-exists": "kernel-already-exists",
    "vfolder-not-found": "folder-not-found",
}

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
# From 1.4 on (contract section 5). Managers have changed the methods to and fro.
_FILE_ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/files", kernel_files.list_files),
    *((method, "/download", kernel_files.download) for method in ("GET", "POST")),
    *((method, "/download_single", kernel_files.download_single) for method in ("GET", "POST")),
)
# Ours alone, in all eras, unless the limits of managers are to be kept.
_ARCHIVE_ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("PUT", "/archive", kernel_files.upload_archive),
    ("POST", "/archive", kernel_files.download_archive),
    ("POST", "/files/digests", kernel_files.digests),
    ("POST", "/files/remove", kernel_files.remove),
    ("POST", "/files/mkdir", kernel_files.mkdir),
)


@dataclass(frozen=True)
class _Gate:
    """What every endpoint needs."""

    sessions: Sessions

    def endpoint(
        self, handler: Handler, era: Era, *, signed: bool = True
    ) -> Callable[[Request], Awaitable[Response]]:
        """Wrap a handler: check the version, read and authenticate, answer, or tell the problem.

        What is not signed has a token in its query, and the handler looks at that.
        """

        async def respond(request: Request) -> Response:
            try:
                spoken = _spoken(era, request)
                streamed = request.headers.get("content-type", "").lower().startswith(_STREAMED)
                body = b"" if streamed else await read_body(request, MAX_BODY_BYTES)
                access_key = ""
                if signed:
                    access_key = authenticate(request, request.method, body, self.sessions.store)
                answer = handler(Call(request, body, access_key, spoken, self.sessions))
                if not isinstance(answer, Answer | Response):
                    answer = await answer
                return _response(answer) if isinstance(answer, Answer) else answer
            except Refused as exc:
                return _problem(exc.problem, era)
            except ClientDisconnect:
                return _response(Answer())  # nobody reads it
            except RemoteProtocolError as exc:
                return _problem(
                    Problem(400, "invalid-api-params", "Malformed request", str(exc)), era
                )

        return respond

    def socket(
        self, serve: Callable[[WebSocket, Session], Awaitable[None]], era: Era
    ) -> Callable[[WebSocket], Awaitable[None]]:
        """Wrap a WebSocket's handler likewise; it ends when its kernel ends.

        The handler accepts the WebSocket; until then it may refuse.
        """

        async def respond(socket: WebSocket) -> None:
            try:
                _spoken(era, socket)
                access_key = authenticate(socket, "GET", b"", self.sessions.store)
                session = self.sessions.find(access_key, socket.path_params["name"])
                with one_error():
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(_cancel_when_ended, session, nursery.cancel_scope)
                        await serve(socket, session)
                        if _is_open(socket):
                            await socket.close(NORMAL)
                        nursery.cancel_scope.cancel()
            except Refused as exc:
                await socket.send_denial_response(_problem(exc.problem, era))
                return
            await _close(socket, GOING_AWAY, "the kernel has ended")

        return respond


def make_app(sessions: Sessions, eras: Sequence[Era], hello: Hello) -> Starlette:
    """The application.

    Args:
        sessions: the kernels it serves.
        eras: whose APIs it speaks, at least one.
        hello: what it says of itself to who asks for its version.
    """
    gate = _Gate(sessions)
    routes: list[Route | WebSocketRoute] = []
    for era in eras:
        base = f"{era.prefix}/{era.noun}"
        creates = {era.create_path, f"{base}/" if era.prefix else base}
        if era.names_session:
            creates.add(f"{base}/_/create")
        table: list[tuple[str, str, Handler]] = [
            ("POST", path, handlers.create) for path in sorted(creates)
        ]
        table += [("POST", era.graphql_path, handlers.graphql)]
        # In the seed era events are asked for by kernel, and refused by all managers.
        events = f"{era.prefix}/stream/kernel/{{name}}/events" if era.prefix else era.events_path
        table += [("GET", events, handlers.events)]
        of_session = list(_SESSION_ROUTES)
        if not era.prefix:
            of_session += _FILE_ROUTES
        if not sessions.manager_limits:
            of_session += _ARCHIVE_ROUTES
            if era.prefix:
                of_session.append(("GET", "/files", kernel_files.list_files))
        table += [
            (method, f"{base}/{{name}}{tail}", handler) for method, tail, handler in of_session
        ]
        streams = f"{era.prefix}/stream/{era.noun}/{{name}}"
        routes.append(WebSocketRoute(f"{streams}/pty", gate.socket(serve_screen, era)))
        # Not in the seed era's API; there, numbered streams are an addition of ours.
        routes.append(WebSocketRoute(f"{streams}/execute", gate.socket(serve_execution, era)))
        table += folder_routes(era)
        if not era.prefix:  # managers from 18.12 on; the list of services from 20.03 on
            table += [("GET", f"{streams}/apps", handlers.apps)]
            routes += [
                WebSocketRoute(f"{streams}/{kind}", gate.socket(serve_service, era))
                for kind in ("httpproxy", "tcpproxy")
            ]
        if era.prefix:
            table += [("GET", f"{era.prefix}/authorize", handlers.authorize)]
        else:
            table += [
                (m, p, handlers.authorize) for m in ("GET", "POST") for p in ("/auth", "/auth/test")
            ]
            table += server_info.ROUTES
        routes += [
            Route(path, gate.endpoint(handler, era), methods=[m]) for m, path, handler in table
        ]

    last = eras[-1]
    routes += [
        Route(path, gate.endpoint(handler, last, signed=False), methods=[method])
        for method, path, handler in storage_routes()
    ]

    # Coroutines without an await, since Starlette would run plain functions in threads.
    async def say_hello(_request: Request) -> Response:  # noqa: ASYNC124
        return _response(Answer(hello.encode()))

    if any(not era.prefix for era in eras):
        routes.append(Route("/", say_hello))
    if SEED in eras:
        routes += [Route(f"/v{number}", say_hello) for number in (1, 2, 3)]

    async def on_http_error(_request: Request, exc: Exception) -> Response:  # noqa: ASYNC124
        status = exc.status_code if isinstance(exc, HTTPException) else 500
        kind = {404: "generic-not-found", 405: "method-not-allowed"}.get(
            status, "generic-bad-request"
        )
        return _problem(Problem(status, kind, "No such API here"), last)

    async def on_failure(request: Request, exc: Exception) -> Response:  # noqa: ASYNC124
        _log.error("%s %s failed", request.method, request.url.path, exc_info=exc)
        return _problem(
            Problem(500, "internal-server-error", "The gateway failed", type(exc).__name__), last
        )

    return Starlette(
        routes=routes, exception_handlers={HTTPException: on_http_error, Exception: on_failure}
    )


def _spoken(era: Era, request: HTTPConnection) -> Era:
    """The era a request is answered in; where several share a path the version header decides."""
    version = request.headers.get("x-backendai-version") or request.headers.get("x-sorna-version")
    if era.prefix or version is None:
        return era
    for candidate in (SESSION_5, SESSION_6):
        if candidate.version == version:
            return era if candidate.name == era.name else candidate
    if not era.names_session:
        return era
    raise Refused(
        400,
        "generic-bad-request",
        "Unsupported API version",
        f"{version!r}; this gateway speaks {SESSION_5.version} and {SESSION_6.version} here",
    )


async def _close(socket: WebSocket, code: int, reason: str = "") -> None:
    """Close the connection, if it is open."""
    if not _is_open(socket):
        return
    try:
        await socket.close(code, reason)
    except trio.BusyResourceError:
        # The peer has hung up in this moment, and the HTTP server closes the connection: while it
        # does, it lets others write and fail (hypercorn 0.18; its `_close` takes no `send_lock`).
        pass


def _is_open(socket: WebSocket) -> bool:
    return socket.client_state is socket.application_state is WebSocketState.CONNECTED


async def _cancel_when_ended(session: Session, scope: trio.CancelScope) -> None:
    await session.ended.wait()
    scope.cancel()


def _response(answer: Answer) -> Response:
    # Client 1.1.1 reads both headers of every reply, 204 included, and cannot do without
    # (contract section 12, item 2). Given here, Starlette leaves them alone.
    headers = {"content-type": answer.content_type, "content-length": str(len(answer.body))}
    headers.update(answer.headers)
    return Response(answer.body, answer.status, headers)


def _problem(problem: Problem, era: Era) -> Response:
    if not era.names_session:
        problem = replace(problem, kind=_OLD_KINDS.get(problem.kind, problem.kind))
    body = encode_problem(problem, separate_detail=era.separate_detail)
    return _response(Answer(body, problem.status, PROBLEM))
