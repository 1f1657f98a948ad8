"""Server-sent events: following a stream of them over one connection after the other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import replace

import trio

from ..errors import BackendError, ConnectionFailed, RemoteProtocolError
from ..wire.events import CONTENT_TYPE, KEEPALIVE_SECONDS, SERVER_CLOSE, EventParser, Message
from ..wire.http import Request
from .client import Client
from .responses import ResponseStream
from .retry import RetryPolicy, is_transient, retry_after_of

__all__ = ["FOLLOWED", "SILENCE_SECONDS", "EventSource"]

SILENCE_SECONDS = 3 * KEEPALIVE_SECONDS
"""After this time without a byte a connection counts as broken: servers send keep-alives."""
FOLLOWED = RetryPolicy(first=0.5, longest=15.0)
"""For connections that events are followed over. They all break in the same moment: without jitter
they ask a manager that comes back for 14 times of what it can answer, with it for 5 times. 30 s for
the longest pause gained nothing, and took longer (`python -m benchmarks --only retries`)."""


class EventSource:
    """A stream of server-sent events. It has no task of its own; one task at a time uses it.

    Args:
        client: of the server.
        request: for the stream.
        silence_seconds: how long the server may send nothing.
        policy: of attempts to connect again. A server may ask for a longer first pause (``retry``).

    Attributes:
        closed_by_server: whether the server has ended the stream on purpose.
    """

    def __init__(
        self,
        client: Client,
        request: Request,
        *,
        silence_seconds: float = SILENCE_SECONDS,
        policy: RetryPolicy = FOLLOWED,
    ) -> None:
        self.closed_by_server = False
        self._client = client
        self._request = request
        self._silence_seconds = silence_seconds
        self._policy = policy
        self._closed = False
        self._connection: AsyncExitStack | None = None
        self._response: ResponseStream | None = None
        self._parser = EventParser()
        self._connected_at = 0.0
        self._retry_seconds = 0.0
        self._pauses: Iterator[float] | None = None

    async def connect(self) -> None:
        """Connect, in one attempt. There must be no connection.

        Raises:
            ApiError: the server refuses, or fails.
            ConnectionFailed: it cannot be reached.
            RemoteProtocolError: the answer is not a stream of events.
            trio.ClosedResourceError: the source was closed.
        """
        self._check_open()
        assert self._connection is None
        async with AsyncExitStack() as stack:
            silence = self._silence_seconds
            streaming = self._client.request(
                self._request, head_seconds=silence, body_seconds=silence
            )
            response = await stack.enter_async_context(streaming)
            if response.content_type != CONTENT_TYPE:
                raise RemoteProtocolError(
                    f"{self._request}: expected {CONTENT_TYPE}, got {response.content_type!r}; "
                    "check BACKEND_ENDPOINT, and proxies on the way"
                )
            self._parser = EventParser()
            self._response = response
            self._connected_at = trio.current_time()
            self.closed_by_server = False
            self._connection = stack.pop_all()

    async def next_message(self) -> Message | None:
        """The next message; None when the connection has ended.

        Raises:
            RemoteProtocolError: what the server sends is not HTTP, or are no events.
            trio.ClosedResourceError: the source was closed.

        Cancellation:
            Loses no message.
        """
        await trio.lowlevel.checkpoint()  # before a message is taken out
        self._check_open()
        while self._response is not None:
            message = self._parser.next_message()
            if message is None:
                await self._receive(self._response)
            elif message.event == SERVER_CLOSE:
                self.closed_by_server = True
                await self._disconnect()
            else:
                self._pauses = None
                return message
        return None

    async def _receive(self, response: ResponseStream) -> None:
        """Receive more data. A connection that is of no more use is closed."""
        try:
            data = await response.receive_some()
        except ConnectionFailed:
            data = b""
        if self._parser.retry_seconds is not None:
            self._retry_seconds = self._parser.retry_seconds
        if data:
            self._parser.feed(data)
        else:  # the end
            await self._disconnect()

    async def reconnect(self) -> None:
        """Connect again, after a pause, and for as long as the caller waits.

        Attempts go on after what may pass: failed connections, the HTTP statuses of `is_transient`
        and 500, and answers that are no events, such as a proxy's page. The pauses between them
        begin anew after a connection that has brought a message, or held for longer than the
        longest pause. A pause that the server asks for (``Retry-After``) is added, up to the
        longest pause: the server may be up again sooner.

        Raises:
            ApiError: the server refuses to go on.
            trio.ClosedResourceError: the source was closed.
        """
        if trio.current_time() - self._connected_at > self._policy.longest:
            self._pauses = None
        if self._pauses is None:
            first = min(max(self._policy.first, self._retry_seconds), self._policy.longest)
            self._pauses = replace(self._policy, first=first).pauses()
        asked = 0.0
        for pause in self._pauses:
            await trio.sleep(pause + asked)
            try:
                await self.connect()
            except BackendError as exc:
                if not _may_pass(exc):
                    raise
                policy = self._policy
                asked = min(retry_after_of(exc, seconds=policy.seconds), policy.longest)
            else:
                return

    async def _disconnect(self) -> None:
        connection, self._connection, self._response = self._connection, None, None
        if connection is not None:
            await connection.aclose()

    async def aclose(self) -> None:
        """Close the connection; there is none after it. May be repeated."""
        self._closed = True
        await self._disconnect()

    def _check_open(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError("this stream of events was closed")


def _may_pass(exc: BackendError) -> bool:
    return is_transient(exc, also={500}) or isinstance(exc, RemoteProtocolError)
