"""Sending requests over a pool of connections, and what a response that is no success means."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Final, TypeVar

import trio

from ..config.settings import Config, Endpoint
from ..errors import ApiError, api_error
from ..wire.http import Request, Response, decode_problem
from ..wire.retry_after import decode_retry_after
from .addresses import Addresses
from .exceptions import map_exceptions
from .incoming import IncomingResponse
from .limits import Limits
from .pending_call import PendingCall
from .pool import ConnectionPool
from .rate_limit import RateLimitPauses
from .requests import OutgoingRequest
from .responses import ResponseStream, log_response
from .retry import is_rate_limit

__all__ = ["UNAVAILABLE", "Sender", "error_of", "outgoing_request", "unavailable_advice"]

T = TypeVar("T")

UNAVAILABLE = frozenset({502, 503, 504})
"""Statuses of a server that starts, or of a proxy that cannot reach it."""

_RATE_LIMIT_ADVICE = (
    "the key pair has sent as many requests as it may within 15 minutes; try again later, or ask "
    "for a higher rate limit"
)
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
    head_seconds: float,
    body_seconds: float,
) -> OutgoingRequest:
    """A request as the pool takes it.

    Args:
        request: the request.
        endpoint: where to.
        headers: all but those of its body.
        content: the body as a stream, instead of `request.body`.
        content_length: its size in bytes; None sends it chunked.
        head_seconds, body_seconds: limits for each wait on the response; infinite for none.
    """
    outgoing = OutgoingRequest(
        endpoint,
        request.method,
        endpoint.base_path + request.target,
        headers,
        request.body,
        len(request.body),
        head_seconds,
        body_seconds,
    )
    if content is not None:
        outgoing = replace(outgoing, content=content, content_length=content_length)
    return outgoing


class Sender:
    """Sends the requests of a client: at whichever address of the server can be reached, and again
    after a pause while the server takes no more of the key pair's.

    Args:
        pool: connections.
        config: the settings.
        limits: of the client.
        error_of: the error that a response with a status of 300 or more means.

    Attributes:
        addresses: those of the server, and which of them is in use.
    """

    def __init__(
        self,
        pool: ConnectionPool,
        config: Config,
        limits: Limits,
        error_of: Callable[[Request, Response], ApiError],
    ) -> None:
        self.addresses: Final = Addresses(config)
        self._pool = pool
        self._limits = limits
        self._error_of = error_of

    async def repeat(
        self, attempt: Callable[[Config], Awaitable[T]], *, elsewhere: bool = False, waits: bool
    ) -> T:
        """Send something, again where that helps.

        Args:
            attempt: gets the settings with the server's address to use, and signs for that. Nothing
                of it has had an effect when it raises `Unreachable`, or a refusal for the rate
                limit.
            elsewhere: whether it goes to another server, which has one address.
            waits: whether to wait while the server takes no more requests.

        Raises:
            Exception: the failure of the last attempt.
        """

        async def reach() -> T:
            if elsewhere:
                return await attempt(self.addresses.config)
            return await self.addresses.reach(attempt)

        return await (self.wait_out(reach) if waits else reach())

    async def wait_out(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Run an attempt, again after pauses while the server takes no more requests of the key
        pair. For requests whose body is a stream: others wait by themselves.

        Args:
            attempt: sends a request, each time with a new body.

        Raises:
            QuotaExceeded: the server still refuses it after `Limits.rate_limited_seconds`.
            Exception: what `attempt` raises otherwise.
        """
        return await self._pauses().wait_out(attempt)

    async def open_response(
        self,
        request: Request,
        outgoing: Callable[[Config], OutgoingRequest],
        *,
        elsewhere: bool = False,
        waits: bool,
        check_status: bool = True,
        decode: bool = True,
    ) -> ResponseStream:
        """Send a request and receive the head of its response. The caller closes the stream.

        Args:
            request: the request.
            outgoing: the same, as the pool takes it, made for an address when it is sent there.
            elsewhere, waits: as for `repeat`. A body that is a stream can be sent only once: see
                `wait_out`.
            check_status: False gives a response of any status.
            decode: False gives the body as it came.

        Raises:
            ApiError, ConnectionFailed, RemoteProtocolError, LocalProtocolError: as for
                `Client.request`.
            Exception: what `OutgoingRequest.content` raised.
        """

        async def attempt(config: Config) -> ResponseStream:
            stream = await self._exchange(request, outgoing(config), decode=decode)
            if not check_status or stream.status < 300:
                return stream
            try:
                raise self._error_of(request, await stream.read_all())
            finally:
                stream.close()

        return await self.repeat(attempt, elsewhere=elsewhere, waits=waits)

    async def _exchange(
        self, request: Request, outgoing: OutgoingRequest, *, decode: bool
    ) -> ResponseStream:
        endpoint = outgoing.endpoint
        start = trio.current_time()
        with map_exceptions(endpoint, request):
            incoming = await self._pool.request(outgoing)
        log_response(request, endpoint, incoming.status, start)
        try:
            return ResponseStream(
                endpoint, request, incoming, self._limits.max_body_bytes, decode=decode
            )
        except BaseException:  # in an unknown content coding
            incoming.close()
            raise

    def pending_call(
        self, request: Request, outgoing: Callable[[Config], OutgoingRequest]
    ) -> PendingCall:
        """A call whose answer is not lost when the wait for it is cancelled.

        Args:
            request: the request.
            outgoing: as for `open_response`.
        """

        async def start(config: Config) -> IncomingResponse:
            sent = outgoing(config)
            with map_exceptions(sent.endpoint, request):
                return await self._pool.start(sent)

        return PendingCall(
            request,
            partial(self.addresses.reach, start),
            self._error_of,
            self._pauses(),
            max_bytes=self._limits.max_body_bytes,
        )

    def _pauses(self) -> RateLimitPauses:
        return RateLimitPauses(
            self.addresses.config.endpoint.url, self._limits.rate_limited_seconds
        )


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
            title=f"The server redirects to {where}, and requests are not sent on; if the server "
            "is there, set BACKEND_ENDPOINT to that address",
            request=str(request),
        )
    error = decode_problem(response).as_error(str(request))
    error.retry_after = decode_retry_after(response.headers)
    if error.status == 401:
        error.advice = login_advice
    elif is_rate_limit(error):
        error.advice = _RATE_LIMIT_ADVICE
    elif error.kind == "invalid-auth-params" and "sync" in error.reason:
        error.advice = _CLOCK_ADVICE
    elif error.status in UNAVAILABLE and not error.kind:  # not a problem of the manager's own
        error.advice = unavailable_advice()
    elif error.status == 429 and not error.kind:
        error.advice = (
            "the server, or a proxy before it, takes no more requests for now; try again later"
        )
    return error


def unavailable_advice(server: str = "the server", proxy: str = "a proxy before it") -> str:
    """What to do about a status of `UNAVAILABLE`.

    Args:
        server: what was asked.
        proxy: what may have answered in its place.
    """
    return f"{server} is not up, or {proxy} cannot reach it; try again later"
