"""What administrators make, change and remove: on a small manager, and refused by gateways."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from backendai_trio import (
    AuthError,
    Client,
    GatewayOptions,
    InvalidRequest,
    LocalProtocolError,
    NotFound,
    ServerError,
    open_client,
    open_gateway,
)
from backendai_trio.admin import (
    HIDDEN,
    MANAGED_KINDS,
    ManagedKindName,
    SettingChange,
    alias_image,
    allow_resource_group,
    change_members,
    create_row,
    dealias_image,
    delete_row,
    forbid_resource_group,
    forget_image,
    get_row,
    kind_of,
    preview_change,
    purge_row,
    rescan_images,
    update_row,
)
from backendai_trio.gateway import RELEASES
from backendai_trio.wire.graphql import GraphQLQuery
from backendai_trio.wire.http import JSON

from ..transport.servers import reply
from .small_manager import SmallManager, manager_client

EARLY = ("1.1", "1.3", "18.12")
FIRST: dict[ManagedKindName, dict[str, Any]] = {
    "users": {"password": "a-secret", "full_name": "A"},
    "keypairs": {"rate_limit": 10},
    "projects": {"description": "A"},
    "domains": {"description": "A", "allowed_vfolder_hosts": {"local": ["create-vfolder"]}},
    "resource-policies": {"idle_timeout": 1},
    "resource-presets": {"resource_slots": {"cpu": "1"}},
    "scaling-groups": {"description": "A"},
}
SECOND: dict[ManagedKindName, dict[str, Any]] = {
    "users": {"full_name": "B"},
    "keypairs": {"rate_limit": 20},
    "projects": {"description": "B"},
    "domains": {"description": "B"},
    "resource-policies": {"idle_timeout": 2},
    "resource-presets": {"resource_slots": {"cpu": "2"}},
    "scaling-groups": {"description": "B"},
}


@pytest.mark.parametrize("kind", MANAGED_KINDS)
async def test_from_create_to_purge(kind: ManagedKindName) -> None:
    manager = SmallManager()
    table = kind_of(kind)
    async with manager_client(manager) as client:
        made = await create_row(client, kind, "x", FIRST[kind])
        key = made[table.key] if kind == "keypairs" else "x"
        assert made.get("secret_key") == ("told-once" if kind == "keypairs" else None)
        row = await get_row(client, kind, key)
        expected = {name: value for name, value in FIRST[kind].items() if name != "password"}
        assert {name: row[name] for name in expected} == expected
        assert "password" not in {**row, **made} and "secret_key" not in row
        (change,) = await preview_change(client, kind, "update", key, SECOND[kind])
        ((name, new),) = SECOND[kind].items()
        assert change == SettingChange(name, expected[name], new)
        assert len(manager.sent) == 1  # a preview sends nothing
        await update_row(client, kind, key, SECOND[kind])
        assert (await get_row(client, kind, key))[name] == new
        assert await preview_change(client, kind, "update", key, SECOND[kind]) == []
        gone = await preview_change(client, kind, "delete", key)
        assert SettingChange(name, new, None) in gone
        assert len(manager.sent) == 2
        await delete_row(client, kind, key)
        if table.purge_since is not None:
            await get_row(client, kind, key)
            await purge_row(client, kind, key)
        with pytest.raises(NotFound, match=f"there is no {table.noun}"):
            await get_row(client, kind, key)
        for action in ("update", "delete"):
            with pytest.raises(NotFound, match="there is no"):
                await preview_change(
                    client, kind, action, key, SECOND[kind] if action == "update" else None
                )


async def test_what_exists_is_not_created() -> None:
    manager = SmallManager()
    async with manager_client(manager) as client:
        changes = await preview_change(client, "users", "create", "a@b.c", {"password": "secret"})
        found = {change.name: change.new for change in changes}
        assert found["password"] == HIDDEN and found["username"] == "a@b.c"
        assert (found["domain_name"], found["role"], found["status"]) == (
            "default", "user", "active",
        )  # fmt: skip
        await create_row(client, "domains", "x")
        with pytest.raises(InvalidRequest, match="there is a domain x already"):
            await preview_change(client, "domains", "create", "x")


async def test_an_update_keeps_the_status_of_a_user() -> None:
    """Managers such as 23.09.10 make a user inactive whose status an update does not name."""
    manager = SmallManager((23, 9, 10))
    async with manager_client(manager) as client:
        await create_row(client, "users", "a@b.c", {"password": "x", "status": "inactive"})
        await update_row(client, "users", "a@b.c", {"full_name": "A"})
        assert manager.sent[-1].values == {"full_name": "A", "status": "inactive"}
        await update_row(client, "users", "a@b.c", {"status": "active"})
        assert manager.sent[-1].values == {"status": "active"}


async def test_key_pairs_of_users_without_a_project() -> None:
    """Managers from 23.03.7 on find them in the list only."""
    manager = SmallManager((23, 9, 10), without_project=frozenset({"a@b.c"}))
    async with manager_client(manager) as client:
        key = (await create_row(client, "keypairs", "a@b.c"))["access_key"]
        row = await get_row(client, "keypairs", key)
        assert (row["access_key"], row["user_id"]) == (key, "a@b.c")
        with pytest.raises(NotFound):
            await get_row(client, "keypairs", "AKIAOTHER")


async def test_projects_by_name() -> None:
    manager = SmallManager()
    async with manager_client(manager) as client:
        first = await create_row(client, "projects", "p", {"domain_name": "one"})
        second = await create_row(client, "projects", "p", {"domain_name": "two"})
        with pytest.raises(LocalProtocolError, match=f"several .* {first['id']} .domain one."):
            await update_row(client, "projects", "p", {"description": "x"})
        await update_row(client, "projects", second["id"], {"description": "x"})
        assert manager.sent[-1].key == second["id"]
        bare = UUID(second["id"]).hex
        manager.rows["projects"][bare] = manager.rows["projects"][second["id"]]
        await update_row(client, "projects", bare, {"description": "x"})
        assert manager.sent[-1].key == bare
        user = {"password": "x", "domain_name": "two", "group_ids": ["p"]}
        await create_row(client, "users", "a@b.c", user)
        assert manager.sent[-1].values["group_ids"] == [second["id"]]
        with pytest.raises(NotFound, match="there is no project q"):
            await allow_resource_group(client, "gpu", "project", "q")


async def test_a_plan_needs_an_answer() -> None:
    """A server that fails does not say that there is no such user."""
    manager = SmallManager(refusal=lambda query: reply(503, b"{}", JSON))
    async with manager_client(manager) as client:
        with pytest.raises(ServerError):
            await preview_change(client, "users", "create", "a@b.c", {"password": "x"})


async def test_members() -> None:
    manager = SmallManager()
    async with manager_client(manager) as client:
        await create_row(client, "projects", "p")
        user = await create_row(client, "users", "a@b.c", {"password": "x"})
        await change_members(client, "p", ["a@b.c", user["uuid"]])
        expected = {"user_update_mode": "add", "user_uuids": [user["uuid"]] * 2}
        assert manager.sent[-1].values == expected
        await change_members(client, "p", ["a@b.c"], remove=True)
        assert manager.sent[-1].values["user_update_mode"] == "remove"
        with pytest.raises(NotFound, match=r"there is no user 'x@y\.z'"):
            await change_members(client, "p", ["x@y.z"])
        with pytest.raises(LocalProtocolError, match="no users"):
            await change_members(client, "p", [])


async def test_resource_groups_and_images() -> None:
    manager = SmallManager()
    async with manager_client(manager) as client:
        await allow_resource_group(client, "gpu", "domain", "d")
        await forbid_resource_group(client, "gpu", "keypair", "AKIA")
        await alias_image(client, "python", "r/python:3", architecture="aarch64")
        await dealias_image(client, "python")
        await forget_image(client, "r/python:3")
    assert manager.calls == [
        ("associate_scaling_group_with_domain", {"scaling_group": "gpu", "domain": "d"}),
        ("disassociate_scaling_group_with_keypair", {"scaling_group": "gpu", "access_key": "AKIA"}),
        ("alias_image", {"alias": "python", "target": "r/python:3", "architecture": "aarch64"}),
        ("dealias_image", {"alias": "python"}),
        ("forget_image", {"reference": "r/python:3"}),
    ]


@pytest.mark.parametrize("in_data", [False, True])
async def test_a_secret_that_a_server_quotes_is_hidden(in_data: bool) -> None:
    def refuse(query: GraphQLQuery) -> bytes | None:
        if not query.text.startswith("mutation"):
            return None
        quoted = f"got invalid value {query.variables['props']!r}"
        body: dict[str, Any] = {"errors": [{"message": quoted}]}
        if in_data:  # as before 20.09.21
            body = {"type": "https://api.backend.ai/probs/graphql-error", "title": "x"}
            body["data"] = [{"message": quoted}]
        return reply(400 if in_data else 200, json.dumps(body).encode(), JSON)

    manager = SmallManager(refusal=refuse)
    async with manager_client(manager) as client:
        with pytest.raises(InvalidRequest) as caught:
            await create_row(client, "users", "a@b.c", {"password": "very-secret-word"})
    told = f"{caught.value} {caught.value!r} {caught.value.data} {caught.value.__cause__}"
    assert "very-secret-word" not in told and (in_data or "***" in told)


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ("E00010: Domain not found (x)", NotFound),
        ("no permission for this", AuthError),
        ("it is in use", InvalidRequest),
    ],
)
async def test_errors_in_words_only(message: str, error: type[Exception]) -> None:
    answer = reply(200, json.dumps({"errors": [{"message": message}]}).encode(), JSON)
    async with manager_client(SmallManager(refusal=lambda query: answer)) as client:
        with pytest.raises(error) as caught:
            await delete_row(client, "domains", "x")
        assert type(caught.value) is error
        with pytest.raises(error):
            await get_row(client, "domains", "x")


async def test_what_a_release_lacks_is_not_sent() -> None:
    manager = SmallManager((19, 9, 19))
    async with manager_client(manager) as client:
        with pytest.raises(LocalProtocolError, match=r"from 19\.09\.27 on"):
            await purge_row(client, "users", "a@b.c")
        with pytest.raises(LocalProtocolError, match=r"from 22\.03 on"):
            await forget_image(client, "x", architecture="y")
        with pytest.raises(LocalProtocolError, match=r"from 25\.1 on"):
            await rescan_images(client, project="x")
    assert manager.sent == [] and manager.calls == []


@pytest.mark.parametrize("release", ["", *(name for name in RELEASES if name not in EARLY)])
async def test_gateways_refuse_as_managers_refuse_users(release: str, gateway_parent: Path) -> None:
    options = GatewayOptions(release=release)
    async with open_gateway(options) as gateway, open_client(gateway.config) as client:
        for kind in MANAGED_KINDS:
            name = kind_of(kind).suffix
            with pytest.raises(AuthError, match=f"no permission to execute create_{name}"):
                await create_row(client, kind, "x", FIRST[kind])
            with pytest.raises(AuthError, match=f"no permission to execute delete_{name}"):
                await delete_row(client, kind, "x" if kind != "projects" else "default")
        with pytest.raises(AuthError, match="no permission to execute purge_domain"):
            await purge_row(client, "domains", "default")
        with pytest.raises(AuthError, match="no permission to execute modify_domain"):
            await update_row(client, "domains", "default", {"description": "x"})
        with pytest.raises(AuthError, match="no permission to execute rescan_images"):
            await rescan_images(client)
        with pytest.raises(AuthError, match="no permission to execute associate_scaling_group"):
            await allow_resource_group(client, "default", "domain", "default")


async def test_objects_of_a_gateway(client: Client) -> None:
    assert (await get_row(client, "domains", "default"))["is_active"] is True
    assert (await get_row(client, "projects", "default"))["domain_name"] == "default"
    assert (await get_row(client, "scaling-groups", "default"))["driver"] == "static"
    key = client.config.access_key
    assert (await get_row(client, "keypairs", key))["resource_policy"] == "default"
    policy = await get_row(client, "resource-policies", "default")
    assert policy["allowed_vfolder_hosts"] == {"local": []}
    change = await preview_change(client, "domains", "update", "default", {"description": "x"})
    assert change == [SettingChange("description", "", "x")]


@pytest.mark.parametrize("release", EARLY)
async def test_before_there_was_any(release: str, gateway_parent: Path) -> None:
    options = GatewayOptions(release=release)
    async with open_gateway(options) as gateway, open_client(gateway.config) as client:
        for kind in MANAGED_KINDS:
            with pytest.raises(LocalProtocolError, match=r"managers have that from 19\.09 on"):
                await create_row(client, kind, "x", FIRST[kind])
        with pytest.raises(LocalProtocolError, match=r"managers have that from 19\.09 on"):
            await alias_image(client, "a", "b")
