"""The web application: routes of each API version, authentication, and errors as problems."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import trio
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket

from ..._groups import one_error
from ...errors import RemoteProtocolError
from ...wire.archives import TAR
from ...wire.http import PROBLEM, Problem, encode_problem
from ...wire.storage_proxy import TUS_CONTENT_TYPE
from ...wire.versions import SEED, SESSION_5, SESSION_6, TRANSITION, TRASH, Era, Hello
from ..bodies import read_body
from ..kernels.registry import SessionRegistry
from ..kernels.session import Session
from ..refusals import Refused, refusal_of
from ..releases import OURS, TRANSITION_VERSIONS, Release
from . import handlers, kernel_files, server_info
from .apps import serve_app_connection
from .auth import authenticate
from .handlers import Answer, Call, Handler
from .manager_streams import serve_manager_execution, serve_manager_terminal
from .sockets import GOING_AWAY, NORMAL, close_socket, is_open
from .streams import is_resumable, serve_execution, serve_terminal
from .vfolders import folder_routes, storage_routes

__all__ = ["make_app"]

_log = logging.getLogger("backendai_trio.gateway")
_STREAMED = ("multipart/", TAR, TUS_CONTENT_TYPE)
"""Content types of files. Their bodies are streamed, and no API version signs them."""

# How kinds of problems were called before kernels became sessions (docs/protocol.md, section 10).
_KERNEL_KINDS = {
    "session-not-found": "kernel-not-found",
    "session-already-exists": "kernel-already-exists",
    "vfolder-not-found": "folder-not-found",
}

_NOT_FOUND = frozenset({"session-not-found", "image-not-found", "vfolder-not-found"})

_Table = list[tuple[str, str, Handler]]
"""Method, path and handler of each request."""
_SocketHandler = Callable[[WebSocket, Session], Awaitable[None]]

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


def make_app(sessions: SessionRegistry, eras: Sequence[Era], hello: Hello) -> Starlette:
    """The application.

    Args:
        sessions: the kernels to serve.
        eras: the API versions to speak, at least one.
        hello: the reply to a request for the server's version.
    """
    release = sessions.release
    endpoints = _Endpoints(sessions, _versions_of(eras, release))
    last = eras[-1]
    routes: list[BaseRoute] = []
    for era in reversed(eras):  # of those that share a path, the newest has it
        routes += _stream_routes(endpoints, era)
        routes += [
            Route(path, endpoints.http(handler, era), methods=[method])
            for method, path, handler in _table_of(era, manager_limits=sessions.manager_limits)
        ]
    routes += [
        Route(path, endpoints.http(handler, last, signed=False), methods=[method])
        for method, path, handler in storage_routes()
    ]
    routes += _hello_routes(eras, hello, sessions)

    # Coroutines without an await, because Starlette would run plain functions in threads.
    async def on_http_error(_request: Request, exc: Exception) -> Response:  # noqa: ASYNC124
        status = exc.status_code if isinstance(exc, HTTPException) else 500
        kind = {404: "generic-not-found", 405: "method-not-allowed"}.get(
            status, "generic-bad-request"
        )
        return _problem(Problem(status, kind, "No such API here"), last, release)

    async def on_failure(request: Request, exc: Exception) -> Response:  # noqa: ASYNC124
        _log.error("%s %s failed", request.method, request.url.path, exc_info=exc)
        return _problem(
            Problem(500, "internal-server-error", "The gateway failed", type(exc).__name__),
            last,
            release,
        )

    return Starlette(
        routes=routes, exception_handlers={HTTPException: on_http_error, Exception: on_failure}
    )


def _table_of(era: Era, *, manager_limits: bool) -> _Table:
    """The requests of one API version."""
    base = f"{era.prefix}/{era.noun}"
    creates = {era.create_path, f"{base}/" if era.prefix else base}
    if era.names_session:
        creates.add(f"{base}/_/create")
    table: _Table = [("POST", path, handlers.create) for path in sorted(creates)]
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
    # Managers have the list of services from 20.03 on.
    table.append(("GET", f"{_streams_of(era)}/apps", handlers.apps))
    table += [
        (method, path, handlers.authorize)
        for method in ("GET", "POST")
        for path in ("/auth", "/auth/test")
    ]
    table += server_info.ROUTES
    return table


def _stream_routes(endpoints: _Endpoints, era: Era) -> Iterator[WebSocketRoute]:
    """The WebSockets of one API version."""
    streams: dict[str, _SocketHandler] = {
        "pty": _serve_terminal,
        # Not in the seed era's API; there, resumable streams are an addition of gateways.
        "execute": _serve_execution,
    }
    if not era.prefix:  # managers have them from 18.12 on
        streams["httpproxy"] = streams["tcpproxy"] = serve_app_connection
    for name, handler in streams.items():
        yield WebSocketRoute(f"{_streams_of(era)}/{name}", endpoints.websocket(handler, era))


def _streams_of(era: Era) -> str:
    return f"{era.prefix}/stream/{era.noun}/{{name}}"


async def _serve_execution(socket: WebSocket, session: Session) -> None:
    """An execution, in the form of resumable streams or in that of managers."""
    serve = serve_execution if is_resumable(socket) else serve_manager_execution
    await serve(socket, session)


async def _serve_terminal(socket: WebSocket, session: Session) -> None:
    """The kernel's terminal, likewise."""
    serve = serve_terminal if is_resumable(socket) else serve_manager_terminal
    await serve(socket, session)


