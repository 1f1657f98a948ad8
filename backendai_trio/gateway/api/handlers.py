"""Handlers of requests about kernels. API versions differ only in how messages are encoded."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

import trio
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from ..._groups import one_error
from ...errors import LocalProtocolError
from ...wire.apps import encode_apps
from ...wire.execution import ExecuteReply, ExecuteRequest
from ...wire.graphql import GraphQLQuery, encode_answer
from ...wire.http import JSON, OCTETS
from ...wire.json_fields import Fields, encode_json
from ...wire.kernel_names import KernelMatch, encode_matches
from ...wire.kernels import CreateReply, CreateRequest, check_token
from ...wire.uuids import is_uuid
from ...wire.versions import Era
from ..bodies import cancel_on_disconnect
from ..kernels.events import EventFilter, EventResponse
from ..kernels.queue import QueuedSession
from ..kernels.registry import SessionRegistry
from ..kernels.session import Session
from ..refusals import Refused
from ..releases import OURS
from .apps import list_apps, shutdown_app, start_app

__all__ = ["NO_CONTENT", "Answer", "Call", "Handler"]


@dataclass(frozen=True, slots=True)
class Call:
    """An authenticated request."""

    request: Request
    body: bytes = field(repr=False)
    """The body; empty when it is a file's, which the handler streams from `request`."""
    access_key: str
    era: Era
    sessions: SessionRegistry

    @property
    def session(self) -> Session:
        """The kernel that the path names, which runs."""
        return self.sessions.find(self.access_key, self.request.path_params["name"])

    @property
    def kernel(self) -> Session | QueuedSession:
        """The kernel that the path names, also if it does not run yet."""
        return self.sessions.find_any(self.access_key, self.request.path_params["name"])


@dataclass(frozen=True, slots=True)
class Answer:
    """A response with a body in memory."""

    body: bytes = field(default=b"", repr=False)
    status: int = 200
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """More headers."""


Handler = Callable[[Call], Answer | Response | Awaitable[Answer | Response]]
NO_CONTENT = Answer(status=204, content_type=OCTETS)


async def create(call: Call) -> Answer:
    """``POST /kernel/create``, ``POST /session``."""
    return await create_of(call, call.body)


async def create_of(call: Call, body: bytes) -> Answer:
    """Create a kernel, or join the one that has the token.

    Args:
        call: the request.
        body: what counts as its body.
    """
    if call.sessions.release.needs_resources:
        config = Fields.parse(body, "create").nested("config")
        if config.raw("resources") is None:
            raise _failed("create")
    create_request = CreateRequest.decode(body)
    if create_request.job is not None and not call.era.names_session:
        raise Refused(400, "invalid-api-params", "This API version has no batch sessions")
    # Managers before 20.03 refuse what has no room; later ones have it wait.
    kernel, created = await call.sessions.create(
        create_request, call.access_key, queues=call.era.names_session
    )
    status = kernel.status if isinstance(kernel, QueuedSession) else "RUNNING"
    reply = CreateReply(kernel.token, kernel.session_id, created, status)
    # Seed servers answer 201 either way (docs/protocol.md, section 3.2).
    return Answer(reply.encode(call.era), 201 if created or not call.era.names_session else 200)


async def info(call: Call) -> Answer:
    """``GET /session/{name}``."""
    if call.sessions.release.info_fails:
        raise _failed("get")
    kernel = call.kernel
    if isinstance(kernel, QueuedSession):
        await trio.lowlevel.checkpoint()
        return Answer(kernel.info(call.sessions.state_of(kernel)).encode(call.era))
    if call.sessions.release is not OURS:  # managers tell no usage
        await trio.lowlevel.checkpoint()
        return Answer(kernel.info().encode(call.era))
    told = await kernel.info_with_usage()
    return Answer(told.encode(call.era))


def matches(call: Call) -> Answer:
    """``GET /session/_/match``."""
    prefix = call.request.query_params.get("id") or ""
    found = [
        KernelMatch(session.session_id, session.token, session.info().status)
        for session in call.sessions.beginning_with(call.access_key, prefix)
        if isinstance(session, Session)
    ]
    return Answer(encode_matches(found))


async def restart(call: Call) -> Answer:
    """``PATCH /session/{name}``."""
    if not call.sessions.release.restarts:
        raise Refused(501, "not-implemented", "Sessions cannot be restarted")
    await call.session.restart()
    return NO_CONTENT


def rename(call: Call) -> Answer:
    """``POST /session/{name}/rename``: the new name in the query, the body, or both."""
    name = call.request.query_params.get("name") or ""
    if call.body:
        name = Fields.parse(call.body, "rename").text("name", default=name)
    try:
        token = check_token(name)
    except LocalProtocolError as exc:
        raise Refused(400, "invalid-api-params", "Not a valid kernel name", str(exc)) from None
    call.sessions.rename(call.session, token)
    return NO_CONTENT


async def destroy(call: Call) -> Answer:
    """``DELETE /session/{name}``."""
    name = call.request.path_params["name"]
    try:
        kernel = call.sessions.find_any(call.access_key, name, ending=True)
    except Refused:
        if not call.era.prefix:
            raise
        # Seed servers never answer 404 here (docs/protocol.md, section 3.6).
        return Answer(encode_json({"stats": None}))
    statistics = await call.sessions.destroy(kernel)
    if statistics is None:  # it has not run
        return Answer(encode_json({"stats": {"status": "cancelled"}}))
    return Answer(statistics.encode(call.era))


