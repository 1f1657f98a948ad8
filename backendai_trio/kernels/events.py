"""What happens to sessions, while it happens::

async with open_events(client) as events:
    async for event in events:
        print(event.name, event.token, event.reason)
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager

import trio

from ..errors import ConnectionFailed, RemoteProtocolError, ServerError
from ..transport.client import Client
from ..transport.responses import ResponseStream
from ..wire.events import (
    CONTENT_TYPE,
    RECONNECTED,
    SERVER_CLOSE,
    EventParser,
    SessionEvent,
    events_request,
)

__all__ = ["EventStream", "open_events"]

SILENCE_SECONDS = 45.0
"""A server that has sent nothing for so long is dead: keep-alives come every 15 s."""
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 30.0


class EventStream:
    """Session events, in the order of the server. Made by `open_events`; for one task at a time.

    No task runs for it: while nobody iterates, events wait at the server, which may drop a
    listener that is too slow.

    Attributes:
        reconnects: how often a broken connection was replaced. What happened in between is not
            told again; each time the iteration gives an event named ``stream_reconnected``.
        closed_by_server: whether the server ended the stream on purpose; then the iteration ends.
    """

    def __init__(self, client: Client, token: str | None) -> None:
        self.reconnects = 0
        self.closed_by_server = False
        self._client = client
        self._token = token
        self._request = events_request(client.era, token)
        self._connection: AsyncExitStack | None = None
        self._reply: ResponseStream | None = None
        self._parser = EventParser()
        self._since = 0.0
        self._failures = 0
        self._retry_seconds = 0.0

    def __aiter__(self) -> EventStream:
        return self

    async def __anext__(self) -> SessionEvent:
        """The next event.

        Raises:
            ApiError: the server refuses to go on after a break (its 5xx are tried again).
            RemoteProtocolError: what came is no stream of session events.

        Cancellation:
            Breaks the connection, if it waits for one to bring news; the next call makes a new
            one, and says so.
        """
        await trio.lowlevel.checkpoint()  # before an event is taken out: a cancel loses none
        while not self.closed_by_server:
            if self._reply is None:
                await self._reconnect()
                return SessionEvent(RECONNECTED, token=self._token or "")
            message = self._parser.next_message()
            if message is None:
                await self._receive(self._reply)
            elif message.event == SERVER_CLOSE:
                self.closed_by_server = True
                await self.aclose()
            else:
                self._failures = 0
                return SessionEvent.decode(message)
        raise StopAsyncIteration

    async def _receive(self, reply: ResponseStream) -> None:
        """Take what comes next; a connection that is of no more use is given up."""
        try:
            data = await reply.receive_some()
        except ConnectionFailed:
            data = b""
        if self._parser.retry_seconds is not None:
            self._retry_seconds = self._parser.retry_seconds
        if data:
            self._parser.feed(data)
        else:  # also after a wait that was cancelled
            await self.aclose()

    async def _reconnect(self) -> None:
        if trio.current_time() - self._since > _LONGEST_PAUSE_SECONDS:
            self._failures = 0  # the last one was sound
        while True:
            pause = max(_FIRST_PAUSE_SECONDS, self._retry_seconds) * 2 ** min(self._failures, 10)
            pause = min(pause, _LONGEST_PAUSE_SECONDS)
            # Clients that lost the same server do not come back all at once.
            await trio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311
            self._failures += 1
            try:
                await self._connect()
            except (ConnectionFailed, ServerError):
                continue  # as long as the caller has patience: deadlines are cancel scopes
            self.reconnects += 1
            return

    async def _connect(self) -> None:
        async with AsyncExitStack() as stack:
            streaming = self._client.stream(self._request, silence_seconds=SILENCE_SECONDS)
            reply = await stack.enter_async_context(streaming)
            if reply.content_type != CONTENT_TYPE:
                raise RemoteProtocolError(
                    f"{self._request}: expected {CONTENT_TYPE}, got {reply.content_type!r}; "
                    "check BACKEND_ENDPOINT, and proxies on the way"
                )
            self._parser = EventParser()
            self._reply = reply
            self._since = trio.current_time()
            self._connection = stack.pop_all()

    async def aclose(self) -> None:
        """Close the connection; `open_events` does it at the end of its block."""
        connection, self._connection, self._reply = self._connection, None, None
        if connection is not None:
            await connection.aclose()


@asynccontextmanager
async def open_events(client: Client, *, token: str | None = None) -> AsyncIterator[EventStream]:
    """Listen to what happens to the key pair's sessions.

    What happens after the block was entered is told, unless the connection breaks: then a new one
    is made for as long as it takes, and events in between may be missing (`EventStream`). A server
    that says it closes is not asked again.

    Args:
        client: where to listen.
        token: of the session to listen to, or from 20.09 on its id; None for all sessions. Our
            gateway takes one that is yet to be created; managers may answer with `NotFound`.

    Raises:
        ServerError: the server tells no events (503 before 19.06).
        ConnectionFailed: the first connection failed.

    Endpoint: ``GET /events/session``, before 20.03 ``/stream/kernel/_/events`` (contract
    section 6.3).
    """
    async with aclosing(EventStream(client, token)) as stream:
        await stream._connect()
        yield stream
