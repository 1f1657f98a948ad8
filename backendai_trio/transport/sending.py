"""One request over a pool of connections, and what a response that is no success means."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace

import trio

from ..config.settings import Endpoint
from ..errors import ApiError, api_error
from ..wire.http import Request, Response, decode_problem
from .exceptions import map_exceptions
from .pool import ConnectionPool
from .requests import OutgoingRequest
from .responses import ResponseStream, log_response

__all__ = ["error_of", "open_response", "outgoing_request"]

_CLOCK_ADVICE = (
    "servers take requests whose date is at most 15 minutes away from their own: set the clock of "
    "this machine; 'backend.ai doctor' shows the difference"
)


def outgoing_request(
    request: Request,
    endpoint: Endpoint,
    headers: Mapping[str, str],
    *,
    content: AsyncIterator[bytes] | None = None,
    content_length: int | None = None,
    answer_seconds: float,
) -> OutgoingRequest:
    """A request as the pool takes it; the arguments are those of `Client.request`."""
    outgoing = OutgoingRequest(
        endpoint,
        request.method,
        endpoint.base_path + request.target,
        headers,
        request.body,
        len(request.body),
        answer_seconds,
    )
    if content is not None:
        outgoing = replace(outgoing, content=content, content_length=content_length)
    return outgoing


async def open_response(
    pool: ConnectionPool,
    request: Request,
    outgoing: OutgoingRequest,
    *,
    max_body_bytes: int,
    decode: bool = True,
) -> ResponseStream:
    """Send a request and receive the head of its response. The caller closes the stream.

    Args:
        pool: what to send it with.
        request: the request.
        outgoing: the same, as the pool takes it.
        max_body_bytes: the longest body that is read whole.
        decode: False gives the body as it came.

    Raises:
        ConnectionFailed, RemoteProtocolError, LocalProtocolError: as for `Client.call`.
        Exception: what `OutgoingRequest.content` raised.
    """
    endpoint = outgoing.endpoint
    start = trio.current_time()
    with map_exceptions(endpoint, request):
        incoming = await pool.request(outgoing)
    log_response(request, endpoint, incoming.status, start)
    try:
        return ResponseStream(endpoint, request, incoming, max_body_bytes, decode=decode)
    except BaseException:  # in an unknown content coding
        incoming.close()
        raise


def error_of(request: Request, response: Response, *, login_advice: str) -> ApiError:
    """The error that a response with a status of 300 or more means.

    Args:
        request: what was sent.
        response: its whole response.
        login_advice: what to do if the server does not know the user.
    """
    if response.status < 400:
        # Following it would hand the signature to another address.
        where = response.headers.get("location", "?")
        return api_error(
            response.status,
            title="The server redirects, and signed requests are not sent on; "
            f"set BACKEND_ENDPOINT to where it points: {where!r}",
            request=str(request),
        )
    error = decode_problem(response).as_error(str(request))
    if error.status == 401:
        error.advice = login_advice
    elif error.kind == "invalid-auth-params" and "sync" in error.reason:
        error.advice = _CLOCK_ADVICE
    return error
