"""Resource groups, presets and limits, on gateways of each release."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from backendai_trio import (
    Client,
    GatewayOptions,
    InvalidRequest,
    KernelSpec,
    LocalProtocolError,
    NotFound,
    RemoteProtocolError,
    ServerError,
    open_client,
    open_gateway,
    open_kernel,
)
from backendai_trio.admin import (
    check_resources,
    key_pair_limits,
    list_resource_groups,
)
from backendai_trio.gateway import RELEASES
from backendai_trio.wire.http import JSON, PROBLEM, Request
from backendai_trio.wire.own_projects import OwnProjects

from ..transport.servers import HELLO, read_head, reply, serving

EARLY = ("1.1", "1.3", "18.12")


@asynccontextmanager
async def client_of(release: str) -> AsyncIterator[Client]:
    options = GatewayOptions(release=release)
    async with open_gateway(options) as gateway, open_client(gateway.config) as client:
        yield client


@pytest.mark.parametrize("release", ["", *(name for name in RELEASES if name not in EARLY)])
async def test_what_is_free(release: str, gateway_parent: Path) -> None:
    async with client_of(release) as client:
        cores = len(os.sched_getaffinity(0))
        found = await check_resources(client)
        assert await check_resources(client, project="physics") == found
        assert found.key_pair is not None and found.key_pair == found.project
        assert found.key_pair.limits == {"cpu": "Infinity", "mem": "Infinity"}
        assert found.key_pair.using["cpu"] == "0"
        assert found.remaining["cpu"] == str(cores) and int(found.remaining["mem"]) > 0
        (group,) = found.resource_groups
        assert (group.name, group.remaining) == ("default", found.remaining)
        limits = await key_pair_limits(client)
        assert limits.access_key == client.config.access_key
        assert (limits.sessions, limits.max_containers) == (0, 1)
        assert limits.max_sessions > 1 and limits.idle_seconds > 0
        sized = KernelSpec(runtime="python", resources={"cpu": "0.5", "mem": "1g"})
        async with open_kernel(client, replace(sized, resources={})), open_kernel(client, sized):
            assert (await key_pair_limits(client)).sessions == 2
            busy = await check_resources(client)
            assert busy.key_pair is not None and busy.key_pair == busy.project
            assert busy.key_pair.using == {"cpu": "0.5", "mem": f"{1 << 30}"}
            assert busy.remaining["cpu"] == f"{cores - 1}.5"
            free = int(found.remaining["mem"]) - (1 << 30)
            assert busy.key_pair.remaining["mem"] == busy.remaining["mem"] == str(free)
        assert await check_resources(client) == found
        assert await list_resource_groups(client) == ["default"]
        only = await check_resources(client, resource_group="default")
        assert [group.name for group in only.resource_groups] == ["default"]
        with pytest.raises(InvalidRequest, match="Unknown scaling group"):
            await check_resources(client, resource_group="gpu")


@pytest.mark.parametrize("release", EARLY)
async def test_before_there_were_any(release: str, gateway_parent: Path) -> None:
    async with client_of(release) as client:
        for call, since in (
            (check_resources, "19.03"),
            (key_pair_limits, "19.03"),
            (list_resource_groups, "19.09"),
        ):
            with pytest.raises(LocalProtocolError, match=f"managers have that from {since} on"):
                await call(client)
        for method, path in (("POST", "/resource/check-presets"), ("GET", "/scaling-groups")):
            with pytest.raises(NotFound):
                await client.call(Request(method, client.era.prefix + path))


@pytest.mark.parametrize(
    ("setting", "own", "expected"),
    [
        ("", [], "default"),
        ("", ["default", "physics"], "default"),
        ("", ["physics"], "physics"),
        ("chemistry", ["physics", "default"], "chemistry"),
        ("", ["physics", "biology"], None),
        ("", reply(400, b'{"type": "x", "title": "no"}', PROBLEM), "default"),
        ("", reply(403, b'{"type": "x", "title": "no"}', PROBLEM), "default"),
        ("", reply(200, b'{"user": null}', JSON), "default"),
    ],
)
async def test_project_that_counts(setting: str, own: list[str] | bytes, expected: str) -> None:
    """The one that is named, that of the settings, managers' default, or the user's only one."""
    asked: list[str] = []
    queries: list[bytes] = []

    async def handle(stream: trio.SocketStream) -> None:
        while head := await read_head(stream):
            if head.startswith(b"GET / "):
                await stream.send_all(HELLO)
            elif head.startswith(b"GET /scaling-groups?group="):
                asked.append(head.split(b"group=")[1].split()[0].decode())
                groups = b'{"scaling_groups": [{"name": "a"}]}'
                await stream.send_all(reply(200, groups, JSON))
            else:
                while b"}}" not in head.partition(b"\r\n\r\n")[2]:
                    head += await stream.receive_some(65536)
                if isinstance(own, bytes):
                    await stream.send_all(own)
                    continue
                queries.append(head)
                told = OwnProjects("default", tuple(own)).encode()
                await stream.send_all(reply(200, json.dumps(told).encode(), JSON))

    async with (
        serving(handle) as config,
        open_client(replace(config, project=setting)) as client,
    ):
        assert await list_resource_groups(client, project="x") == ["a"]
        if expected is None:
            with pytest.raises(LocalProtocolError, match="your projects are physics, biology"):
                await list_resource_groups(client)
        else:
            for _ in range(2):
                assert await list_resource_groups(client) == ["a"]
        assert asked == ["x"] + [expected] * 2 if expected else ["x"]
        assert len(queries) == (not setting and not isinstance(own, bytes))


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (reply(500, b'{"type": "x", "title": "no"}', PROBLEM), ServerError),
        (reply(200, b"<html>Back soon</html>", "text/html"), RemoteProtocolError),
    ],
)
async def test_failure_to_tell_the_projects_is_one(answer: bytes, error: type[Exception]) -> None:
    """The default project would be refused, or be the wrong one, and the cause would be hidden."""

    async def handle(stream: trio.SocketStream) -> None:
        while head := await read_head(stream):
            if head.startswith(b"GET / "):
                await stream.send_all(HELLO)
            else:
                while b"}}" not in head.partition(b"\r\n\r\n")[2]:
                    head += await stream.receive_some(65536)
                await stream.send_all(answer)

    async with serving(handle) as config, open_client(config) as client:
        with pytest.raises(error):
            await list_resource_groups(client)
