"""Creates that a manager refuses: what the caller can do about it."""

from __future__ import annotations

import json

import pytest
import trio

from backendai_trio import ApiError, KernelSpec, open_client, open_kernel

from ..transport.servers import read_head, reply, serving


@pytest.mark.parametrize(
    ("status", "kind", "title", "project", "advice"),
    [
        (400, "invalid-api-params", "Invalid group", "physics", "'physics' is no project of yours"),
        (400, "invalid-api-params", "Invalid group", "", "none was named: name one with -g"),
        (404, "object-not-found", "No such scaling group: 'x'", "", "--resource-group"),
        (400, "invalid-api-params", "You can only set the domain to yours", "", "BACKEND_DOMAIN"),
        (404, "object-not-found", "No such virtual folder.", "", "vfolder list"),
        (400, "invalid-api-params", "No", "physics", ""),
    ],
)
async def test_the_option_is_named(
    status: int, kind: str, title: str, project: str, advice: str
) -> None:
    hello = json.dumps({"version": "v7.20230615", "manager": "23.09.10"}).encode()
    problem = {"type": f"https://api.backend.ai/probs/{kind}", "title": title}
    refusal = reply(status, json.dumps(problem).encode(), "application/problem+json")

    async def handle(stream: trio.SocketStream) -> None:
        while head := await read_head(stream):
            await stream.send_all(reply(200, hello) if head.startswith(b"GET / ") else refusal)

    spec = KernelSpec(runtime="python", project=project)
    async with serving(handle) as config, open_client(config) as client:
        with pytest.raises(ApiError) as caught:
            async with open_kernel(client, spec):
                pass
    if advice:
        assert advice in caught.value.advice
    else:
        assert caught.value.advice == ""
