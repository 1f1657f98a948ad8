"""Batch runs that wait for their client, and whose client leaves them: what a manager is asked."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest
import trio

from backendai_trio import (
    ApiError,
    BackendError,
    BatchOptions,
    Client,
    Finished,
    open_client,
)
from backendai_trio.kernels.execution import open_execution
from backendai_trio.wire.execution import ExecuteRequest
from backendai_trio.wire.versions import Hello

from ...transport.servers import read_head, reply, serving

RUN = ExecuteRequest("batch", "run", "", BatchOptions(build=None, exec="sleep 60").as_json())


@dataclass
class Agent:
    """A manager whose kernel runs a script that waits, and is lost sight of.

    The script traps interrupts: only the order to cancel ends it.
    """

    first: bytes
    """The answer to the request that starts the run; empty for a broken connection."""
    requests: list[str] = field(default_factory=list)
    """What was asked for: modes of runs, and the last parts of other paths."""
    order: bytes = b""

    async def handle(self, stream: trio.SocketStream) -> None:
        while head := await read_head(stream):
            line, _, rest = head.partition(b"\r\n")
            headers, _, body = rest.partition(b"\r\n\r\n")
            size = 0
            for header in headers.lower().split(b"\r\n"):
                name, _, value = header.partition(b":")
                size = int(value) if name == b"content-length" else size
            while len(body) < size:
                body += await stream.receive_some(65536)
            if not (answer := self._answer(line.split()[1].decode(), body)):
                return
            await stream.send_all(answer)

    def _answer(self, target: str, body: bytes) -> bytes:
        if target == "/":
            return reply(200, Hello("v9.20250722", "26.9.6").encode(), "application/json")
        if target != "/session/lab1":
            self.requests.append(target.rpartition("/")[2])
            if target.endswith("upload"):
                self.order = body
            return reply(204, b"")
        mode = json.loads(body)["mode"]
        self.requests.append(mode)
        if mode == "batch":
            return self.first
        result = {"runId": "run", "status": "continued", "console": [], "exitCode": None}
        if b"cancel\n" in self.order:
            result |= {"status": "finished", "exitCode": 130}
        return reply(200, json.dumps({"result": result}).encode(), "application/json")


@asynccontextmanager
async def client_of(agent: Agent) -> AsyncIterator[Client]:
    async with serving(agent.handle) as config, open_client(config) as client:
        client.era = replace(client.era, streams_executions=False)
        yield client


@pytest.mark.parametrize("first", [b"", reply(502, b"Bad Gateway")], ids=["cut", "502"])
async def test_run_whose_poll_was_lost_is_cancelled(first: bytes) -> None:
    """Its mark will not be seen any more."""
    agent = Agent(first)
    async with client_of(agent) as client:
        with pytest.raises(BackendError):
            async with open_execution(client, "lab1", RUN) as run:
                await anext(run)
        assert run.outcome == Finished(130)
    assert b"cancel\n" in agent.order
    assert agent.requests.count("batch") == 1


async def test_run_that_was_refused_is_not_sent_again() -> None:
    agent = Agent(reply(400, b'{"type": "invalid-api-params"}', "application/problem+json"))
    async with client_of(agent) as client:
        with pytest.raises(ApiError):
            async with open_execution(client, "lab1", RUN) as run:
                await anext(run)
    assert agent.requests == ["batch"]


async def test_run_that_has_not_begun_is_not_sent() -> None:
    agent = Agent(b"")
    async with client_of(agent) as client, open_execution(client, "lab1", RUN):
        pass
    assert agent.requests == []
