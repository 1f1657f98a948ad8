"""What a user may use, and what of it is free."""

from __future__ import annotations

from dataclasses import replace

import pytest

from backendai_trio import Client, open_client, open_kernel
from backendai_trio.admin import check_resources, key_pair_limits, list_resource_groups

from .targets import Target


@pytest.mark.needs("resource-presets")
@pytest.mark.parametrize("account", ["admin", "user"])
async def test_what_is_free(target: Target, account: str) -> None:
    async with open_client(target.config(account)) as client:
        found = await check_resources(client)
        assert found.key_pair is not None
        assert {"cpu", "mem"} <= set(found.key_pair.limits)
        assert {"cpu", "mem"} <= set(found.key_pair.remaining)
        names = await list_resource_groups(client)
        assert {group.name for group in found.resource_groups} == set(names)
        if target.can("sessions"):
            assert "default" in names
        for name in names:
            only = await check_resources(client, resource_group=name)
            assert [group.name for group in only.resource_groups] == [name]
        assert all(preset.name and preset.slots for preset in found.presets)


@pytest.mark.needs("resource-presets")
async def test_limits_of_the_key_pair(target: Target, client: Client) -> None:
    limits = await key_pair_limits(client)
    assert limits.access_key == client.config.access_key
    assert limits.resource_policy == "default"
    assert limits.max_sessions > 0 and limits.max_containers > 0


@pytest.mark.needs("resource-presets", "sessions")
async def test_a_kernel_counts(target: Target, client: Client) -> None:
    spec = replace(target.python, resources={"cpu": "1", "mem": "128m"})
    async with open_kernel(client, spec):
        found = await check_resources(client)
    assert found.key_pair is not None
    assert float(found.key_pair.using["cpu"]) >= 1
