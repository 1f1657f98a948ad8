"""Forwarding HTTP requests and WebSockets, signed on their way."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from tempfile import SpooledTemporaryFile

import trio
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from .._groups import one_error
from ..errors import ApiError, BackendError, ConnectionFailed
from ..transport.client import Client
from ..transport.responses import ResponseStream
from ..transport.websocket import CLOSE_SECONDS, ConnectionClosed
from ..transport.websocket import WebSocket as Upstream
from ..transport.websocket_connect import open_websocket
from ..wire.http import OCTETS, PROBLEM, Problem, Request, encode_problem
from ..wire.signing import body_is_signed

__all__ = ["Forwarder", "Incoming", "answer", "problem_response"]

_log = logging.getLogger("backendai_trio.proxy")
_SPOOL_BYTES = 1024 * 1024
"""A body whose hash must be known before it is sent is kept in a file from this size on."""
_CHUNK_BYTES = 64 * 1024
_VIA = "1.1 backendai-trio"
_GOING_AWAY = 1001
_BAD_GATEWAY = 1014

# Between two neighbours only (RFC 9110 section 7.6.1), and what older texts count among them.
_HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
# Headers that our signature covers, that say where the request came from, or that are meant for
# other servers on this machine: a browser sends the cookies of a host to all of its ports.
_OURS = frozenset(
    {
        "authorization",
        "content-length",
        "content-type",
        "cookie",
        "date",
        "expect",
        "forwarded",
        "host",
        "origin",
        "referer",
        "user-agent",
        "via",
        "x-backendai-date",
        "x-backendai-version",
        "x-sorna-date",
        "x-sorna-version",
    }
)
_OURS_BY_START = ("sec-fetch-", "x-forwarded-")


class _Gone(Exception):
    """The client has hung up."""


@dataclass(frozen=True)
class Forwarder:
    """Signs requests and forwards them to the server of a `Client`."""

    client: Client

    async def http(
        self, scope: Scope, incoming: Incoming, send: Send, extra: Mapping[str, str]
    ) -> None:
        """Forward a request, and return its response; bodies stream both ways.

        Args:
            scope: the request.
            incoming: its body.
            send: takes the response.
            extra: headers to add to the response.
        """
        begun = False
        try:
            with one_error():
                async with self._response(scope, incoming) as response:
                    headers = [*_forwarded(response.header_list, _is_cors), *extra.items()]
                    begun = True
                    await _begin(send, response.status, headers)
                    while chunk := await response.receive_some():
                        await _go_on(send, chunk)
            await incoming.discard()
            await _end(send)
        except _Gone:
            return
        except BackendError as exc:
            _log.info("%s %s: %s", scope["method"], scope["path"], exc)
            # A response that has begun is cut short, so that it is not taken for a whole one.
            if not begun:
                refusal = problem_response(_bad_gateway(exc), self.client, extra)
                await answer(refusal, incoming, send)

    async def websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Forward a WebSocket, message by message: a slow reader slows the writer."""
        down = WebSocket(scope, receive, send)
        accepted = False
        try:
            async with open_websocket(
                self.client,
                self._target(scope),
                subprotocols=scope["subprotocols"],
                tunnel=True,
            ) as up:
                await down.accept(up.subprotocol)
                accepted = True
                await _carry(down, up)
        except ApiError as exc:
            refused = Problem(exc.status, exc.kind, exc.title, exc.detail, exc.data)
            await down.send_denial_response(problem_response(refused, self.client))
        except BackendError as exc:
            if not accepted:
                refusal = problem_response(_bad_gateway(exc), self.client)
                await down.send_denial_response(refusal)

    @asynccontextmanager
    async def _response(self, scope: Scope, incoming: Incoming) -> AsyncIterator[ResponseStream]:
        """The server's response, while the client is watched.

        Raises:
            _Gone: the client has hung up.
            BackendError: there is no response.
        """
        asked = HTTPConnection(scope).headers
        async with _body_of(asked, incoming, self.client) as body:
            content_type = asked.get("content-type", OCTETS)
            request = Request(scope["method"], self._target(scope), content_type=content_type)
            headers = self.client.signed_headers(request, body_digest=body.digest)
            headers["User-Agent"] = asked.get("user-agent", headers["User-Agent"])
            headers["Via"] = _VIA
            for name, value in _forwarded(asked.items(), _is_ours):
                headers[name] = f"{headers[name]}, {value}" if name in headers else value
            # A client may wait for long: TCP notices a server that died.
            async with (
                self.client.request(
                    request,
                    sign=False,
                    headers=headers,
                    content=body.chunks,
                    content_length=body.size,
                    answer_seconds=None,
                    check_status=False,
                    decode=False,
                ) as response,
                trio.open_nursery() as nursery,
            ):
                nursery.start_soon(incoming.raise_when_gone)
                yield response
                nursery.cancel_scope.cancel()

    def _target(self, scope: Scope) -> str:
        """Path and query as they came, byte for byte."""
        query = scope["query_string"].decode("latin-1")
        path = self.client.era.server_path(scope["raw_path"].decode("latin-1"))
        return f"{path}?{query}" if query else path


