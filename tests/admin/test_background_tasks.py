"""Background tasks of managers, followed to their ends over broken connections."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import trio

from backendai_trio import ServerError
from backendai_trio.admin import TaskEvent, follow_task, rescan_images
from backendai_trio.errors import NotFound, RemoteProtocolError
from backendai_trio.wire.events import CONTENT_TYPE, Message, encode_message
from backendai_trio.wire.http import PROBLEM

from ..transport.servers import reply
from .small_manager import SmallManager, manager_client

HEAD = f"HTTP/1.1 200 OK\r\nContent-Type: {CONTENT_TYPE}\r\nTransfer-Encoding: chunked\r\n\r\n"
MALFORMED = b"HTTP/1.1 500 Internal Server Error\r\n\r\n"
STEPS = [TaskEvent("updated", "a-task", f"step {number}", number, 2) for number in (1, 2)]
DONE = TaskEvent("done", "a-task", "all read", errors=("one was not",))


def stream_of(events: Sequence[TaskEvent], *, end: bytes = b"0\r\n\r\n") -> bytes:
    messages = [event.encode() for event in events]
    data = b"".join(map(encode_message, [Message("other", "{}"), *messages]))
    return HEAD.encode() + b"%x\r\n%s\r\n" % (len(data), data) + end


@pytest.mark.parametrize(
    "streams",
    [
        [stream_of([*STEPS, DONE])],
        [stream_of(STEPS, end=b""), stream_of([DONE])],
        [stream_of(STEPS), reply(503, b"", PROBLEM), stream_of([DONE])],
        # 20.03.19 sends a second head in the body, after the event of a task that has ended.
        [stream_of([*STEPS, DONE], end=MALFORMED)],
    ],
    ids=["whole", "broken", "failed", "malformed"],
)
async def test_to_the_end(streams: list[bytes]) -> None:
    manager = SmallManager(tasks=streams)
    send, receive = trio.open_memory_channel[TaskEvent](10)
    async with manager_client(manager) as client, send:
        assert await rescan_images(client, registry="r", progress=send) == DONE
        assert send.statistics().open_send_channels == 1  # it stays the caller's
    assert [event async for event in receive] == STEPS
    assert manager.calls == [("rescan_images", {"registry": "r"})]


@pytest.mark.parametrize("state", ["failed", "cancelled"])
async def test_a_task_that_fails(state: str) -> None:
    event = TaskEvent(state, "a-task", "x" * 1000)
    async with manager_client(SmallManager(tasks=[stream_of([event])])) as client:
        with pytest.raises(ServerError, match=rf"x{{500}}\.\.\. .*background-task-{state}"):
            await follow_task(client, "a-task")


async def test_no_such_task() -> None:
    async with manager_client(SmallManager(tasks=[reply(404, b"", PROBLEM)])) as client:
        with pytest.raises(NotFound):
            await follow_task(client, "a-task")
    async with manager_client(SmallManager(tasks=[reply(200, b"{}")])) as client:
        with pytest.raises(RemoteProtocolError, match="expected text/event-stream"):
            await follow_task(client, "a-task")


async def test_a_reader_that_leaves() -> None:
    send, receive = trio.open_memory_channel[TaskEvent](0)
    receive.close()
    async with manager_client(SmallManager(tasks=[stream_of([*STEPS, DONE])])) as client:
        assert await follow_task(client, "a-task", progress=send) == DONE
