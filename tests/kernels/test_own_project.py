"""Users whose projects are not called "default", which managers take for what is not named."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import pytest

from backendai_trio import ApiError, open_kernel
from backendai_trio.wire.own_projects import OwnProjects

from ..transport.servers import reply
from .one_session import FAILED, PYTHON, Manager, client_of

REFUSALS = {
    "23.09": (400, "invalid-api-params", "Missing or invalid API parameters.", "Invalid group"),
    "domain": (400, "invalid-api-params", "Missing or invalid API parameters.", "Invalid domain"),
    "26.9": (404, "group-not-found", "No such project.", ""),
}


@dataclass
class Site(Manager):
    """A manager of a site whose users are in these projects of a domain."""

    projects: tuple[str, ...] = ("physics",)
    domain: str = "science"
    refusal: str = "23.09"
    tells: bool = True
    """Whether it tells users of their projects."""

    async def answer(self, head: str) -> bytes:
        body = json.loads(self.bodies[-1] or b"{}")
        if head == "POST /session":
            if body.get("group") not in self.projects or body.get("domain") != self.domain:
                status, kind, title, detail = REFUSALS[self.refusal]
                problem = {"type": kind, "title": title, "msg": detail}
                return reply(status, json.dumps(problem).encode(), "application/problem+json")
        elif "groups" in body.get("query", ""):
            if not self.tells:
                return FAILED
            own = OwnProjects(self.domain, self.projects)
            return reply(200, json.dumps({"data": own.encode()}).encode(), "application/json")
        return await super().answer(head)


@pytest.mark.parametrize("refusal", REFUSALS)
async def test_the_only_project_is_found_out_once(refusal: str) -> None:
    site = Site("RUNNING", refusal=refusal)
    async with client_of(site) as client:
        for _ in range(2):
            async with open_kernel(client, PYTHON, token="abc"):
                pass
    assert site.asked("POST").count("/session") == 3


async def test_project_of_the_users_own_domain() -> None:
    """Who names only the project means the one in the own domain."""
    site = Site("RUNNING", projects=("physics", "chemistry"))
    async with client_of(site) as client:
        for _ in range(2):
            async with open_kernel(client, replace(PYTHON, project="chemistry"), token="abc"):
                pass
    assert site.asked("POST").count("/session") == 3


async def test_several_projects_are_named() -> None:
    site = Site(projects=("physics", "chemistry"))
    async with client_of(site) as client:
        with pytest.raises(ApiError, match="Invalid group") as caught:
            async with open_kernel(client, PYTHON, token="abc"):
                pass
    assert caught.value.advice == (
        "your projects in the domain science are physics, chemistry: name one with -g, "
        "BACKEND_GROUP or KernelSpec.project"
    )
    assert site.asked("POST").count("/session") == 1


@pytest.mark.parametrize(
    ("spec", "site"),
    [
        (replace(PYTHON, project="history"), Site()),
        (replace(PYTHON, domain="arts"), Site()),
        (PYTHON, Site(projects=())),
        (replace(PYTHON, project="other"), Site(domain="default", projects=("physics",))),
        (PYTHON, Site(tells=False)),
    ],
    ids=["project", "domain", "none", "other", "silent"],
)
async def test_refusal_that_stays_one(spec: object, site: Site) -> None:
    async with client_of(site) as client:
        with pytest.raises(ApiError, match="Invalid group") as caught:
            async with open_kernel(client, spec, token="abc"):  # type: ignore[arg-type]
                pass
    assert "-g, BACKEND_GROUP" in (caught.value.advice or "")
    assert site.asked("POST").count("/session") == 1