class Incoming:
    """What a client sends for a request: its body, and that it has hung up."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._ended = False

    async def receive(self) -> Message:
        """The next message."""
        message = await self._receive()
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            self._ended = True
        return message

    async def body(self) -> AsyncGenerator[bytes, None]:
        """The body, piece by piece."""
        while not self._ended:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise _Gone
            if chunk := message.get("body", b""):
                yield chunk

    async def discard(self) -> None:
        """Read the rest of the body: the server must not end an answer before the request."""
        while not self._ended:
            await self.receive()

    async def raise_when_gone(self) -> None:
        """Wait until the client hangs up."""
        while (await self.receive())["type"] != "http.disconnect":
            pass
        raise _Gone


async def answer(response: Response, incoming: Incoming, send: Send) -> None:
    """Answer a request whatever is left of its body: the client may still be sending it."""
    await _begin(send, response.status_code, response.headers.items())
    await _go_on(send, bytes(response.body))
    await incoming.discard()
    await _end(send)


async def _begin(send: Send, status: int, headers: Iterable[tuple[str, str]]) -> None:
    raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    await send({"type": "http.response.start", "status": status, "headers": raw})


async def _go_on(send: Send, chunk: bytes) -> None:
    await send({"type": "http.response.body", "body": chunk, "more_body": True})


async def _end(send: Send) -> None:
    await send({"type": "http.response.body", "body": b"", "more_body": False})


@dataclass(frozen=True)
class _Body:
    """A request's body."""

    chunks: AsyncIterator[bytes]
    size: int | None
    """In bytes; None when it is sent in chunks."""
    digest: str | None = None
    """Its hash, where that is signed."""


@asynccontextmanager
async def _body_of(headers: Headers, incoming: Incoming, client: Client) -> AsyncIterator[_Body]:
    """A request's body, ready to be sent.

    Servers of the seed era need its hash before the body itself; there it goes through a file.
    """
    size = None if "transfer-encoding" in headers else int(headers.get("content-length", "0"))
    media_type = headers.get("content-type", OCTETS).partition(";")[0].strip().lower()
    if not body_is_signed(client.era.version, media_type):
        async with aclosing(incoming.body()) as body:
            yield _Body(body, size)
        return
    digest = hashlib.new(client.config.hash_name)
    size = 0
    with SpooledTemporaryFile(_SPOOL_BYTES) as spooled:
        async with aclosing(incoming.body()) as body:
            async for chunk in body:
                digest.update(chunk)
                size += await trio.to_thread.run_sync(spooled.write, chunk)
        spooled.seek(0)

        async def chunks() -> AsyncGenerator[bytes, None]:
            while chunk := await trio.to_thread.run_sync(spooled.read, _CHUNK_BYTES):
                yield chunk

        async with aclosing(chunks()) as again:
            yield _Body(again, size, digest.hexdigest())


async def _carry(down: WebSocket, up: Upstream) -> None:
    """Carry messages both ways until one side closes, and close the other as it did."""
    left: WebSocketDisconnect | None = None

    async def to_client() -> None:
        try:
            while True:
                message = await up.get_message()
                if isinstance(message, str):
                    await down.send_text(message)
                else:
                    await down.send_bytes(message)
        except (ConnectionClosed, WebSocketDisconnect):
            nursery.cancel_scope.cancel()

    async def to_server() -> None:
        nonlocal left
        try:
            while True:
                message = await down.receive()
                if message["type"] == "websocket.disconnect":
                    raise WebSocketDisconnect(message.get("code") or _GOING_AWAY)
                text: str | None = message.get("text")
                await up.send_message(message["bytes"] if text is None else text)
        except WebSocketDisconnect as exc:
            left = exc
        except ConnectionClosed:
            return  # `to_client` notices it once it has forwarded what came before
        nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(to_client)
        nursery.start_soon(to_server)
    if left is not None:
        await up.aclose(_sendable(left.code, _GOING_AWAY))
        return
    closed = up.closed
    code = _sendable(closed.code if closed else 0, _BAD_GATEWAY)
    reason = (closed.reason if closed else None) or ""
    await down.close(code, reason)
    # Messages that the client has on their way must be read, or the connection could not end.
    with trio.move_on_after(CLOSE_SECONDS):
        while (await down.receive())["type"] != "websocket.disconnect":
            pass


def _sendable(code: int, otherwise: int) -> int:
    """A close code that may be sent; some only say that there was none."""
    is_defined = 1000 <= code <= 1014 and code not in (1004, 1005, 1006)
    return code if is_defined or 3000 <= code <= 4999 else otherwise


def _forwarded(
    headers: Iterable[tuple[str, str]], drops: Callable[[str], bool]
) -> list[tuple[str, str]]:
    """The headers that are forwarded."""
    listed = [(name.lower(), value) for name, value in headers]
    named = {
        token.strip().lower()
        for name, value in listed
        if name == "connection"
        for token in value.split(",")
    }
    return [
        (name, value)
        for name, value in listed
        if name not in _HOP_BY_HOP and name not in named and not drops(name)
    ]


def _is_ours(name: str) -> bool:
    return name in _OURS or name.startswith(_OURS_BY_START)


def _is_cors(name: str) -> bool:
    """Managers let pages of every origin read their responses, and the proxy does not."""
    return name.startswith("access-control-")


def _bad_gateway(exc: BackendError) -> Problem:
    title = "No answer from the server" if isinstance(exc, ConnectionFailed) else "Not forwarded"
    return Problem(502, "service-unavailable", title, str(exc))


def problem_response(
    problem: Problem, client: Client, extra: Mapping[str, str] | None = None
) -> Response:
    """A response of the proxy's own, in the form of the server's."""
    body = encode_problem(problem, separate_detail=client.era.separate_detail)
    return Response(body, problem.status, dict(extra or {}), PROBLEM)
