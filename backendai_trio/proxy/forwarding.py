"""Forwarding HTTP requests and WebSockets, signed on their way."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import trio
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from .._groups import one_error
from ..errors import ApiError, BackendError, ConnectionFailed
from ..transport.client import Client
from ..transport.responses import ResponseStream
from ..transport.websocket_connect import open_websocket
from ..wire.http import OCTETS, PROBLEM, Problem, Request, describe_request, encode_problem
from .exchange import ClientGone, Incoming, answer, begin_answer, end_answer, open_body, send_chunk
from .headers import forwarded, is_cors, is_ours
from .relay import relay

__all__ = ["Forwarder", "problem_response"]

_log = logging.getLogger("backendai_trio.proxy")
_VIA = "1.1 backendai-trio"


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
                    headers = [*forwarded(response.header_list, is_cors), *extra.items()]
                    begun = True
                    await begin_answer(send, response.status, headers)
                    while chunk := await response.receive_some():
                        await send_chunk(send, chunk)
            await incoming.discard()
            await end_answer(send)
        except ClientGone:
            return
        except BackendError as exc:
            _log.info("%s: %s", describe_request(scope["method"], self._target(scope)), exc)
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
                waits=False,  # the client of the proxy is told, as it is for other requests
            ) as up:
                await down.accept(up.subprotocol)
                accepted = True
                await relay(down, up)
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
            ClientGone: the client has hung up.
            BackendError: there is no response.
        """
        asked = HTTPConnection(scope).headers
        async with open_body(asked, incoming, self.client) as body:
            content_type = asked.get("content-type", OCTETS)
            request = Request(scope["method"], self._target(scope), content_type=content_type)
            agent = asked.get("user-agent", self.client.config.user_agent)
            headers = {"User-Agent": agent, "Via": _VIA}
            for name, value in forwarded(asked.items(), is_ours):
                headers[name] = f"{headers[name]}, {value}" if name in headers else value
            # A client may wait for long: TCP notices a server that died.
            async with (
                self.client.request(
                    request,
                    body_digest=body.digest,
                    headers=headers,
                    content=body.chunks,
                    content_length=body.size,
                    head_seconds=None,
                    body_seconds=None,
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


def _bad_gateway(exc: BackendError) -> Problem:
    title = "No answer from the server" if isinstance(exc, ConnectionFailed) else "Not forwarded"
    return Problem(502, "service-unavailable", title, str(exc))


def problem_response(
    problem: Problem, client: Client, extra: Mapping[str, str] | None = None
) -> Response:
    """A response of the proxy's own, in the form of the server's."""
    body = encode_problem(problem, separate_detail=client.era.separate_detail)
    return Response(body, problem.status, dict(extra or {}), PROBLEM)
