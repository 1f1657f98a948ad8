"""Background tasks of managers: waiting for their end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from ..errors import ApiError, ConnectionFailed, ServerError
from ..transport.client import Client
from ..transport.retry import backoff
from ..wire.background_tasks import TaskEvent, task_events_request
from ..wire.events import CONTENT_TYPE, SERVER_CLOSE, EventParser

__all__ = ["wait_for_task"]

_SILENCE_SECONDS = 45.0
"""Servers send a keep-alive every 15 s; after a longer silence, polls take over."""
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.3, 5.0


async def wait_for_task(
    client: Client, task_id: str, *, is_done: Callable[[], Awaitable[bool]]
) -> None:
    """Wait until a task has ended well, by its events where the server sends them, else by polls.

    The events count when they come; without any, or when their stream breaks, `is_done` is asked
    again and again.

    Args:
        client: of the server.
        task_id: of the task; empty if it is not known.
        is_done: asks whether what the task does is done; raises if it has failed.

    Raises:
        ServerError: the task has failed, or was cancelled.
        ApiError, ConnectionFailed: what `is_done` raises.
    """
    if task_id:
        try:
            event = await _last_event(client, task_id)
        except (ApiError, ConnectionFailed):
            event = None  # the polls show whether it goes on
        if event is not None and event.failed:
            raise ServerError(
                500,
                title=f"the server's task has {event.kind}: {event.message or 'it says no reason'}",
                request=str(task_events_request(client.era, task_id)),
            )
    for pause in backoff(_FIRST_PAUSE_SECONDS, longest=_LONGEST_PAUSE_SECONDS):
        if await is_done():
            return
        await trio.sleep(pause)


async def _last_event(client: Client, task_id: str) -> TaskEvent | None:
    """The event that ends a task; None if the stream ends without it."""
    request = task_events_request(client.era, task_id)
    parser = EventParser()
    async with client.request(request, answer_seconds=_SILENCE_SECONDS) as response:
        if response.content_type != CONTENT_TYPE:
            return None
        while data := await response.receive_some():
            parser.feed(data)
            while (message := parser.next_message()) is not None:
                event = TaskEvent.decode(message)
                if event is not None and (event.succeeded or event.failed):
                    return event
                if message.event == SERVER_CLOSE:
                    return None
    return None
