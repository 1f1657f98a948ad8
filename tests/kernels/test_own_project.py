"""Users whose projects are not called "default", which managers take for what is not named."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import pytest
import trio
import trio.testing

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
            await trio.testing.wait_all_tasks_blocked(0.02)  # what else is on its way has arrived
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


async def test_user_who_is_moved_to_another_project() -> None:
    """What was found out for the client is no longer true: the refusal is the sign of that."""
    site = Site("RUNNING")
    async with client_of(site) as client:
        for project in ("physics", "biology"):
            site.projects = (project,)
            async with open_kernel(client, PYTHON, token="abc"):
                pass
        site.projects, creates = (), site.asked("POST").count("/session")
        with pytest.raises(ApiError):
            async with open_kernel(client, PYTHON, token="abc"):
                pass
        # What was refused is not sent once more.
        assert site.asked("POST").count("/session") == creates + 1
        site.projects = ("art", "music")
        with pytest.raises(ApiError) as caught:
            async with open_kernel(client, PYTHON, token="abc"):
                pass
        assert "art, music" in caught.value.advice


async def test_creates_that_are_refused_together_ask_together() -> None:
    site = Site("RUNNING")
    async with client_of(site) as client, trio.open_nursery() as nursery:
        for _ in range(8):

            @nursery.start_soon
            async def create() -> None:
                async with open_kernel(client, PYTHON, token="abc"):
                    pass

    asked = [body for body in site.bodies if b"groups" in body]
    # The first one that is refused, and one for all that were refused after it had asked.
    assert 1 <= len(asked) <= 2


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