def _hello_routes(eras: Sequence[Era], hello: Hello, sessions: SessionRegistry) -> Iterator[Route]:
    release = sessions.release

    async def say_hello(request: Request) -> Response:  # noqa: ASYNC124 (see `make_app`)
        if release.hello_needs_date and "date" not in request.headers:
            problem = Problem(400, "invalid-auth-params", "Date/time sync error")
            return _problem(problem, eras[-1], release)
        told = hello
        if release is OURS and sessions.faults.trash:
            told = replace(hello, features=hello.features | {TRASH})
        return _response(Answer(told.encode()))

    paths = set(release.hello_paths)
    if release is OURS:
        paths = {era.hello_path for era in eras}
        if SEED.hello_path in paths:
            paths |= {"/v1", "/v3"}
    for path in sorted(paths):
        yield Route(path, say_hello)


def _versions_of(eras: Sequence[Era], release: Release) -> dict[str, Era]:
    """The versions that requests may name, where no path does."""
    if release is not OURS:
        return dict.fromkeys(release.versions, release.era)
    versions: dict[str, Era] = {}
    if TRANSITION in eras:
        versions |= dict.fromkeys(TRANSITION_VERSIONS, TRANSITION)
    if any(era.names_session for era in eras):
        versions |= {era.version: era for era in (SESSION_5, SESSION_6)}
    return versions


