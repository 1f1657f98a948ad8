"""A server that says what a manager says of one session, where the gateway's are not like it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import trio

from backendai_trio import Client, KernelSpec, open_client
from backendai_trio.wire.versions import SESSION_6, Hello

from ..transport.servers import read_head, reply, serving

PYTHON = KernelSpec(runtime="python")
ID = "0d9d4a5c-1a3c-4f0e-9d5b-8d1f2f3a4b5c"
NOT_NOW = reply(
    403,
    b'{"type": "https://api.backend.ai/probs/generic-forbidden", "title": "Not now"}',
    "application/problem+json",
)
GONE = reply(404, b'{"type": "session-not-found", "title": "Gone"}', "application/problem+json")
FAILED = reply(500, b'{"type": "internal-server-error"}', "application/problem+json")
REFUSED = reply(403, b'{"type": "generic-forbidden"}', "application/problem+json")
FAILURES = {
    "failure": FAILED,
    "busy": reply(429, b'{"type": "too-many-requests"}', "application/problem+json"),
    "gone away": reply(502, b"Bad Gateway", "text/plain"),
    "malformed": reply(200, b"<html>Back soon</html>", "text/html"),
    "forbidden": REFUSED,
}
ENDED = reply(200, b'{"stats": {"status": "terminated"}}', "application/json")
IN_LATE_2023 = Hello("v7.20230615", "23.09.10")
IN_2026 = Hello("v9.20250722", "26.9.6")


@dataclass
class Manager:
    """A manager with one session.

    Each look at the session's state shows the next of `states`, the last one for ever, with the
    state of its container behind "of"; each destroy is answered by the next of `destroys`.
    """

    created: str = "PENDING"
    """Its state in the reply to the create."""
    states: list[str] = field(default_factory=lambda: ["RUNNING"])
    destroys: list[bytes] = field(default_factory=lambda: [ENDED])
    reason: str = ""
    hello: Hello = IN_2026
    create_answer: bytes | None = None
    """What the create is answered with instead; nothing at all if it is empty."""
    data: object = None
    """Its status data."""
    answers_create: trio.Event | None = None
    """What the reply to the create waits for."""
    heads: list[str] = field(default_factory=list)
    """Method and target of each request."""
    bodies: list[bytes] = field(default_factory=list)
    seen_create: trio.Event = field(default_factory=trio.Event)
    seen_look: trio.Event = field(default_factory=trio.Event)

    async def handle(self, stream: trio.SocketStream) -> None:
        while head := await read_head(stream):
            line, _, rest = head.decode().partition("\r\n")
            headers, _, text = rest.partition("\r\n\r\n")
            sizes = [h for h in headers.split("\r\n") if h.lower().startswith("content-length")]
            size = int(sizes[0].partition(":")[2]) if sizes else 0
            body = text.encode()
            while len(body) < size:
                body += await stream.receive_some(65536)
            self.heads.append(line.rpartition(" ")[0])
            self.bodies.append(body)
            if not await self.serve(stream, self.heads[-1]):
                return

    async def serve(self, stream: trio.SocketStream, head: str) -> bool:
        """Answer a request; returns whether the connection stays open."""
        answer = await self.answer(head)
        await stream.send_all(answer)
        return bool(answer)

    async def answer(self, head: str) -> bytes:
        method, target = head.split()
        match method, target.partition("?")[0]:
            case "GET", "/":
                return self._json(200, json.loads(self.hello.encode()))
            case "POST", "/session":
                self.seen_create.set()
                if self.create_answer is not None:
                    return self.create_answer
                if self.answers_create is not None:
                    await self.answers_create.wait()
                about = {"sessionId": ID, "sessionName": "abc", "status": self.created}
                return self._json(201, about)
            case "DELETE", _:
                return self.destroys.pop(0) if len(self.destroys) > 1 else self.destroys[0]
            case "POST", path if "/admin/" in path and b"keypair" in self.bodies[-1]:
                return self._json(200, {"data": {"keypair": {"access_key": "AKIAX"}}})
            case "POST", path if "/admin/" in path:
                self.seen_look.set()
                return self._state()
            case "GET", path if path in ("/session/abc", f"/session/{ID}"):
                return self._json(200, {"status": self.created, "image": "python"})
            case _:
                return GONE

    def _state(self) -> bytes:
        status = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        if status in FAILURES:
            return FAILURES[status]
        status, _, container = status.partition(" of ")
        row = {"id": ID, "name": "abc", "status": status, "status_info": self.reason}
        row["status_data"] = None if self.data is None else json.dumps(self.data)
        row |= {"containers": [{"status": container or status}]}
        pages = {"items": [row], "total_count": 1}
        one = row if status else None
        return self._json(200, {"data": {"compute_session": one, "compute_session_list": pages}})

    def _json(self, status: int, body: object) -> bytes:
        return reply(status, json.dumps(body).encode(), "application/json")

    def asked(self, method: str) -> list[str]:
        return [head.split()[1] for head in self.heads if head.startswith(method)]


@asynccontextmanager
async def client_of(
    manager: Manager, *, grace_seconds: float = 10.0, check: bool = True
) -> AsyncIterator[Client]:
    async with (
        serving(manager.handle) as config,
        open_client(replace(config, grace_seconds=grace_seconds)) as client,
    ):
        assert client.era.name == SESSION_6.name or not check
        yield client