async def execute(call: Call) -> Answer:
    """``POST /session/{name}``."""
    request = ExecuteRequest.decode(call.body)
    if request.mode == "complete":
        return await _completions(call, request)
    session, release = call.session, call.sessions.release
    if release.null_stage_fails and request.mode == "batch" and None in request.options.values():
        session.is_stuck = True
        raise _failed("execute")
    reply: ExecuteReply | None = None
    with one_error():
        async with trio.open_nursery() as nursery:
            # A poll must not take output from the buffer for a client that has disconnected.
            nursery.start_soon(cancel_on_disconnect, call.request, nursery.cancel_scope)
            reply = await session.execute(request)
            nursery.cancel_scope.cancel()
    if reply is None:
        raise ClientDisconnect
    return Answer(reply.encode())


def interrupt(call: Call) -> Answer:
    """``POST /session/{name}/interrupt``; clients of this library name the run."""
    run_id = ""
    if call.body:
        run_id = Fields.parse(call.body, "interrupt").text("runId", "run_id", default="")
    call.session.interrupt(run_id or None)
    return NO_CONTENT


async def complete(call: Call) -> Answer:
    """``POST /session/{name}/complete``."""
    return await _completions(call, ExecuteRequest.decode(call.body))


def logs(call: Call) -> Answer:
    """``GET /session/{name}/logs``; of batch sessions also when they have ended."""
    name = call.request.path_params["name"]
    return Answer(encode_json({"result": {"logs": _log_of(call, name)}}))


def task_log(call: Call) -> Answer:
    """``GET /session/_/logs``: the log of a session's one container, which has its id."""
    query = call.request.query_params
    names = ("taskId", "task_id", "sessionName", "session_name")
    name = next((query[name] for name in names if query.get(name)), "")
    if not is_uuid(name):
        raise Refused(400, "invalid-api-params", "Not an id", f"taskId={name!r}")
    return Answer(_log_of(call, name).encode("utf-8", "replace"), content_type="text/plain")


def _log_of(call: Call, name: str) -> str:
    try:
        kernel = call.sessions.find_any(call.access_key, name)
    except Refused:
        text = call.sessions.store.ended_log(call.access_key, name)
        if text is None:
            raise
        return text
    container = call.request.query_params.get("kernel_id") or kernel.session_id
    if container != kernel.session_id:
        raise Refused(404, "kernel-not-found", "No such container")
    return "" if isinstance(kernel, QueuedSession) else kernel.logs()


def apps(call: Call) -> Answer:
    """``GET /stream/session/{name}/apps``."""
    return Answer(encode_apps(list_apps(call.session)))


async def start_service(call: Call) -> Answer:
    """``POST /session/{name}/start-service``."""
    if not call.sessions.release.hello.starts_services:
        raise Refused(404, "generic-not-found", "Unknown URL path")
    return Answer((await start_app(call.session, call.body)).encode())


def shutdown_service(call: Call) -> Answer:
    """``POST /session/{name}/shutdown-service``: the app in the query, the body, or both."""
    arguments: dict[str, object] = dict(call.request.query_params)
    if call.body:
        arguments |= Fields.parse(call.body, "shutdown-service").everything()
    shutdown_app(call.session, arguments)
    return NO_CONTENT


def authorize(call: Call) -> Answer:
    """``GET /v2/authorize``, ``/auth``: confirms that the signature is right."""
    echo = Fields.parse(call.body, "authorize").raw("echo") if call.body else None
    return Answer(encode_json({"authorized": "yes"} | ({} if echo is None else {"echo": echo})))


async def graphql(call: Call) -> Answer:
    """``POST /admin/graphql``."""
    from . import admin, catalog  # takes 200 ms, and most gateways never need it

    query = GraphQLQuery.decode(call.body)
    images = await trio.to_thread.run_sync(catalog.images) if "image" in query.text else []
    data, errors = admin.answer(query, call.sessions, call.access_key, images)
    if errors:
        raise Refused(
            400,
            "graphql-error" if call.era.separate_detail else "invalid-api-params",
            "The query failed",
            "; ".join(errors),
        )
    return Answer(encode_answer(data, call.era))


def events(call: Call) -> Response:
    """``GET /events/session``: a stream that ends with the client or the gateway."""
    if call.era.prefix:
        raise Refused(
            503,
            "not-implemented",
            "This API version has no session events",
            "use a server of 19.06 or later",
        )
    query = call.request.query_params
    owner = query.get("ownerAccessKey") or call.access_key
    if owner != call.access_key:
        raise Refused(
            403,
            "generic-forbidden",
            "Not your key pair",
            "users get events of their own sessions only",
        )
    return EventResponse(
        call.sessions.events,
        call.access_key,
        EventFilter(query),
        call.era,
        keepalive_seconds=call.sessions.limits.keepalive_seconds,
    )


def _failed(what: str) -> Refused:
    """The answer of a manager that fails."""
    return Refused(500, "internal-server-error", f"Internal server error ({what})")


async def _completions(call: Call, request: ExecuteRequest) -> Answer:
    session = call.session
    items: Sequence[str] = ()
    if call.sessions.release.completes:
        items = await session.complete(request.code, request.options)
    return Answer(encode_json({"result": {"status": "finished", "completions": items}}))
