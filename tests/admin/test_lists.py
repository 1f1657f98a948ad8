"""Lists of the admin API from servers whose users have fewer fields than administrators."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from backendai_trio import (
    ApiError,
    BackendError,
    Client,
    InvalidRequest,
    list_kernels,
    open_client,
    open_gateway,
)
from backendai_trio.admin import list_rows
from backendai_trio.wire.http import JSON, PROBLEM
from backendai_trio.wire.kernel_states import LIVE
from backendai_trio.wire.versions import Hello

from ..transport.servers import client_of, read_head, reply, serving

ADMIN = {"keypair", "keypairs", "agents"}
USER = {"keypair", "compute_sessions"}


@asynccontextmanager
async def client_of_schema(roots: set[str]) -> AsyncIterator[Client]:
    """A client of a manager 18.12 whose schema has these root fields."""

    async def handle(stream: trio.SocketStream) -> None:
        while head := await read_head(stream):
            if head.startswith(b"GET / "):
                await stream.send_all(reply(200, Hello("v4.20181215").encode(), "application/json"))
                continue
            while b"}}" not in (body := head.partition(b"\r\n\r\n")[2]):
                head += await stream.receive_some(65536)
            asked = json.loads(body)["query"].split("{")[1].strip()
            root = asked.partition("(")[0].split()[0]
            if root in roots and "access_key:" not in asked:
                row = {"access_key": root, "sess_id": "lab1", "name": "lab1"}
                found = json.dumps({root: [row, row] if root.endswith("s") else row}).encode()
                await stream.send_all(reply(200, found, "application/json"))
            else:
                title = f'Invalid API parameters. (Cannot query field "{root}")'
                problem = {"type": "https://api.backend.ai/probs/invalid-api-params"}
                text = json.dumps(problem | {"title": title}).encode()
                await stream.send_all(reply(400, text, "application/problem+json"))

    async with serving(handle) as config, open_client(config) as client:
        yield client


async def test_key_pairs_of_administrators_and_users() -> None:
    async with client_of_schema(ADMIN) as client:
        assert [row["access_key"] for row in await list_rows(client, "keypairs")] == [
            "keypairs"
        ] * 2
    async with client_of_schema(USER) as client:
        assert [row["access_key"] for row in await list_rows(client, "keypairs")] == ["keypair"]


async def test_what_users_do_not_have_is_told() -> None:
    async with client_of_schema(set()) as client:
        for kind in ("keypairs", "agents"):
            with pytest.raises(InvalidRequest, match="Cannot query field"):
                await list_rows(client, kind)  # type: ignore[arg-type]


async def test_own_kernels_of_users() -> None:
    """Their list takes no access key, and has no kernels of others."""
    async with client_of_schema(USER) as client:
        assert [row.token for row in await list_kernels(client)] == ["lab1", "lab1"]


@pytest.mark.parametrize(
    "refusal",
    [
        reply(500, b'{"type": "x/internal-server-error", "title": "failed"}', PROBLEM),
        reply(503, b"<html><title>Try again</title></html>", "text/html"),
        reply(429, b'{"type": "x/rate-limit-exceeded", "title": "too many"}', PROBLEM),
        reply(200, b'{"data": null, "errors": [{"message": "lost the database"}]}', JSON),
        reply(200, b'{"data": {"keypair": null}}', JSON),
    ],
    ids=["500", "503", "429", "errors", "null"],
)
async def test_kernels_of_others_are_never_listed_by_chance(refusal: bytes) -> None:
    """A super-administrator who names no key pair would get everybody's."""
    row = {"name": "lab1", "image": "python", "status": "RUNNING"}
    page = {"data": {"compute_session_list": {"items": [row], "total_count": 1}}}
    listed = reply(200, json.dumps(page).encode(), JSON)
    async with client_of(refusal, listed) as client:
        with pytest.raises(BackendError):
            await list_kernels(client)
    async with client_of(listed) as client:
        assert [row.token for row in await list_kernels(client, everybody=True)] == ["lab1"]


@pytest.mark.parametrize("status", [None, LIVE])
async def test_refusal_is_about_the_filter_of_the_caller(
    gateway_parent: Path, status: str | None
) -> None:
    """And not about the longer one that also leaves out the kernels that have ended."""
    async with open_gateway() as gateway, open_client(gateway.config) as client:
        with pytest.raises(ApiError, match="the filter 'x' is malformed"):
            await list_kernels(client, status=status, filter="x")
