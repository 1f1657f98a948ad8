"""The web application: its routes, and what no route answers."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from ...wire.http import Problem, describe_request
from ...wire.versions import ERAS, SEED, TRANSITION, TRASH, Era, Hello
from ..kernels.registry import SessionRegistry
from ..releases import OURS, TRANSITION_VERSIONS, Release
from .endpoints import Endpoints, problem_response, response_of
from .handlers import Answer
from .routes import stream_routes, table_of
from .vfolders import storage_routes

__all__ = ["make_app"]

_log = logging.getLogger("backendai_trio.gateway")


def make_app(sessions: SessionRegistry, eras: Sequence[Era], hello: Hello) -> Starlette:
    """The application.

    Args:
        sessions: the kernels to serve.
        eras: the API versions to speak, at least one.
        hello: the reply to a request for the server's version.
    """
    release = sessions.release
    endpoints = Endpoints(sessions, _versions_of(eras, release))
    last = eras[-1]
    routes: list[BaseRoute] = []
    for era in reversed(eras):  # of those that share a path, the newest has it
        routes += stream_routes(endpoints, era)
        routes += [
            Route(path, endpoints.http(handler, era), methods=[method])
            for method, path, handler in table_of(era, manager_limits=sessions.manager_limits)
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
        return problem_response(Problem(status, kind, "No such API here"), last, release)

    async def on_failure(request: Request, exc: Exception) -> Response:  # noqa: ASYNC124
        described = describe_request(request.method, request.url.path)
        _log.error("%s failed", described, exc_info=exc)
        return problem_response(
            Problem(500, "internal-server-error", "The gateway failed", type(exc).__name__),
            last,
            release,
        )

    app = Starlette(
        routes=routes, exception_handlers={HTTPException: on_http_error, Exception: on_failure}
    )
    # Managers redirect nothing, and a request that is redirected has a signature for another path.
    app.router.redirect_slashes = False
    return app


def _hello_routes(eras: Sequence[Era], hello: Hello, sessions: SessionRegistry) -> Iterator[Route]:
    release = sessions.release

    async def say_hello(request: Request) -> Response:  # noqa: ASYNC124 (see `make_app`)
        if release.hello_needs_date and "date" not in request.headers:
            problem = Problem(400, "invalid-auth-params", "Date/time sync error")
            return problem_response(problem, eras[-1], release)
        reply = hello
        if release is OURS and sessions.faults.trash:
            reply = replace(hello, features=hello.features | {TRASH})
        return response_of(Answer(reply.encode()))

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
        versions |= {era.version: era for era in ERAS if era.names_session}
    return versions
