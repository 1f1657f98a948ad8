"""What a manager does in the background: waiting for the end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress

import trio

from ..errors import ApiError, ConnectionFailed, RemoteProtocolError, api_error
from ..wire.background_tasks import TaskEvent, task_events_request
from .client import Client
from .event_source import EventSource
from .retry import backoff, is_transient

__all__ = ["TaskChannel", "follow_task", "wait_for_task"]

TaskChannel = trio.MemorySendChannel[TaskEvent]
_SHOWN = 500
_FIRST_POLL_PAUSE_SECONDS = 0.3
_LONGEST_POLL_PAUSE_SECONDS = 5.0


async def follow_task(
    client: Client, task_id: str, *, progress: TaskChannel | None = None
) -> TaskEvent:
    """Wait until a background task has ended.

    A connection that breaks is replaced, for as long as the caller waits
    (`EventSource.reconnect`): managers keep results for 24 hours.

    Args:
        client: of the server.
        task_id: from the reply that started the task.
        progress: where to send the events before the last one; it stays open. When its receiving
            end has been closed, no more are sent.

    Returns:
        The last event. Some of the task may have failed: `TaskEvent.errors`.

    Raises:
        ServerError: the task failed, or was cancelled at the server.
        ApiError: the server refuses to tell of the task; `NotFound` if there is none.
        ConnectionFailed: the server cannot be reached at first.
        RemoteProtocolError: what the server sends are no events of a task.

    Cancellation:
        The task goes on.

    Endpoint: ``GET /events/background-task`` (docs/protocol.md, section 6.4).
    """
    async with aclosing(_source(client, task_id)) as source:
        await source.connect()
        while (event := await _last_event(source, progress)) is None:
            await source.reconnect()
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
    for pause in backoff(_FIRST_POLL_PAUSE_SECONDS, longest=_LONGEST_POLL_PAUSE_SECONDS):
        if has_events:
            try:
                async with aclosing(_source(client, task_id)) as source:
                    await source.connect()
                    event = await _last_event(source, None)
            except (ApiError, ConnectionFailed, RemoteProtocolError) as exc:
                has_events = is_transient(exc)
            else:
                has_events = event is None
                if event is not None:
                    _check(client, event, task_id)
        if await is_done():
            return
        await trio.sleep(pause)


def _source(client: Client, task_id: str) -> EventSource:
    return EventSource(client, task_events_request(client.era, task_id))


async def _last_event(source: EventSource, progress: TaskChannel | None) -> TaskEvent | None:
    """The event that ends a task; None if the connection has ended before it."""
    while (message := await source.next_message()) is not None:
        event = TaskEvent.decode(message)
        if event is None:
            continue
        if event.succeeded or event.failed:
            return event
        if progress is not None:
            with suppress(trio.BrokenResourceError):
                await progress.send(event)
    return None


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
