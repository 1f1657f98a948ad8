"""Telling clients what happens to their sessions. Source: contract section 6.3."""

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
from ..bodies import cancel_when_gone

__all__ = ["EventFilter", "EventHub", "EventResponse", "Subscriber"]

_BACKLOG = 256
"""A subscriber that leaves more events than this lying is dropped; it may come back."""
_FAREWELL_SECONDS = 1.0
"""How long a closing gateway waits for its subscribers to hear of it."""
_SCOPES = frozenset({"session", "kernel"})


class EventFilter:
    """Which events a request asks for."""

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

    def passes(self, event: SessionEvent) -> bool:
        """Whether an event was asked for."""
        return (
            self._name in ("*", event.token)
            and self._session_id in ("*", event.session_id, event.token)
            and event.name.partition("_")[0] in self._scopes
        )


class Subscriber:
    """Somebody who listens. Made by `EventHub.subscribe`."""

    def __init__(self, access_key: str, wanted: EventFilter) -> None:
        self.access_key = access_key
        self.wanted = wanted
        self.scope = trio.CancelScope()
        """Cancelled when it is dropped."""
        self.send, self.receive = trio.open_memory_channel[SessionEvent](_BACKLOG)


class EventHub:
    """Hands events to those who listen, and waits for none of them."""

    def __init__(self) -> None:
        self._subscribers: set[Subscriber] = set()
        self._closed = False
        self._changed = trio.Event()

    def publish(self, access_key: str, event: SessionEvent) -> None:
        """Tell a key pair's subscribers; one that is too slow is dropped."""
        if self._closed:
            return
        for subscriber in self._subscribers:
            if subscriber.access_key == access_key and subscriber.wanted.passes(event):
                try:
                    subscriber.send.send_nowait(event)
                except trio.WouldBlock:
                    subscriber.scope.cancel()

    @contextmanager
    def subscribe(self, access_key: str, wanted: EventFilter) -> Iterator[Subscriber]:
        """Listen, as long as the block lasts, to the events of one's own key pair."""
        subscriber = Subscriber(access_key, wanted)
        self._subscribers.add(subscriber)
        if self._closed:
            subscriber.send.close()
        try:
            yield subscriber
        finally:
            self._subscribers.discard(subscriber)
            self._changed.set()

    async def close(self) -> None:
        """Let subscribers hear what is left, and that it was the last."""
        self._closed = True
        for subscriber in self._subscribers:
            subscriber.send.close()
        with trio.move_on_after(_FAREWELL_SECONDS):
            while self._subscribers:
                self._changed = trio.Event()
                await self._changed.wait()


class EventResponse(Response):
    """The answer to a request for events. It ends with the client or the gateway."""

    def __init__(self, hub: EventHub, access_key: str, wanted: EventFilter, era: Era) -> None:
        headers = {"cache-control": "no-cache", "x-accel-buffering": "no"}
        super().__init__(headers=headers, media_type=CONTENT_TYPE)
        del self.headers["content-length"]
        self._hub = hub
        self._access_key = access_key
        self._wanted = wanted
        self._era = era

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Subscribed before the client hears its headers: what it does then cannot be missed.
        with self._hub.subscribe(self._access_key, self._wanted) as subscriber, subscriber.scope:
            head = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
            await send(head)
            with one_error():
                async with trio.open_nursery() as nursery:
                    request = Request(scope, receive)
                    nursery.start_soon(cancel_when_gone, request, nursery.cancel_scope)
                    await self._tell(subscriber, send)
                    nursery.cancel_scope.cancel()

    async def _tell(self, subscriber: Subscriber, send: Send) -> None:
        piece = KEEPALIVE  # a first sign of life, also for proxies that hold headers back
        while piece:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            piece = await self._next_piece(subscriber)
        farewell = encode_message(Message(SERVER_CLOSE, "{}"))
        await send({"type": "http.response.body", "body": farewell, "more_body": False})

    async def _next_piece(self, subscriber: Subscriber) -> bytes:
        """What to send next; nothing at the end."""
        deadline = trio.current_time() + KEEPALIVE_SECONDS
        while trio.current_time() < deadline:
            try:
                with trio.move_on_at(deadline):
                    event = await subscriber.receive.receive()
                    if (name := name_in(self._era, event.name)) is not None:
                        return replace(event, name=name).encode(self._era)
            except trio.EndOfChannel:
                return b""
        return KEEPALIVE