@dataclass(frozen=True)
class _Endpoints:
    """Makes endpoints of handlers."""

    sessions: SessionRegistry
    versions: Mapping[str, Era]
    """The era of each version that a request may name."""

    def _problem(self, problem: Problem, era: Era) -> Response:
        return _problem(problem, era, self.sessions.release)

    def http(
        self, handler: Handler, era: Era, *, signed: bool = True
    ) -> Callable[[Request], Awaitable[Response]]:
        """An endpoint that checks the version and the signature, reads the body, and answers.

        Args:
            handler: handles the request.
            era: whose path it is.
            signed: whether the request is signed; else the handler checks a token in its query.
        """

        async def respond(request: Request) -> Response:
            try:
                return await self._respond(request, handler, era, signed=signed)
            except Refused as exc:
                return self._problem(exc.problem, era)
            except ClientDisconnect:
                return _response(Answer())  # no client reads it
            except RemoteProtocolError as exc:
                return self._problem(
                    Problem(400, "invalid-api-params", "Malformed request", str(exc)), era
                )
            except OSError as exc:
                _log.warning("%s %s failed: %s", request.method, request.url.path, exc)
                return self._problem(refusal_of(exc).problem, era)
            except sqlite3.OperationalError as exc:  # "database or disk is full", "locked"
                _log.warning("%s %s failed: %s", request.method, request.url.path, exc)
                return self._problem(
                    Problem(507, "storage-full", "The gateway's database failed", str(exc)), era
                )

        return respond

    async def _respond(
        self, request: Request, handler: Handler, era: Era, *, signed: bool
    ) -> Response:
        request_era = self._era_of(request, era)
        streamed = request.headers.get("content-type", "").lower().startswith(_STREAMED)
        limit = self.sessions.limits.max_body_bytes
        body = b"" if streamed else await read_body(request, limit)
        access_key = ""
        if signed:
            access_key = authenticate(request, request.method, body, self.sessions.store)
        answer = handler(Call(request, body, access_key, request_era, self.sessions))
        if not isinstance(answer, Answer | Response):
            answer = await answer
        return _response(answer) if isinstance(answer, Answer) else answer

    def _era_of(self, request: HTTPConnection, era: Era) -> Era:
        """The API version of a request: where two versions share a path, its header decides.

        Args:
            request: the request.
            era: the newest one that has the path.

        Raises:
            Refused: 400, the version in the header is not supported.
        """
        headers = request.headers
        version = headers.get("x-backendai-version") or headers.get("x-sorna-version")
        if era.prefix or version is None:
            return era
        candidate = self.versions.get(version)
        if candidate is None:
            if not era.names_session:  # managers before 19.03 take any
                return era
            raise Refused(
                400,
                "generic-bad-request",
                "Unsupported API version",
                f"{version!r}; this gateway speaks {', '.join(self.versions)} here",
            )
        # A path that names sessions, or kernels, belongs to its own versions.
        own = request.url.path.startswith((f"/{era.noun}", f"/stream/{era.noun}"))
        return era if own and candidate.noun != era.noun else candidate

    def websocket(
        self, handler: _SocketHandler, era: Era
    ) -> Callable[[WebSocket], Awaitable[None]]:
        """The same for a WebSocket, which is closed when its kernel ends.

        Args:
            handler: accepts the WebSocket, or raises `Refused` before.
            era: whose path it is.
        """

        async def respond(socket: WebSocket) -> None:
            try:
                self._era_of(socket, era)
                access_key = authenticate(socket, "GET", b"", self.sessions.store)
                session = self.sessions.find(access_key, socket.path_params["name"])
                with one_error():
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(_cancel_when_ended, session, nursery.cancel_scope)
                        await handler(socket, session)
                        await close_socket(socket, NORMAL)
                        nursery.cancel_scope.cancel()
            except Refused as exc:
                if not is_open(socket):
                    await socket.send_denial_response(self._problem(exc.problem, era))
                    return
                await close_socket(socket, GOING_AWAY, exc.problem.detail)
            await close_socket(socket, GOING_AWAY, "the kernel has ended")

        return respond


async def _cancel_when_ended(session: Session, scope: trio.CancelScope) -> None:
    await session.ended.wait()
    scope.cancel()


def _response(answer: Answer) -> Response:
    # Client 1.1.1 requires both headers in every reply, even in a 204 (docs/protocol.md,
    # section 12, item 2). Starlette does not change headers that are given here.
    headers = {"content-type": answer.content_type, "content-length": str(len(answer.body))}
    headers.update(answer.headers)
    return Response(answer.body, answer.status, headers)


def _problem(problem: Problem, era: Era, release: Release) -> Response:
    if release.not_found_kind and problem.kind in _NOT_FOUND:
        problem = replace(problem, kind=release.not_found_kind)
    if not era.names_session:
        problem = replace(problem, kind=_KERNEL_KINDS.get(problem.kind, problem.kind))
    body = encode_problem(problem, separate_detail=era.separate_detail)
    return _response(Answer(body, problem.status, PROBLEM))
