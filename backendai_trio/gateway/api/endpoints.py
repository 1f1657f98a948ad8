"""Endpoints of handlers: the request's version, its signature, and errors as problems."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace

import trio
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import Response
from starlette.websockets import WebSocket

from ..._groups import one_error
from ...errors import RemoteProtocolError
from ...wire.archives import TAR
from ...wire.http import PROBLEM, Problem, describe_request, encode_problem
from ...wire.storage_proxy import TUS_CONTENT_TYPE
from ...wire.versions import Era
from ..bodies import UnsignedBodies, read_body
from ..kernels.registry import SessionRegistry
from ..kernels.session import Session
from ..refusals import Refused, refusal_of
from ..releases import Release
from ..shortages import shortage_of
from .auth import authenticate
from .handlers import Answer, Call, Handler, create, graphql
from .sockets import GOING_AWAY, NORMAL, close_socket, is_open
from .templates import create_from_template

__all__ = ["Endpoints", "SocketHandler", "problem_response", "response_of"]

_log = logging.getLogger("backendai_trio.gateway")
_STREAMED = ("multipart/", TAR, TUS_CONTENT_TYPE)
"""Content types of files. Their bodies are streamed, and no API version signs them."""
_CREATES = (create, create_from_template)

# How kinds of problems were called before kernels became sessions (docs/protocol.md, section 10).
_KERNEL_KINDS = {
    "session-not-found": "kernel-not-found",
    "session-already-exists": "kernel-already-exists",
    "vfolder-not-found": "folder-not-found",
}

# What managers say of things that they do not find. Where all have one type, only the title tells
# them apart.
_NOT_FOUND = {
    "session-not-found": "No such session.",
    "image-not-found": "No such environment image.",
    "vfolder-not-found": "No such virtual folder.",
}

SocketHandler = Callable[[WebSocket, Session], Awaitable[None]]


@dataclass(frozen=True)
class Endpoints:
    """Makes endpoints of handlers."""

    sessions: SessionRegistry
    versions: Mapping[str, Era]
    """The era of each version that a request may name."""
    _unsigned: UnsignedBodies = field(init=False)

    def __post_init__(self) -> None:
        unsigned = UnsignedBodies(self.sessions.limits.max_unsigned_bytes)
        object.__setattr__(self, "_unsigned", unsigned)

    def _problem(self, problem: Problem, era: Era) -> Response:
        return problem_response(problem, era, self.sessions.release)

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
            described = describe_request(request.method, request.url.path)
            try:
                return await self._respond(request, handler, era, signed=signed)
            except Refused as exc:
                return self._problem(exc.problem, era)
            except ClientDisconnect:
                return response_of(Answer())  # no client reads it
            except RemoteProtocolError as exc:
                return self._problem(
                    Problem(400, "invalid-api-params", "Malformed request", str(exc)), era
                )
            except OSError as exc:
                _log.warning("%s failed: %s", described, exc)
                return self._problem(refusal_of(exc).problem, era)
            except (MemoryError, RuntimeError) as exc:
                if not shortage_of(exc):
                    raise
                _log.warning("%s failed: %s", described, exc)
                return self._problem(refusal_of(exc).problem, era)
            except sqlite3.OperationalError as exc:  # "database or disk is full", "locked"
                _log.warning("%s failed: %s", described, exc)
                return self._problem(
                    Problem(507, "storage-full", "The gateway's database failed", str(exc)), era
                )

        return respond

    async def _respond(
        self, request: Request, handler: Handler, era: Era, *, signed: bool
    ) -> Response:
        request_era = self._era_of(request, era)
        streamed = request.headers.get("content-type", "").lower().startswith(_STREAMED)
        body = b""
        access_key: str | None = ""
        if signed:  # first, as far as it can be checked: what is not signed costs little then
            unread = b"" if streamed else None
            access_key = self._authenticate(request, request.method, unread)
        if access_key is None:
            with self._unsigned.reading() as count:
                body = await self._read(request, handler, count)
                access_key = self._authenticate(request, request.method, body)
        elif not streamed:
            body = await self._read(request, handler)
        assert access_key is not None  # only a body that was not read leaves it open
        answer = handler(Call(request, body, access_key, request_era, self.sessions))
        if not isinstance(answer, Answer | Response):
            answer = await answer
        return response_of(answer) if isinstance(answer, Answer) else answer

    async def _read(
        self, request: Request, handler: Handler, count: Callable[[int], None] = lambda _size: None
    ) -> bytes:
        """Read the body of a request."""
        limits = self.sessions.limits
        most = limits.max_body_bytes
        if handler in _CREATES:
            most = limits.max_create_bytes
        elif handler is graphql:
            most = limits.query.body_bytes
        return await read_body(request, most, limits.body_seconds, count=count)

    def _authenticate(self, request: HTTPConnection, method: str, body: bytes | None) -> str | None:
        return authenticate(
            request,
            method,
            body,
            self.sessions.store,
            clock_skew_seconds=self.sessions.faults.clock_skew_seconds,
        )

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

    def websocket(self, handler: SocketHandler, era: Era) -> Callable[[WebSocket], Awaitable[None]]:
        """The same for a WebSocket, which is closed when its kernel ends.

        Args:
            handler: accepts the WebSocket, or raises `Refused` before.
            era: whose path it is.
        """

        async def respond(socket: WebSocket) -> None:
            try:
                self._era_of(socket, era)
                access_key = self._authenticate(socket, "GET", b"") or ""
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
                return
            await close_socket(socket, GOING_AWAY, _end_of(session))

        return respond


def _end_of(session: Session) -> str:
    """How a kernel has ended, for the reason of a close frame."""
    return {
        "gateway-closed": "the server was stopped, and has ended its kernels",
        "user-requested": "the kernel was ended by a request",
        "idle-timeout": "the kernel was ended, because it was idle",
        "failed": "the kernel has failed: its process host has died",
    }.get(session.end_reason, "the kernel has ended")


async def _cancel_when_ended(session: Session, scope: trio.CancelScope) -> None:
    await session.ended.wait()
    scope.cancel()


def response_of(answer: Answer) -> Response:
    """A handler's answer as a response.

    Args:
        answer: the answer.
    """
    # Client 1.1.1 requires both headers in every reply, even in a 204 (docs/protocol.md,
    # section 12, item 2). Starlette does not change headers that are given here.
    headers = {"content-type": answer.content_type, "content-length": str(len(answer.body))}
    headers.update(answer.headers)
    return Response(answer.body, answer.status, headers)


def problem_response(problem: Problem, era: Era, release: Release) -> Response:
    """A problem as a response, with the names that an API version has for it.

    Args:
        problem: what to answer with.
        era: the API version of the request.
        release: the release that the gateway behaves as.
    """
    if release.not_found_kind and problem.kind in _NOT_FOUND:
        title = _NOT_FOUND[problem.kind]
        problem = replace(problem, kind=release.not_found_kind, title=title)
    if not era.names_session:
        problem = replace(problem, kind=_KERNEL_KINDS.get(problem.kind, problem.kind))
    body = encode_problem(problem, separate_detail=era.separate_detail)
    return response_of(Answer(body, problem.status, PROBLEM))
