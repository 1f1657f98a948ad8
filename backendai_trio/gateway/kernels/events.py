"""Events of sessions, and the response that streams them (docs/protocol.md, section 6.3)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import trio
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ..._groups import one_error
from ...errors import RemoteProtocolError
from ...wire.events import (
    CONTENT_TYPE,
    KEEPALIVE,
    KEEPALIVE_SECONDS,
    SERVER_CLOSE,
    Message,
    SessionEvent,
    encode_message,
    name_in,
)
from ...wire.versions import Era
from ..bodies import cancel_on_disconnect

__all__ = ["EventFilter", "EventHub", "EventResponse", "Subscriber"]

QUEUE_LENGTH = 256
"""A subscriber with more unread events is dropped; its client may subscribe again."""
_CLOSE_SECONDS = 1.0
"""How long a closing gateway waits for subscribers to receive the last events."""
_SCOPES = frozenset({"session", "kernel"})


class EventFilter:
    """Selects the events of a request."""

    def __init__(self, query: Mapping[str, str]) -> None:
        """Read a query.

        Raises:
            RemoteProtocolError: the scope is unknown.
        """
        self._name = query.get("sessionName") or query.get("name") or "*"
        self._session_id = query.get("sessionId") or "*"
        scope = query.get("scope") or "*"
        self._scopes = _SCOPES if scope == "*" else frozenset(scope.split(","))
        if not self._scopes <= _SCOPES:
            raise RemoteProtocolError(
                f"scope {scope!r}: use '*', 'session', 'kernel' or 'session,kernel'"
            )

    def accepts(self, event: SessionEvent) -> bool:
        """Whether an event is selected."""
        return (
            self._name in ("*", event.token)
            and self._session_id in ("*", event.session_id, event.token)
            and event.name.partition("_")[0] in self._scopes
        )


class Subscriber:
    """A client that receives events. Made by `EventHub.subscribe`."""

    def __init__(self, access_key: str, selected: EventFilter) -> None:
        self.access_key = access_key
        self.selected = selected
        self.scope = trio.CancelScope()
        """Cancelled when the subscriber is dropped."""
        self.send, self.receive = trio.open_memory_channel[SessionEvent](QUEUE_LENGTH)


class EventHub:
    """Distributes events to subscribers, without waiting for any of them."""

    def __init__(self) -> None:
        self._subscribers: set[Subscriber] = set()
        self._closed = False
        self._changed = trio.Event()

    def publish(self, access_key: str, event: SessionEvent) -> None:
        """Send an event to a key pair's subscribers; those that are too slow are dropped."""
        if self._closed:
            return
        for subscriber in self._subscribers:
            if subscriber.access_key == access_key and subscriber.selected.accepts(event):
                try:
                    subscriber.send.send_nowait(event)
                except trio.WouldBlock:
                    subscriber.scope.cancel()

    @contextmanager
    def subscribe(self, access_key: str, selected: EventFilter) -> Iterator[Subscriber]:
        """Subscribe to the events of one's own key pair until the block ends."""
        subscriber = Subscriber(access_key, selected)
        self._subscribers.add(subscriber)
        if self._closed:
            subscriber.send.close()
        try:
            yield subscriber
        finally:
            self._subscribers.discard(subscriber)
            self._changed.set()

    async def close(self) -> None:
        """Let subscribers receive the events that are queued, and the end of the stream."""
        self._closed = True
        for subscriber in self._subscribers:
            subscriber.send.close()
        with trio.move_on_after(_CLOSE_SECONDS):
            while self._subscribers:
                self._changed = trio.Event()
                await self._changed.wait()


class EventResponse(Response):
    """A response that streams events until the client leaves or the gateway closes."""

    def __init__(
        self,
        hub: EventHub,
        access_key: str,
        selected: EventFilter,
        era: Era,
        *,
        keepalive_seconds: float = KEEPALIVE_SECONDS,
    ) -> None:
        """
        Args:
            hub: where the events come from.
            access_key: of the client.
            selected: which events.
            era: whose encoding.
            keepalive_seconds: time between two keep-alive messages when there are no events.
        """
        headers = {"cache-control": "no-cache", "x-accel-buffering": "no"}
        super().__init__(headers=headers, media_type=CONTENT_TYPE)
        del self.headers["content-length"]
        self._hub = hub
        self._access_key = access_key
        self._selected = selected
        self._era = era
        self._keepalive_seconds = keepalive_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Subscribed before the headers are sent: what the client does after it has them is an event
        # that it gets.
        with self._hub.subscribe(self._access_key, self._selected) as subscriber, subscriber.scope:
            head = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
            await send(head)
            with one_error():
                async with trio.open_nursery() as nursery:
                    request = Request(scope, receive)
                    nursery.start_soon(cancel_on_disconnect, request, nursery.cancel_scope)
                    await self._send_events(subscriber, send)
                    nursery.cancel_scope.cancel()

    async def _send_events(self, subscriber: Subscriber, send: Send) -> None:
        chunk = KEEPALIVE  # at once, because some proxies hold headers back until there is a body
        while chunk:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
            chunk = await self._next_chunk(subscriber)
        last = encode_message(Message(SERVER_CLOSE, "{}"))
        await send({"type": "http.response.body", "body": last, "more_body": False})

    async def _next_chunk(self, subscriber: Subscriber) -> bytes:
        """The next event or keep-alive, encoded; empty at the end."""
        deadline = trio.current_time() + self._keepalive_seconds
        while trio.current_time() < deadline:
            try:
                with trio.move_on_at(deadline):
                    event = await subscriber.receive.receive()
                    if (name := name_in(self._era, event.name)) is not None:
                        return replace(event, name=name).encode(self._era)
            except trio.EndOfChannel:
                return b""
        return KEEPALIVE
