"""What a manager does in the background: waiting for the end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress

import trio

from ..errors import ApiError, ConnectionFailed, RemoteProtocolError, ServerError, api_error
from ..wire.background_tasks import TaskEvent, task_events_request
from ..wire.events import CONTENT_TYPE, SERVER_CLOSE, EventParser
from .client import Client
from .retry import backoff, is_transient

__all__ = ["TaskChannel", "follow_task", "wait_for_task"]

TaskChannel = trio.MemorySendChannel[TaskEvent]
_SHOWN = 500
_SILENCE_SECONDS = 45.0
"""Servers send a keep-alive every 15 s; after a longer silence a connection counts as broken."""
_FIRST_PAUSE_SECONDS = 0.3
_LONGEST_PAUSE_SECONDS = 30.0
_LONGEST_POLL_PAUSE_SECONDS = 5.0


async def follow_task(
    client: Client, task_id: str, *, progress: TaskChannel | None = None
) -> TaskEvent:
    """Wait until a background task has ended.

    A connection that breaks is replaced, for as long as the caller waits: managers keep results
    for 24 hours.

    Args:
        client: of the server.
        task_id: from the reply that started the task.
        progress: where to send the events before the last one; it stays open. When its receiving
            end has been closed, no more are sent.

    Returns:
        The last event. Some of the task may have failed: `TaskEvent.errors`.

    Raises:
        ServerError: the task failed, or was cancelled at the server.
        NotFound: there is no such task.
        ConnectionFailed: the server cannot be reached at first.
        RemoteProtocolError: what the server sends are no events of a task.

    Cancellation:
        The task goes on.

    Endpoint: ``GET /events/background-task`` (docs/protocol.md, section 6.4).
    """
    event = await _last_event(client, task_id, progress)
    pauses = backoff(_FIRST_PAUSE_SECONDS, longest=_LONGEST_PAUSE_SECONDS)
    while event is None:
        await trio.sleep(next(pauses))
        with suppress(ConnectionFailed, ServerError):
            event = await _last_event(client, task_id, progress)
    _check(client, event, task_id)
    return event


async def wait_for_task(
    client: Client, task_id: str, *, is_done: Callable[[], Awaitable[bool]]
) -> None:
    """Wait until what a background task does is done, by its events and by polls.

    The polls begin when the events have ended, or their connection has; while the task is not done,
    its events are asked for again, as far as the server has them.

    Args:
        client: of the server.
        task_id: from the reply that started the task; empty if it is not known.
        is_done: asks whether what the task does is done; raises if it has failed.

    Raises:
        ServerError: the task failed, or was cancelled at the server.
        Exception: what `is_done` raises.

    Cancellation:
        The task goes on.

    Endpoint: as for `follow_task`.
    """
    has_events = bool(task_id)
    for pause in backoff(_FIRST_PAUSE_SECONDS, longest=_LONGEST_POLL_PAUSE_SECONDS):
        if has_events:
            try:
                event = await _last_event(client, task_id, None)
            except (ApiError, ConnectionFailed, RemoteProtocolError) as exc:
                has_events = is_transient(exc)
            else:
                has_events = event is None
                if event is not None:
                    _check(client, event, task_id)
        if await is_done():
            return
        await trio.sleep(pause)


async def _last_event(
    client: Client, task_id: str, progress: TaskChannel | None
) -> TaskEvent | None:
    """The event that ends a task; None if the connection has ended before it."""
    request = task_events_request(client.era, task_id)
    parser = EventParser()
    async with client.request(request, answer_seconds=_SILENCE_SECONDS) as response:
        if response.content_type != CONTENT_TYPE:
            raise RemoteProtocolError(
                f"{request}: expected {CONTENT_TYPE}, got {response.content_type!r}"
            )
        while True:
            try:
                data = await response.receive_some()
            except ConnectionFailed:
                return None
            if not data:
                return None
            parser.feed(data)
            while (message := parser.next_message()) is not None:
                event = TaskEvent.decode(message)
                if event is not None and (event.succeeded or event.failed):
                    return event
                if message.event == SERVER_CLOSE:
                    return None
                if event is not None and progress is not None:
                    with suppress(trio.BrokenResourceError):
                        await progress.send(event)


def _check(client: Client, event: TaskEvent, task_id: str) -> None:
    """Raise the error that a task's last event tells of."""
    if not event.failed:
        return
    ended = "was cancelled at the server" if event.kind == "cancelled" else "failed"
    raise api_error(
        500,
        kind=f"background-task-{event.kind}",
        title=_short(event.message) or f"the background task {task_id} {ended}; it says no reason",
        request=str(task_events_request(client.era, task_id)),
    )


def _short(text: str) -> str:
    """The beginning of a message: some managers send tracebacks."""
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
