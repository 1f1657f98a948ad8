"""What the server tells of itself and of its users, and logging in."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from backendai_trio import (
    AuthError,
    Client,
    list_kernels,
    list_vfolders,
    open_client,
    open_kernel,
)
from backendai_trio.admin import Kind, authorize, list_rows
from backendai_trio.login import log_in, log_out

from .runs import open_folder, run
from .targets import ManagerTarget, Target


async def test_key_pair_is_taken(client: Client) -> None:
    ahead = await authorize(client)
    assert ahead is None or abs(ahead) < timedelta(seconds=30)


async def test_wrong_secret_key(target: Target) -> None:
    config = replace(target.config(), secret_key="x" * 40)
    async with open_client(config) as client:
        with pytest.raises(AuthError):
            await authorize(client)


async def test_unknown_access_key(target: Target) -> None:
    config = replace(target.config(), access_key="AKIA" + "X" * 16)
    async with open_client(config) as client:
        with pytest.raises(AuthError):
            await authorize(client)


async def _rows(target: Target, kind: Kind, account: str = "admin") -> list[object]:
    async with open_client(target.config(account)) as client:
        return [*await list_rows(client, kind)]


async def test_agents(target: Target) -> None:
    rows = await _rows(target, "agents")
    assert bool(rows) == target.can("sessions")


async def test_sessions_of_nobody(client: Client) -> None:
    assert await list_kernels(client) == []
    await list_kernels(client, status=None)


@pytest.mark.needs("admin-images")
@pytest.mark.parametrize("account", ["admin", "user"])
async def test_images(target: Target, account: str) -> None:
    assert "python" in str(await _rows(target, "images", account))


@pytest.mark.parametrize("account", ["admin", "user"])
async def test_key_pairs(target: Target, account: str) -> None:
    access_key = target.config(account).access_key
    text = str(await _rows(target, "keypairs", account))
    assert access_key in text
    assert target.config(account).secret_key not in text
    if isinstance(target, ManagerTarget) and account == "user":
        assert target.config("admin").access_key not in text  # but only its own


@pytest.mark.needs("admin-users")
async def test_users(target: Target) -> None:
    assert await _rows(target, "users")


@pytest.mark.needs("admin-resource-policies")
async def test_resource_policies(target: Target) -> None:
    assert await _rows(target, "resource-policies")


@pytest.mark.needs("admin-scaling-groups")
async def test_scaling_groups(target: Target) -> None:
    assert await _rows(target, "scaling-groups")


@pytest.mark.needs("admin-vfolders")
async def test_virtual_folders_of_all(target: Target) -> None:
    """Also when there is one: some releases fail only then."""
    async with open_client(target.config("admin")) as client, open_folder(client) as folder:
        assert folder.name in str(await list_rows(client, "vfolders"))
        assert folder.name in [info.name for info in await list_vfolders(client)]


@pytest.mark.needs("login", "sessions")
async def test_work_through_a_login(target: Target) -> None:
    config, name, password = target.login()
    async with open_client(config) as client:
        with pytest.raises(AuthError):
            await log_in(client, name, "wrong-" + password)
        login = await log_in(client, name, password)
    config = replace(config, access_key=login.access_key, login=login)
    async with open_client(config) as client:
        async with open_kernel(client, target.python) as kernel:
            assert (await run(kernel, "print(6 * 7)")).stdout == "42\n"
            assert kernel.token in [row.token for row in await list_kernels(client)]
            ran = await run(kernel, "print(input('name? '))", answers=["LABLUP"])
            assert ran.stdout.endswith("LABLUP\n")
        assert password not in repr(config)
        await log_out(client)
        with pytest.raises(AuthError):
            await list_kernels(client)
