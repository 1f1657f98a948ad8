"""Queries of the admin API: failures, and what is looked up with them for other requests."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import trio

from backendai_trio import (
    ApiError,
    AuthError,
    Client,
    InvalidRequest,
    LocalProtocolError,
    NotFound,
    ServerError,
    open_client,
)
from backendai_trio.transport.graphql import ask
from backendai_trio.transport.own_account import known_projects, own_access_key, own_projects
from backendai_trio.transport.projects import project_id
from backendai_trio.wire.graphql import GraphQLQuery
from backendai_trio.wire.http import JSON, PROBLEM
from backendai_trio.wire.own_projects import OwnProjects
from backendai_trio.wire.versions import Hello

from .servers import read_head, reply, serving

PROJECT = "2de2b969-1d04-48a6-af16-0bc8adb3c831"
NEW, OLD, BARE = "v9.20250722", "v4.20190615", "v6.20200815"
FAILED = reply(500, b'{"type": "internal-server-error"}', PROBLEM)


@dataclass
class Site:
    """A server that answers queries.

    Attributes:
        version: its API.
        answers: the next data, or whole responses; the last one for ever.
        queries: what has come.
    """

    version: str = NEW
    answers: list[dict[str, Any] | bytes] = field(default_factory=list)
    queries: list[GraphQLQuery] = field(default_factory=list)

    async def handle(self, stream: trio.SocketStream) -> None:
        while head := await read_head(stream):
            if head.startswith(b"GET / "):
                await stream.send_all(reply(200, Hello(self.version).encode(), JSON))
                continue
            head, _, body = head.partition(b"\r\n\r\n")
            size = int(head.lower().partition(b"content-length:")[2].split()[0])
            while len(body) < size:
                body += await stream.receive_some(65536)
            self.queries.append(GraphQLQuery.decode(body))
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            if not isinstance(answer, bytes):
                data = {"data": answer} if self.version == NEW else answer
                answer = reply(200, json.dumps(data).encode(), JSON)
            await stream.send_all(answer)

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        async with serving(self.handle) as config, open_client(config) as client:
            yield client


def errors_of(text: str) -> bytes:
    return reply(200, json.dumps({"errors": [{"message": text}], "data": None}).encode(), JSON)


def problem_of(text: str) -> bytes:
    return reply(400, json.dumps({"type": "x", "title": text}).encode(), PROBLEM)


@pytest.mark.parametrize("shape", [errors_of, problem_of], ids=["errors", "problem"])
@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("no matching keypair", NotFound),
        ("Session not found", NotFound),
        ("no such user", NotFound),
        ("You have no permission to do that", AuthError),
        ("Cannot query field 'x'", InvalidRequest),
    ],
)
async def test_refusals_are_told_in_words(
    shape: Callable[[str], bytes], text: str, kind: type[ApiError]
) -> None:
    site = Site(answers=[shape(text)])
    async with site.client() as client:
        with pytest.raises(kind, match=text) as caught:
            await ask(client, GraphQLQuery("{ x }", {}), repeat=True)
        assert type(caught.value) is kind and "POST /admin/gql" in str(caught.value)
    assert len(site.queries) == 1


@pytest.mark.parametrize(
    ("version", "repeat", "times"), [(NEW, True, 4), (NEW, False, 1), (OLD, True, 1)]
)
async def test_failures_that_may_pass(version: str, repeat: bool, times: int) -> None:
    """Managers from 20.09 on answer 500 when two of their transactions meet."""
    site = Site(version, [FAILED])
    async with site.client() as client:
        with pytest.raises(ServerError):
            await ask(client, GraphQLQuery("{ x }", {}), repeat=repeat)
    assert len(site.queries) == times
    site = Site(version, [FAILED] * (times - 1) + [{"x": 1}])
    async with site.client() as client:
        assert await ask(client, GraphQLQuery("{ x }", {}), repeat=repeat) == {"x": 1}


@pytest.mark.parametrize(
    "headers",
    [
        ["Retry-After: 3600"],
        ["Date: Mon, 01 Jan 2024 00:00:00 GMT", "Retry-After: Tue, 02 Jan 2024 00:00:00 GMT"],
    ],
    ids=["seconds", "date"],
)
async def test_server_that_asks_for_a_long_pause(headers: list[str]) -> None:
    """Such as a proxy during maintenance: callers do not hang until it is over."""
    site = Site(answers=[reply(503, b"", PROBLEM, *headers)])
    async with site.client() as client:
        with trio.fail_after(20), pytest.raises(ApiError) as caught:
            await ask(client, GraphQLQuery("{ x }", {}), repeat=True)
    assert caught.value.retry_after >= 3600
    assert len(site.queries) == 1


@pytest.mark.parametrize("key", [PROJECT, PROJECT.replace("-", ""), f"{{{PROJECT}}}"])
async def test_ids_of_projects_are_not_looked_up(key: str) -> None:
    site = Site()
    async with site.client() as client:
        assert await project_id(client, key) == key
    assert site.queries == []


@pytest.mark.parametrize(("version", "root"), [(NEW, "groups_by_name"), (BARE, "groups")])
async def test_project_by_its_name(version: str, root: str) -> None:
    rows = [
        {"id": "1", "name": "p", "domain_name": "one"},
        {"id": "2", "name": "p", "domain_name": "two"},
    ]
    if root == "groups":
        rows.append({"id": "3", "name": "q", "domain_name": "one"})
    site = Site(version, [{root: rows}])
    async with site.client() as client:
        assert await project_id(client, "p", domain="two") == "2"
        with pytest.raises(LocalProtocolError, match=r"several .* 1 \(domain one\), 2 \(domain tw"):
            await project_id(client, "p")
        with pytest.raises(NotFound, match="no project p in the domain three"):
            await project_id(client, "p", domain="three")
    async with Site(version, [{root: []}]).client() as client:
        with pytest.raises(NotFound, match="no project r that you may use"):
            await project_id(client, "r")


async def test_the_own_account_is_asked_for_once() -> None:
    own = OwnProjects("science", ("physics",))
    site = Site(answers=[{"keypair": {"access_key": "AKIA"}}])
    async with site.client() as client:
        for _ in range(2):
            assert await own_access_key(client) == "AKIA"
        assert known_projects(client) is None
        site.answers = [FAILED, own.encode()]
        for _ in range(2):
            assert await own_projects(client) == own
        assert known_projects(client) == own
    assert len(site.queries) == 3


async def test_servers_that_list_one_key_pair_at_a_time() -> None:
    site = Site("v3.20170615")
    async with site.client() as client:
        assert await own_access_key(client) is None
    assert site.queries == []
