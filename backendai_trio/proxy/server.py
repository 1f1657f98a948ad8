"""Opening a proxy: a local server that signs requests and forwards them."""

from __future__ import annotations

import ipaddress
import logging
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from functools import partial

import trio
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from .._asgi import drop_connections, serve_app
from .._groups import one_error
from ..errors import ConfigError
from ..transport.client import Client
from ..wire.http import Problem
from .exchange import Incoming, answer
from .forwarding import Forwarder, problem_response
from .graphiql import PAGE, QUERY, answer_query, serve_file
from .guard import Guard

__all__ = ["Proxy", "ProxyOptions", "open_proxy", "serve_proxy"]

_log = logging.getLogger("backendai_trio.proxy.http")
_MAX_QUERY_BYTES = 1024 * 1024
_PREFLIGHT_SECONDS = "600"


@dataclass(frozen=True, kw_only=True)
class ProxyOptions:
    """How a proxy is set up."""

    host: str = "127.0.0.1"
    """Address or name to listen on. Whoever can connect to it acts with the key pair."""
    port: int = 0
    """TCP port, 0 for a free one."""
    allow_origins: Sequence[str] = ()
    """Origins (``http://localhost:3000``) whose pages may use it, beside its own pages."""


class Proxy:
    """A proxy that is open. Made by `open_proxy`.

    Attributes:
        client: what it signs and sends with.
        host: the address it listens on, as a number.
        port: its TCP port.
    """

    def __init__(self, client: Client, host: str, port: int) -> None:
        self.client = client
        self.host = host
        self.port = port

    def __repr__(self) -> str:
        return f"<Proxy at {self.url} of {self.client.config.endpoint.url}>"

    @property
    def url(self) -> str:
        """Its address, without a slash at the end."""
        address = ipaddress.ip_address(self.host)
        if address.is_unspecified:  # no destination
            address = ipaddress.ip_address("::1" if address.version == 6 else "127.0.0.1")
        return (
            f"http://[{address}]:{self.port}"
            if address.version == 6
            else (f"http://{address}:{self.port}")
        )


@asynccontextmanager
async def open_proxy(client: Client, options: ProxyOptions | None = None) -> AsyncIterator[Proxy]:
    """Serve unsigned HTTP and WebSocket requests by signing and forwarding them.

    Every path, method and body goes to the client's server as it came, and the response comes back
    as it is. ``/graphiql`` is a page of the proxy's own. Requests that name another Host, and those
    of other sites' pages, are refused with 403.

    Args:
        client: whose server and key pair to use.
        options: how it is set up.

    Raises:
        ConfigError: the address cannot be listened on, or an origin is malformed.
    """
    options = options or ProxyOptions()
    listener = await _listen(options.host, options.port)
    try:
        host, port = listener.getsockname()[:2]
        app = _make_app(client, Guard.of(host, options.host, options.allow_origins))
        with one_error():
            async with trio.open_nursery() as nursery:
                await nursery.start(partial(serve_app, log=_log, dated=False), app, listener)
                try:
                    yield Proxy(client, host, port)
                finally:
                    drop_connections(port)
                    nursery.cancel_scope.cancel()
    finally:
        listener.close()


async def serve_proxy(
    client: Client,
    options: ProxyOptions | None = None,
    *,
    task_status: trio.TaskStatus[Proxy] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run a proxy until cancelled; for ``await nursery.start(serve_proxy, client)``.

    Args:
        client: of the server that requests are passed on to.
        options: the proxy's options; None for the defaults.
        task_status: gets the `Proxy` when it listens.

    Raises:
        ConfigError: it cannot listen on the address.
    """
    async with open_proxy(client, options) as proxy:
        task_status.started(proxy)
        await trio.sleep_forever()


async def _listen(host: str, port: int) -> socket.socket:
    try:
        found = await trio.socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        # A name such as localhost has several addresses; most programs try the one of IPv4 first.
        family, kind, number, _, address = min(found, key=lambda row: row[0] != socket.AF_INET)
        listener = socket.socket(family, kind, number)
    except (OSError, OverflowError, UnicodeError) as exc:
        reason = getattr(exc, "strerror", None) or exc
        raise ConfigError(
            "--bind", f"{host!r} is no address of this machine: {reason}; use one, e.g. 127.0.0.1"
        ) from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(socket.SOMAXCONN)  # it accepts one in each turn of its event loop
    except OSError as exc:
        listener.close()
        raise ConfigError(
            "--port",
            f"cannot listen on {host} port {port}: {exc.strerror or exc}; "
            "choose another port, or 0 for a free one",
        ) from None
    return listener


def _make_app(client: Client, guard: Guard) -> ASGIApp:
    forwarder = Forwarder(client)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        refusal = guard.refusal(headers)
        if refusal is None and not scope["raw_path"].startswith(b"/"):
            refusal = "it names another server; address this proxy as if it were the server itself"
        if scope["type"] == "websocket":
            if refusal is not None:
                refused = problem_response(_refused(refusal), client)
                await WebSocket(scope, receive, send).send_denial_response(refused)
            else:
                await forwarder.websocket(scope, receive, send)
            return
        incoming = Incoming(receive)
        shared = _shared_with(guard.shares_with(headers))
        if refusal is not None:
            await answer(problem_response(_refused(refusal), client), incoming, send)
        elif shared and "access-control-request-method" in headers:
            await answer(Response(None, 204, _preflight(headers, shared)), incoming, send)
        elif scope["path"] == QUERY and scope["method"] == "POST":
            await answer(await _ask(client, incoming), incoming, send)
        elif f"{scope['path']}/".startswith(f"{PAGE}/"):
            path = scope["path"].removeprefix(PAGE)
            await answer(serve_file(path, client.config.endpoint.url), incoming, send)
        else:
            await forwarder.http(scope, incoming, send, shared)

    return app


async def _ask(client: Client, incoming: Incoming) -> Response:
    body = bytearray()
    async with aclosing(incoming.body()) as chunks:
        async for chunk in chunks:
            body += chunk
            if len(body) > _MAX_QUERY_BYTES:
                return problem_response(
                    Problem(413, "generic-bad-request", "The query exceeds 1 MiB"), client
                )
    return await answer_query(bytes(body), client)


def _refused(reason: str) -> Problem:
    return Problem(403, "generic-forbidden", "The proxy refuses this request", reason)


def _shared_with(origin: str | None) -> dict[str, str]:
    """Headers that let a foreign page read a response."""
    if origin is None:
        return {}
    return {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Expose-Headers": "*",
        "Vary": "Origin",
    }


def _preflight(headers: Headers, shared: dict[str, str]) -> dict[str, str]:
    """The response to a browser's preflight, which it sends before a foreign page's request."""
    wanted = {
        "Access-Control-Allow-Methods": headers["access-control-request-method"],
        "Access-Control-Max-Age": _PREFLIGHT_SECONDS,
        "Content-Length": "0",
    }
    if names := headers.get("access-control-request-headers"):
        wanted["Access-Control-Allow-Headers"] = names
    if "access-control-request-private-network" in headers:
        wanted["Access-Control-Allow-Private-Network"] = "true"
    return shared | wanted
