"""Session events as they happen::

async with open_events(client) as events:
    async for event in events:
        print(event.name, event.token, event.reason)
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager

import trio

from ..errors import ConnectionFailed, RemoteProtocolError, ServerError
from ..transport.client import Client
from ..transport.responses import ResponseStream
from ..transport.retry import backoff
from ..wire.events import (
    CONTENT_TYPE,
    RECONNECTED,
    SERVER_CLOSE,
    EventParser,
    SessionEvent,
    events_request,
    session_id_of,
)

__all__ = ["EventStream", "open_events"]

SILENCE_SECONDS = 45.0
"""After this time without a byte the server counts as dead: it sends a keep-alive every 15 s."""
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 30.0


class EventStream:
    """Session events in the server's order. Made by `open_events`; one task at a time iterates.

    It has no task of its own: while nothing iterates, events wait at the server, which may drop a
    listener that is too slow.

    Attributes:
        reconnects: how many broken connections were replaced. Events from the time between are
            missing; the iteration gives an event named ``stream_reconnected`` in their place.
        closed_by_server: whether the server has ended the stream on purpose; then the iteration
            ends.
    """

    def __init__(self, client: Client, token: str | None, silence_seconds: float) -> None:
        self.reconnects = 0
        self.closed_by_server = False
        self._client = client
        self._token = token
        self._session_id = session_id_of(client.era, token).lower()
        self._silence_seconds = silence_seconds
        self._request = events_request(client.era, token)
        self._connection: AsyncExitStack | None = None
        self._response: ResponseStream | None = None
        self._parser = EventParser()
        self._connected_at = 0.0
        self._pauses: Iterator[float] | None = None
        self._retry_seconds = 0.0

    def __aiter__(self) -> EventStream:
        return self

    async def __anext__(self) -> SessionEvent:
        """Wait for the next event.

        Raises:
            StopAsyncIteration: the server has ended the stream on purpose.
            ApiError: after a break, the server refuses to go on (5xx are tried again).
            RemoteProtocolError: the server's messages are not session events.

        Cancellation: loses no event.
        """
        await trio.lowlevel.checkpoint()  # before an event is taken out: a cancel loses none
        while not self.closed_by_server:
            if self._response is None:
                await self._reconnect()
                return SessionEvent(RECONNECTED, token=self._token or "")
            message = self._parser.next_message()
            if message is None:
                await self._receive(self._response)
            elif message.event == SERVER_CLOSE:
                self.closed_by_server = True
                await self.aclose()
            else:
                self._pauses = None
                event = SessionEvent.decode(message)
                # Managers from 25.15 on ignore the id in the query (docs/protocol.md, section 6.3).
                if not self._session_id or event.session_id.lower() in ("", self._session_id):
                    return event
        raise StopAsyncIteration

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
            await self.aclose()

    async def _reconnect(self) -> None:
        if trio.current_time() - self._connected_at > _LONGEST_PAUSE_SECONDS:
            self._pauses = None  # the last connection held
        if self._pauses is None:
            first = max(_FIRST_PAUSE_SECONDS, self._retry_seconds)
            self._pauses = backoff(first, longest=_LONGEST_PAUSE_SECONDS)
        for pause in self._pauses:
            await trio.sleep(pause)
            try:
                await self._connect()
            except (ConnectionFailed, ServerError):
                continue  # for as long as the caller waits: deadlines are cancel scopes
            self.reconnects += 1
            return

    async def _connect(self) -> None:
        async with AsyncExitStack() as stack:
            streaming = self._client.request(self._request, answer_seconds=self._silence_seconds)
            response = await stack.enter_async_context(streaming)
            if response.content_type != CONTENT_TYPE:
                raise RemoteProtocolError(
                    f"{self._request}: expected {CONTENT_TYPE}, got {response.content_type!r}; "
                    "check BACKEND_ENDPOINT, and proxies on the way"
                )
            self._parser = EventParser()
            self._response = response
            self._connected_at = trio.current_time()
            self._connection = stack.pop_all()

    async def aclose(self) -> None:
        """Close the connection. May be repeated; the end of the `open_events` block does it.

        Raises: no error.
        """
        connection, self._connection, self._response = self._connection, None, None
        if connection is not None:
            await connection.aclose()


@asynccontextmanager
async def open_events(
    client: Client, *, token: str | None = None, silence_seconds: float = SILENCE_SECONDS
) -> AsyncIterator[EventStream]:
    """Subscribe to the events of the key pair's sessions, until the block ends.

    No event from after the block was entered is missing, unless the connection breaks. Then a new
    one is made, however long that takes, and events in between may be missing (`EventStream`). If
    the server announces that it closes the stream, the iteration ends.

    Args:
        client: client of the server.
        token: token of one session, or from 20.09 on its id; None for all sessions. Our gateway
            accepts one that is yet to be created; managers may answer with `NotFound`.
        silence_seconds: how long the server may send nothing, in seconds. Servers send a
            keep-alive every 15 s; after a longer silence the connection is replaced.

    Raises:
        ServerError: the server has no events (503 before 19.06), or failed.
        NotFound: it knows no such session.
        ConnectionFailed: the first connection failed.
        RemoteProtocolError: the answer is not a stream of events.

    Endpoint: ``GET /events/session``; before 20.03 ``GET /stream/kernel/_/events``
    (docs/protocol.md, section 6.3).
    """
    async with aclosing(EventStream(client, token, silence_seconds)) as stream:
        await stream._connect()
        yield stream
