"""`Admin` and `AsyncAdmin`: lists, resources, and what the server keeps for a user."""

from __future__ import annotations

import asyncio

import pytest

from backendai_trio import Config, LocalProtocolError, NotFound
from backendai_trio.admin import Dotfile, SSHKeyPair
from backendai_trio.asyncio import AsyncAdmin
from backendai_trio.faces import Admin
from backendai_trio.testing import TestGateway

BASHRC = Dotfile(".bashrc", "set -u\n")
KEYS = SSHKeyPair("ssh-rsa AAAA me\n", "-----BEGIN\n")


def test_in_a_script(served: TestGateway) -> None:
    config: Config = served.config
    assert Admin.list_kernels(status="LIVE", limit=5, order="-created_at", config=config) == []
    (row,) = Admin.list_rows("users", fields=["email"], limit=1, config=config)
    assert list(row) == ["email"]
    assert Admin.list_resource_groups(config=config) == ["default"]
    found = Admin.check_resources(config=config)
    assert [group.name for group in found.resource_groups] == ["default"]
    assert Admin.key_pair_limits(config=config).access_key == config.access_key
    assert Admin.put_dotfile(BASHRC, config=config)
    assert Admin.list_dotfiles(config=config) == [Admin.get_dotfile(".bashrc", config=config)]
    Admin.delete_dotfile(".bashrc", config=config)
    with pytest.raises(NotFound):
        Admin.get_dotfile(".bashrc", config=config)
    Admin.upload_ssh_keypair(KEYS, config=config)
    assert Admin.get_ssh_public_key(config=config) == KEYS.public_key
    Admin.announce("Friday", config=config)
    assert Admin.get_announcement(config=config) == "Friday"
    Admin.announce("", config=config)


def test_in_asyncio(served: TestGateway) -> None:
    async def main() -> None:
        config = served.config
        assert await AsyncAdmin.list_resource_groups(config=config) == ["default"]
        assert (await AsyncAdmin.check_resources(config=config)).presets == []
        assert (await AsyncAdmin.key_pair_limits(config=config)).sessions == 0
        assert await AsyncAdmin.put_dotfile(BASHRC, config=config)
        assert await AsyncAdmin.list_dotfiles(config=config) == [BASHRC]
        await AsyncAdmin.delete_dotfile(".bashrc", config=config)
        await AsyncAdmin.upload_ssh_keypair(KEYS, config=config)
        assert await AsyncAdmin.get_ssh_public_key(config=config) == KEYS.public_key
        assert await AsyncAdmin.get_announcement(config=config) == ""
        with pytest.raises(LocalProtocolError, match="from -1 on"):
            await AsyncAdmin.list_kernels(offset=-1, config=config)

    asyncio.run(main())
