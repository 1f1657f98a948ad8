"""What administrators make, change and remove. What a test makes, it removes again."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import trio

from backendai_trio import ApiError, AuthError, Client, InvalidRequest, NotFound, open_client
from backendai_trio.admin import (
    HIDDEN,
    ManagedKindName,
    SettingChange,
    alias_image,
    allow_resource_group,
    change_members,
    create_row,
    dealias_image,
    delete_row,
    forbid_resource_group,
    get_row,
    kind_of,
    list_rows,
    preview_change,
    purge_row,
    rescan_images,
    update_row,
)

from .targets import Target

pytestmark = pytest.mark.needs("administration")
ENDING_SECONDS = 30.0
MEMORY = str(1 << 30)
PASSWORD = "A-password-of-the-tests-1!"
SIMPLE: list[tuple[ManagedKindName, dict[str, Any], dict[str, Any]]] = [
    ("domains", {"description": "A"}, {"description": "B", "is_active": False}),
    ("resource-policies", {"max_concurrent_sessions": 2}, {"idle_timeout": 60}),
    (
        "resource-presets",
        {"resource_slots": {"cpu": "1", "mem": MEMORY}},
        {"resource_slots": {"cpu": "2", "mem": MEMORY}},
    ),
    ("scaling-groups", {"description": "A"}, {"description": "B"}),
]


@asynccontextmanager
async def made(
    client: Client, kind: ManagedKindName, key: str, values: dict[str, Any]
) -> AsyncIterator[dict[str, Any]]:
    """An object for the length of a block."""
    row = await create_row(client, kind, key, values)
    table = kind_of(kind)
    name = row[table.identity[0]] if kind in ("keypairs", "projects") else key
    try:
        yield row
    finally:
        with trio.move_on_after(ENDING_SECONDS, shield=True), suppress(NotFound):
            await get_row(client, kind, name)
            empty = kind != "domains" or await purge_own_projects(client, name)
            remove = purge_row if empty and table.purge_since is not None else delete_row
            await remove(client, kind, name)


async def purge_own_projects(client: Client, domain: str) -> bool:
    """Remove the projects that managers make with a domain: the store of its models.

    Returns:
        Whether none is left. The project of a user goes at some time after the user, and only so
        (measured: 26.9.6).
    """
    empty = True
    for project in await list_rows(client, "projects"):
        if project["domain_name"] == domain:
            if project["type"] == "PERSONAL":
                empty = False
            else:
                await purge_row(client, "projects", project["id"])
    return empty


def new_name() -> str:
    return f"t{secrets.token_hex(4)}"


@pytest.fixture
async def admin(target: Target) -> AsyncIterator[Client]:
    """A client of the super-administrator."""
    async with open_client(target.config("admin")) as client:
        yield client


@pytest.mark.parametrize(("kind", "first", "second"), SIMPLE, ids=[kind for kind, *_ in SIMPLE])
async def test_from_create_to_delete(
    admin: Client, kind: ManagedKindName, first: dict[str, Any], second: dict[str, Any]
) -> None:
    name = new_name()
    planned = await preview_change(admin, kind, "create", name, first)
    assert {item.name: item.new for item in planned}.items() >= first.items()
    async with made(admin, kind, name, first) as new:
        assert new.items() >= first.items()
        row = await get_row(admin, kind, name)
        assert row.items() >= first.items()
        with pytest.raises(InvalidRequest, match="already"):
            await preview_change(admin, kind, "create", name, first)
        with pytest.raises(ApiError):
            await create_row(admin, kind, name, first)
        changes = await preview_change(admin, kind, "update", name, second)
        expected = [SettingChange(key, row[key], value) for key, value in second.items()]
        assert changes == expected
        assert await get_row(admin, kind, name) == row  # nothing was sent
        await update_row(admin, kind, name, second)
        assert (await get_row(admin, kind, name)).items() >= second.items()
        assert await preview_change(admin, kind, "update", name, second) == []
        assert name in [item["name"] for item in await list_rows(admin, kind)]
        await delete_row(admin, kind, name)
        if kind == "domains":
            assert (await get_row(admin, kind, name))["is_active"] is False
            await purge_own_projects(admin, name)
            await purge_row(admin, kind, name)
    for action in ("update", "delete"):
        with pytest.raises(NotFound):
            values = second if action == "update" else None
            await preview_change(admin, kind, action, name, values)


async def test_a_user_in_a_project_of_a_domain(admin: Client) -> None:
    domain, project, group = new_name(), new_name(), new_name()
    email = f"{new_name()}@example.com"
    user = {"password": PASSWORD, "domain_name": domain, "full_name": "A", "group_ids": [project]}
    async with (
        made(admin, "domains", domain, {}),
        made(admin, "projects", project, {"domain_name": domain}) as found,
        made(admin, "scaling-groups", group, {}),
        made(admin, "users", email, user) as row,
    ):
        assert (row["email"], row["domain_name"], row["full_name"]) == (email, domain, "A")
        planned = await preview_change(admin, "users", "update", email, {"password": "x"})
        assert planned == [SettingChange("password", None, HIDDEN)]
        before = await get_row(admin, "users", email)
        await update_row(admin, "users", email, {"full_name": "B"})
        assert await get_row(admin, "users", email) == before | {"full_name": "B"}
        await update_row(admin, "projects", project, {"description": "physics"})
        assert (await get_row(admin, "projects", found["id"]))["description"] == "physics"
        await change_members(admin, project, [email], remove=True)
        await change_members(admin, found["id"], [row["uuid"]])
        for whom, key in (("domain", domain), ("project", project)):
            await allow_resource_group(admin, group, whom, key)  # type: ignore[arg-type]
            await forbid_resource_group(admin, group, whom, key)  # type: ignore[arg-type]
        await delete_row(admin, "users", email)
        after = await get_row(admin, "users", email)
        assert after.get("is_active") is False or after.get("status") != "active"
        await purge_row(admin, "users", email)
        with pytest.raises(NotFound):
            await get_row(admin, "users", email)


async def test_key_pairs(admin: Client) -> None:
    policy, email = new_name(), f"{new_name()}@example.com"
    async with (
        made(admin, "resource-policies", policy, {"max_concurrent_sessions": 1}),
        made(admin, "users", email, {"password": PASSWORD}),
        made(admin, "keypairs", email, {"resource_policy": policy, "rate_limit": 99}) as row,
    ):
        key = row["access_key"]
        assert len(row["secret_key"]) > 20
        found = await get_row(admin, "keypairs", key)
        assert "secret_key" not in found and found["user_id"] == email
        assert (found["resource_policy"], found["rate_limit"]) == (policy, 99)
        await update_row(admin, "keypairs", key, {"is_active": False})
        assert (await get_row(admin, "keypairs", key))["is_active"] is False


async def test_aliases(admin: Client) -> None:
    image, *_ = await list_rows(admin, "images")
    alias = new_name()
    reference = f"{image['registry']}/{image['name']}:{image['tag']}"
    await alias_image(admin, alias, reference)
    try:
        aliases = [name for row in await list_rows(admin, "images") for name in row["aliases"]]
        assert alias in aliases
    finally:
        with trio.move_on_after(ENDING_SECONDS, shield=True):
            await dealias_image(admin, alias)
    aliases = [name for row in await list_rows(admin, "images") for name in row["aliases"]]
    assert alias not in aliases


async def test_rescan_is_followed_to_its_end(admin: Client) -> None:
    """The registry of the lab does not answer, and the manager says so: at the end, or as an
    error of a task that went on."""
    try:
        event = await rescan_images(admin)
    except ApiError as exc:
        assert "127.0.0.1" in str(exc) or exc.kind.startswith("background-task")
    else:
        assert event.succeeded


@pytest.mark.needs("administrators-only")
async def test_users_are_refused(client: Client) -> None:
    for kind, values in (("domains", {}), ("users", {"password": PASSWORD})):
        with pytest.raises(AuthError, match="no permission to execute create_"):
            await create_row(client, kind, new_name(), values)  # type: ignore[arg-type]
    with pytest.raises(AuthError, match="no permission to execute rescan_images"):
        await rescan_images(client)
