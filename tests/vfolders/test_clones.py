"""Clones on managers, which copy after their answer: by events, and by the list of folders."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import pytest
import trio

from backendai_trio import ServerError, TrioVFolder, open_client
from backendai_trio.transport.background_tasks import wait_for_task
from backendai_trio.vfolders.options import CopyWatch
from backendai_trio.wire.background_tasks import TaskEvent
from backendai_trio.wire.events import CONTENT_TYPE, Message, encode_message
from backendai_trio.wire.http import JSON, PROBLEM
from backendai_trio.wire.versions import SESSION_6, Hello
from backendai_trio.wire.vfolder_requests import Cloned
from backendai_trio.wire.vfolders import VFolderInfo

from ..transport.servers import read_head, reply, serving

SOURCE, COPY = uuid4().hex, uuid4().hex
BAD_GATEWAY = reply(502, b"Bad Gateway", "text/plain")
NO_EVENTS = reply(404, b"{}", PROBLEM)


def stream_of(*messages: Message, begun: bool = False) -> bytes:
    """A stream of events; it breaks off if it has only begun."""
    body = b"".join(map(encode_message, messages))
    head = reply(200, body, CONTENT_TYPE)
    if begun:
        old, new = b"%d" % len(body), b"%d" % (len(body) + 100)
        head = head.replace(b"Content-Length: " + old, b"Content-Length: " + new)
    return head


def event(kind: str, text: str = "") -> Message:
    return TaskEvent(kind, "a-task", text).encode()


def folder(folder_id: str, name: str, status: str = "ready", owner: bool = True) -> VFolderInfo:
    return VFolderInfo(
        folder_id=folder_id, name=name, status=status, is_owner=owner, cloneable=True, host="h"
    )


Rows = list[VFolderInfo]


@dataclass
class Manager:
    """A manager with one folder that may be cloned.

    Attributes:
        events: what answers requests for the events of the task, one after the other, the last one
            for ever.
        lists: likewise for requests for the list of folders; the source is in all of them.
        source: its states, likewise.
        tells_id: whether the reply to the clone has the id of the new folder.
        seen: what was asked for.
    """

    events: list[bytes] = field(default_factory=lambda: [stream_of(event("done"))])
    lists: list[Rows | bytes] = field(default_factory=lambda: [[folder(COPY, "copy")]])
    source: list[str] = field(default_factory=lambda: ["ready"])
    tells_id: bool = True
    seen: list[str] = field(default_factory=list)

    async def handle(self, stream: trio.SocketStream) -> None:
        while head := await read_head(stream):
            head, _, body = head.partition(b"\r\n\r\n")
            method, target = head.decode().split()[:2]
            if b"content-length:" in head.lower():
                size = int(head.lower().partition(b"content-length:")[2].split()[0])
                while len(body) < size:
                    body += await stream.receive_some(65536)
            await stream.send_all(self.answer(method, target))
            if "/events/" in target:
                return  # a stream ends with its connection

    def answer(self, method: str, target: str) -> bytes:
        if target == "/":
            return reply(200, Hello("v9.20250722", "26.9.6").encode(), JSON)
        if "/events/" in target:
            self.seen.append("events")
            return self.events.pop(0) if len(self.events) > 1 else self.events[0]
        if target == "/folders":
            self.seen.append("list")
            source = self.source.pop(0) if len(self.source) > 1 else self.source[0]
            rows = self.lists.pop(0) if len(self.lists) > 1 else self.lists[0]
            if isinstance(rows, bytes):
                return rows
            everything = [folder(SOURCE, "data", source), *rows]
            return self._json([row.encode(SESSION_6) for row in everything])
        if method == "POST":
            made = Cloned(COPY if self.tells_id else "", "copy", "a-task")
            return reply(201, made.encode(), JSON)
        return self._json(folder(SOURCE, "data").encode(SESSION_6))

    def _json(self, body: object) -> bytes:
        return reply(200, json.dumps(body).encode(), JSON)


@asynccontextmanager
async def cloneable_at(manager: Manager) -> AsyncIterator[TrioVFolder]:
    async with serving(manager.handle) as config, open_client(config) as client:
        yield TrioVFolder(client, "data")


BROKEN = stream_of(event("updated"), begun=True)
MALFORMED = stream_of(Message("bgtask_updated", '{"current_progress": "soon"}'))


@pytest.mark.parametrize(
    "events",
    [
        [stream_of(event("updated"), event("done"))],
        [BROKEN, stream_of(event("done"))],
        [BAD_GATEWAY, stream_of(event("done"))],
        [MALFORMED],
        [stream_of(Message("server_close", "{}"))],
        [NO_EVENTS],
        [reply(200, b"{}", JSON)],
    ],
    ids=["events", "broken", "failed", "malformed", "closed", "none", "other"],
)
async def test_the_copy_is_waited_for(events: list[bytes]) -> None:
    """Whatever comes of the events, the list of folders shows when it is there."""
    lists: list[Rows | bytes] = [
        [],
        BAD_GATEWAY,
        [folder(COPY, "copy", "cloning")],
        reply(500, b"{}", PROBLEM),
        [folder(COPY, "copy")],
    ]
    manager = Manager(list(events), lists, ["ready", "ready", "performing", "ready"])
    async with cloneable_at(manager) as data:
        assert await data.clone("copy") == "copy"
    assert manager.lists == lists[-1:]


@pytest.mark.parametrize("status", ["error", "delete-error", "delete-pending", "delete-complete"])
@pytest.mark.parametrize("events", [BROKEN, NO_EVENTS], ids=["broken", "none"])
async def test_a_copy_that_failed(status: str, events: bytes) -> None:
    lists: list[Rows | bytes] = [
        [folder(COPY, "copy", "cloning")],
        [folder(COPY, "copy", status)],
    ]
    async with cloneable_at(Manager([events], lists)) as data:
        with pytest.raises(ServerError, match=f"could not be copied .*'copy': .* {status}"):
            await data.clone("copy")


@pytest.mark.parametrize("events", [BROKEN, NO_EVENTS], ids=["broken", "none"])
async def test_a_copy_that_has_gone_again(events: bytes) -> None:
    lists: list[Rows | bytes] = [[folder(COPY, "copy", "cloning")], []]
    async with cloneable_at(Manager([events], lists)) as data:
        with pytest.raises(ServerError, match=r"could not be copied .*does not list it"):
            await data.clone("copy")


@pytest.mark.parametrize("rows", [[], reply(500, b"{}", PROBLEM)], ids=["missing", "failing"])
async def test_a_copy_that_never_comes(rows: Rows | bytes) -> None:
    async with cloneable_at(Manager(lists=[rows])) as data:
        copy = CopyWatch(data.client, "copy", COPY, SOURCE, "POST /", unlisted_seconds=0.1)
        with pytest.raises(ServerError):
            await wait_for_task(data.client, "", is_done=copy.is_done)


async def test_ids_with_dashes_in_one_answer_and_without_in_another() -> None:
    """The source shows that the copy is in progress, whichever form its id has in the list."""
    busy, copied = (
        [folder(COPY, "copy"), folder(str(UUID(SOURCE)), "data", status)]
        for status in ("performing", "ready")
    )
    manager = Manager([NO_EVENTS], [busy, busy, copied])
    async with cloneable_at(manager) as data:
        assert await data.clone("copy") == "copy"
    assert manager.lists == [copied]


async def test_other_folders_of_the_name() -> None:
    """One in the trash, and one that another user shares; the new folder's id is not told."""
    others = [
        folder(uuid4().hex, "copy", "delete-pending"),
        folder(uuid4().hex, "copy", "x", False),
    ]
    lists: list[Rows | bytes] = [others, [*others, folder(COPY, "copy")]]
    manager = Manager(lists=lists, tells_id=False)
    async with cloneable_at(manager) as data:
        assert await data.clone("copy") == "copy"
    assert manager.seen.count("list") == 2


@pytest.mark.parametrize(
    ("last", "text"),
    [
        (event("failed", "x" * 10_000), r"x{500}\.\.\. "),
        (event("failed"), "task a-task failed; it says no reason"),
        (event("cancelled"), "was cancelled at the server"),
    ],
)
async def test_a_task_that_fails(last: Message, text: str) -> None:
    manager = Manager([stream_of(event("updated"), last)])
    async with cloneable_at(manager) as data:
        with pytest.raises(ServerError, match=text):
            await data.clone("copy")
    assert manager.seen == ["events"]
