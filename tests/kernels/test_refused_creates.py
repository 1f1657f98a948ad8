"""Creates that a manager refuses: what the caller can do about it."""

from __future__ import annotations

import json

import pytest
import trio

from backendai_trio import ApiError, KernelSpec, open_client, open_kernel
from backendai_trio.kernels.refused_creates import advice_for

from ..transport.servers import read_head, reply, serving

_LACKS = "User 1 lacks permission <Permission.CREATE: 4> on session at scopes"


@pytest.mark.parametrize(
    ("status", "kind", "title", "project", "advice"),
    [
        (400, "invalid-api-params", "Invalid group", "physics", "'physics' is no project of yours"),
        (400, "invalid-api-params", "Invalid group", "", "none was named: name one with -g"),
        (404, "object-not-found", "No such scaling group: 'x'", "", "--resource-group"),
        (400, "invalid-api-params", "You can only set the domain to yours", "", "BACKEND_DOMAIN"),
        (404, "object-not-found", "No such virtual folder.", "", "vfolder list"),
        (400, "invalid-api-params", "No", "physics", ""),
        (404, "scaling-group-not-found", "No", "", "--resource-group"),
        (404, "vfolder-not-found", "The virtual folder does not exist: 'group'", "", "vfolder"),
        (404, "object-not-found", "No such vfolder. (group-data)", "", "vfolder list"),
        (404, "object-not-found", "No such vfolder: 'my domain'", "", "vfolder list"),
        (404, "project-not-found", "Project not found.", "", "none was named"),
        (404, "domain-not-found", "No", "", "BACKEND_DOMAIN"),
        (403, "not-enough-permission", f"{_LACKS} [ProjectID('1')]", "", "none was named"),
        (403, "not-enough-permission", f"{_LACKS} [ProjectID('1')]", "lab", "'lab' is no project"),
        (403, "not-enough-permission", f"{_LACKS} [DomainID('1')]", "", "BACKEND_DOMAIN"),
        (403, "not-enough-permission", "User 1 lacks permission to open a project", "", ""),
        (400, "session-already-exists", "No", "", "use another token (-t), or end that kernel"),
        (400, "kernel-already-exists", "No", "", "use another token (-t), or end that kernel"),
        # Words that are a part of another, or of a failure of another kind, say nothing.
        (404, "image-not-found", "No such image: cr.mydomain.org/python", "", ""),
        (404, "object-not-found", "No such image: cr.domain.org/group", "", ""),
        (412, "quota-exceeded", "Your group has too many sessions", "", ""),
        (400, "invalid-api-params", "The startup command regroups", "", ""),
    ],
)
async def test_the_option_is_named(
    status: int, kind: str, title: str, project: str, advice: str
) -> None:
    """It is found by what is not there, and never by a name that happens to be in the text."""
    hello = json.dumps({"version": "v7.20230615", "manager": "23.09.10"}).encode()
    problem = {"type": f"https://api.backend.ai/probs/{kind}", "title": title}
    if kind in ("invalid-api-params", "not-enough-permission"):
        problem |= {"title": "Missing or invalid API parameters.", "msg": title}
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


def test_failure_of_the_server_gets_no_advice() -> None:
    error = ApiError(500, kind="internal-server-error", title="The domain has no group")
    assert advice_for(error, KernelSpec(runtime="python")) == ""
