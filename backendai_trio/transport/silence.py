"""Noticing a server that is silent because it, or the way to it, is dead."""

from __future__ import annotations

import time
from collections.abc import Callable

import trio

from .limits import StreamLimits
from .websocket import WebSocket

__all__ = ["drop_when_silent"]


async def drop_when_silent(current: Callable[[], WebSocket | None], limits: StreamLimits) -> None:
    """Drop a stream's connections when they are dead; runs until it is cancelled.

    TCP may find the way alive to something in between that is not the server. The server must
    answer pings at once; our gateway does, and managers do not.

    Args:
        current: gives the stream's connection of the moment.
        limits: when to ask, and how long to wait for the answer.
    """
    wall, steady = time.time(), time.monotonic()
    while True:
        await trio.sleep(limits.check_seconds)
        slept = (time.time() - wall) - (time.monotonic() - steady)
        wall, steady = time.time(), time.monotonic()
        websocket = current()
        # While received messages wait, nothing is read, and silence says nothing.
        if websocket is None or (since := websocket.waiting_since) is None:
            continue
        silence = trio.current_time() - since
        if slept < limits.check_seconds and silence < limits.silence_seconds:
            continue
        websocket.ping()
        await trio.sleep(limits.pong_seconds)
        if websocket.waiting_since == since:
            await websocket.abort()  # the receiver notices, and connects again
