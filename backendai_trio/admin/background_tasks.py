"""What a manager does in the background, followed to its end."""

from __future__ import annotations

from contextlib import nullcontext, suppress

import trio

from ..errors import ConnectionFailed, RemoteProtocolError, ServerError, api_error
from ..transport.client import Client
from ..transport.retry import backoff
from ..wire.background_tasks import TaskEvent, task_events_request
from ..wire.events import CONTENT_TYPE, EventParser

__all__ = ["follow_task"]

TaskChannel = trio.MemorySendChannel[TaskEvent]
_SHOWN = 500
_SILENCE_SECONDS = 45.0
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 30.0


async def follow_task(
    client: Client, task_id: str, *, progress: TaskChannel | None = None
) -> TaskEvent:
    """Wait until a background task has ended.

    A connection that breaks is replaced, for as long as the caller waits: managers keep results
    for 24 hours.

    Args:
        client: of the server.
        task_id: from the reply that started the task.
        progress: gets the events before the last one; closed at the end. None for nowhere.

    Returns:
        The last event. Some of the task may have failed: `TaskEvent.errors`.

    Raises:
        ServerError: the task failed, or was canceled at the server.
        NotFound: there is no such task.
        ConnectionFailed: the server cannot be reached at first.

    Cancellation:
        The task goes on.

    Endpoint: ``GET /events/background-task`` (docs/protocol.md, section 6.4).
    """
    with progress.clone() if progress is not None else nullcontext() as channel:
        if progress is not None:
            progress.close()
        event = await _follow(client, task_id, channel)
    if event.failed:
        raise api_error(
            500,
            kind=f"background-task-{event.kind}",
            title=_short(event.message) or f"the background task {task_id} {event.kind}",
            request=str(task_events_request(client.era, task_id)),
        )
    return event


def _short(text: str) -> str:
    """The beginning of a message: some managers send tracebacks."""
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


async def _follow(client: Client, task_id: str, channel: TaskChannel | None) -> TaskEvent:
    event = await _listen(client, task_id, channel)
    pauses = backoff(_FIRST_PAUSE_SECONDS, longest=_LONGEST_PAUSE_SECONDS)
    while event is None:
        await trio.sleep(next(pauses))
        with suppress(ConnectionFailed, ServerError):
            event = await _listen(client, task_id, channel)
    return event


async def _listen(client: Client, task_id: str, channel: TaskChannel | None) -> TaskEvent | None:
    """The last event; None if the connection has ended before it."""
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
                if event is None:
                    continue
                if event.succeeded or event.failed:
                    return event
                if channel is not None:
                    with suppress(trio.BrokenResourceError):
                        await channel.send(event)
