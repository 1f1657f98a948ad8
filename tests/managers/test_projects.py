"""A user who is not in the project called "default"."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
import trio

from backendai_trio import (
    ApiError,
    Client,
    KernelSpec,
    list_kernels,
    open_client,
    open_kernel,
    query,
)

from .runs import run
from .targets import Target

pytestmark = pytest.mark.needs("projects", "sessions", "other-users")

_MEMBERS = (
    "mutation($id: UUID!, $props: ModifyGroupInput!) "
    "{ modify_group(gid: $id, props: $props) { ok msg } }"
)
_CREATE = (
    'mutation($name: String!) { create_group(name: $name, props: {domain_name: "default"}) '
    "{ ok msg group { id } } }"
)
_END = "mutation($id: UUID!) { delete_group(gid: $id) { ok msg } }"


class Projects:
    """Projects of the domain ``default``, changed by the super-administrator."""

    def __init__(self, admin: Client) -> None:
        self._admin = admin
        self.made: dict[str, str] = {}
        """Ids by name."""

    async def id_of(self, name: str) -> str:
        answer = await query(
            self._admin,
            "query($name: String!) { groups_by_name(name: $name) { id } }",
            {"name": name},
        )
        found: str = answer["groups_by_name"][0]["id"]
        return found

    async def user_id(self, email: str) -> str:
        answer = await query(
            self._admin, "query($email: String) { user(email: $email) { uuid } }", {"email": email}
        )
        found: str = answer["user"]["uuid"]
        return found

    async def make(self) -> str:
        name = f"p-{random.randbytes(4).hex()}"
        answer = await self._change(_CREATE, "create_group", {"name": name})
        self.made[name] = answer["group"]["id"]
        return name

    async def change_members(self, project_id: str, mode: str, user_id: str) -> None:
        props = {"user_update_mode": mode, "user_uuids": [user_id]}
        await self._change(_MEMBERS, "modify_group", {"id": project_id, "props": props})

    async def end(self, name: str) -> None:
        # It stays, since sessions have been in it, and is used no more.
        await self._change(_END, "delete_group", {"id": self.made.pop(name)})

    async def _change(self, text: str, name: str, variables: dict[str, object]) -> dict[str, Any]:
        answer: dict[str, Any] = (await query(self._admin, text, variables))[name]
        assert answer["ok"], answer
        return answer


@pytest.fixture
async def projects(target: Target) -> AsyncIterator[Projects]:
    """Projects for the user ``user2``, who is not in ``default`` for the time of the test."""
    async with open_client(target.config("admin")) as admin:
        changes = Projects(admin)
        user = await changes.user_id("user2@lablup.com")
        default = await changes.id_of("default")
        await changes.change_members(default, "remove", user)
        try:
            yield changes
        finally:
            with trio.move_on_after(60, shield=True):
                await changes.change_members(default, "add", user)
                for name, project_id in list(changes.made.items()):
                    await changes.change_members(project_id, "remove", user)
                    await changes.end(name)


async def test_the_only_project_need_not_be_named(
    target: Target, projects: Projects, python: KernelSpec
) -> None:
    name = await projects.make()
    user = await projects.user_id("user2@lablup.com")
    await projects.change_members(projects.made[name], "add", user)
    async with open_client(target.config("user2")) as client:
        for _ in range(2):
            async with open_kernel(client, python) as kernel:
                assert (await run(kernel, "print(1)")).text == "1\n"
                rows = await list_kernels(client)
                assert [row.token for row in rows] == [kernel.token]


async def test_several_projects_are_named(
    target: Target, projects: Projects, python: KernelSpec
) -> None:
    user = await projects.user_id("user2@lablup.com")
    names = [await projects.make() for _ in range(2)]
    for name in names:
        await projects.change_members(projects.made[name], "add", user)
    async with open_client(target.config("user2")) as client:
        with pytest.raises(ApiError) as caught:
            async with open_kernel(client, python):
                pass
        assert all(name in (caught.value.advice or "") for name in names), caught.value
        async with open_kernel(client, replace(python, project=names[1])):
            pass
