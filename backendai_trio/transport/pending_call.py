"""Requests whose answer must not be lost: a cancelled wait for it may be taken up again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from ..errors import ApiError, BackendError, ConnectionFailed, QuotaExceeded
from ..wire.http import Request, Response
from .exceptions import ReadTimeout, map_exceptions
from .incoming import IncomingResponse
from .rate_limit import RateLimitPauses
from .responses import answer_of, log_response, response_of

__all__ = ["PendingCall"]


class PendingCall:
    """A request under way. Made by `Client.start_call`; the caller closes it.

    A request that was sent may have had its effect, and its answer is all that says so. So a
    cancelled `wait` leaves the connection as it is, and the next one goes on with the answer.

    Args:
        request: the request.
        start: sends it, and gives its response before that has begun.
        error_of: what a response means that is no success.
        pauses: for a server that takes no more requests of the key pair for now.
        max_bytes: the longest body that is taken.

    Attributes:
        sent: whether the server may have received the request.
    """

    def __init__(
        self,
        request: Request,
        start: Callable[[], Awaitable[IncomingResponse]],
        error_of: Callable[[Request, Response], ApiError],
        pauses: RateLimitPauses,
        *,
        max_bytes: int,
    ) -> None:
        self.sent = False
        self._start = start
        self._error_of = error_of
        self._pauses = pauses
        self._max_bytes = max_bytes
        self._asked_at = 0.0
        self._request = request
        self._incoming: IncomingResponse | None = None
        self._body = bytearray()
        self._response: Response | None = None
        self._failure: BackendError | None = None

    @property
    def done(self) -> bool:
        """Whether the answer has come, or the request has failed."""
        return self._response is not None or self._failure is not None

    async def wait(self) -> Response:
        """Send the request if that was not done, and wait for the answer; may be repeated.

        One task at a time. The request is signed when it is sent, for the address it is sent to.

        Raises:
            ApiError, ConnectionFailed, RemoteProtocolError, LocalProtocolError: as for
                `Client.call`.
            ConfigError: a login is needed, and there is none.
            trio.ClosedResourceError: the client's block has ended, and the request was not sent.

        Cancellation: before the request is sent, nothing is; after that, nothing is lost.
        """
        if self.done:
            await trio.lowlevel.checkpoint()
        else:
            await self._finish(self._receive_unless_limited)
        if self._failure is not None:
            raise self._failure
        assert self._response is not None
        return self._response

    async def settle(self) -> None:
        """Wait until the answer has come, or the request has failed, which is not raised. For a
        request that was sent; it is not sent again."""
        if self.done:
            await trio.lowlevel.checkpoint()
        else:
            await self._finish(self._receive)

    def close(self) -> None:
        """Give the connection back, which breaks it off if the answer has not come."""
        if self._incoming is not None:
            self._incoming.close()
            self._incoming = None

    async def _finish(self, receive: Callable[[], Awaitable[Response]]) -> None:
        try:
            self._response = await receive()
        except BackendError as exc:
            self._failure = exc
        self.close()

    async def _receive_unless_limited(self) -> Response:
        while True:
            try:
                return await self._receive()
            except QuotaExceeded as exc:
                # It has had no effect. A wait that is cancelled meanwhile is as before the first.
                self.close()
                self._body.clear()
                self.sent = False
                await self._pauses.wait(exc)

    async def _receive(self) -> Response:
        incoming = self._incoming
        if incoming is None:
            self._asked_at = trio.current_time()
            incoming = self._incoming = await self._start()
            self.sent = True
        with map_exceptions(incoming.endpoint, self._request):
            # One limit for each step: it is moved on when something has come.
            with trio.move_on_after(incoming.answer_seconds) as waiting:
                while True:
                    await incoming.receive_more()
                    self._body += incoming.take_body()
                    if incoming.complete or len(self._body) > self._max_bytes:
                        break
                    waiting.deadline = trio.current_time() + incoming.answer_seconds
            if waiting.cancelled_caught:
                raise ReadTimeout
            self._check_proxy(incoming)
        log_response(self._request, incoming.endpoint, incoming.status, self._asked_at)
        response = response_of(self._request, incoming, bytes(self._body), self._max_bytes)
        if response.status >= 300:
            raise self._error_of(self._request, response)
        return answer_of(self._request, response)

    def _check_proxy(self, incoming: IncomingResponse) -> None:
        try:
            incoming.check_proxy()
        except ConnectionFailed:
            self.sent = False  # the proxy has kept the request
            raise
