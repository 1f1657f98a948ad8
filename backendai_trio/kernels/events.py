"""Session events as they happen::

async with open_events(client) as events:
    async for event in events:
        print(event.name, event.token, event.reason)
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

from ..transport.client import Client
from ..transport.event_source import SILENCE_SECONDS, EventSource
from ..wire.events import RECONNECTED, SessionEvent, events_request, session_id_of

__all__ = ["EventStream", "open_events"]


class EventStream:
    """Session events in the server's order. Made by `open_events`; one task at a time iterates.

    It has no task of its own: while nothing iterates, events wait at the server, which may drop a
    listener that is too slow.

    Attributes:
        reconnects: how many broken connections were replaced. Events from the time between are
            missing; the iteration gives an event named ``stream_reconnected`` in their place.
    """

    def __init__(self, client: Client, token: str | None, silence_seconds: float) -> None:
        self.reconnects = 0
        self._token = token
        self._session_id = session_id_of(client.era, token).lower()
        request = events_request(client.era, token)
        self._source = EventSource(client, request, silence_seconds=silence_seconds)

    @property
    def closed_by_server(self) -> bool:
        """Whether the server has ended the stream on purpose; then the iteration ends."""
        return self._source.closed_by_server

    def __aiter__(self) -> EventStream:
        return self

    async def __anext__(self) -> SessionEvent:
        """Wait for the next event.

        Raises:
            StopAsyncIteration: the server has ended the stream on purpose.
            ApiError: after a break, the server refuses to go on. Failures that may pass are waited
                out.
            RemoteProtocolError: the server's messages are not session events.
            trio.ClosedResourceError: the stream was closed.

        Cancellation: loses no event.
        """
        while (message := await self._source.next_message()) is not None:
            event = SessionEvent.decode(message)
            # Managers from 25.15 on ignore the id in the query (docs/protocol.md, section 6.3).
            if not self._session_id or event.session_id.lower() in ("", self._session_id):
                return event
        if self.closed_by_server:
            raise StopAsyncIteration
        await self._source.reconnect()
        self.reconnects += 1
        return SessionEvent(RECONNECTED, token=self._token or "")

    async def aclose(self) -> None:
        """Close the connection. May be repeated; the end of the `open_events` block does it."""
        await self._source.aclose()


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
        await stream._source.connect()
        yield stream
