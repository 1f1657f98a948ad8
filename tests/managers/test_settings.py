"""What the server keeps for a user: dotfiles, an SSH key pair; and what it tells everybody."""

from __future__ import annotations

import secrets

import pytest
import trio

from backendai_trio import AuthError, Client, NotFound, open_client
from backendai_trio.admin import (
    Dotfile,
    SSHKeyPair,
    announce,
    delete_dotfile,
    generate_ssh_keypair,
    get_announcement,
    get_dotfile,
    get_ssh_public_key,
    list_dotfiles,
    put_dotfile,
    upload_ssh_keypair,
)

from .targets import Target

ENDING_SECONDS = 30.0


@pytest.mark.needs("dotfiles")
async def test_dotfiles(client: Client) -> None:
    path = f".test-{secrets.token_hex(4)}"
    first = Dotfile(path, "set -u\n# ü\n", "600")
    assert await put_dotfile(client, first)
    try:
        assert await get_dotfile(client, path) == first
        second = Dotfile(path, "set -eu\n", "755")
        assert not await put_dotfile(client, second)
        assert second in await list_dotfiles(client)
    finally:
        with trio.move_on_after(ENDING_SECONDS, shield=True):
            await delete_dotfile(client, path)
    assert path not in [item.path for item in await list_dotfiles(client)]
    for call in (get_dotfile, delete_dotfile):
        with pytest.raises(NotFound):
            await call(client, path)


@pytest.mark.needs("ssh-keypair")
async def test_ssh_keypair(client: Client) -> None:
    made = await generate_ssh_keypair(client)
    assert "PRIVATE KEY" in made.private_key and made.public_key.startswith("ssh-")
    assert await get_ssh_public_key(client) == made.public_key
    other = await generate_ssh_keypair(client)
    assert await get_ssh_public_key(client) == other.public_key != made.public_key


@pytest.mark.needs("ssh-keypair", "ssh-upload")
async def test_own_ssh_keypair(client: Client) -> None:
    made = await generate_ssh_keypair(client)
    await generate_ssh_keypair(client)
    await upload_ssh_keypair(client, SSHKeyPair(made.public_key, made.private_key))
    assert await get_ssh_public_key(client) == made.public_key


@pytest.mark.needs("announcements")
async def test_announcement(target: Target, client: Client) -> None:
    async with open_client(target.config("admin")) as admin:
        before = await get_announcement(admin)
        await announce(admin, "Maintenance on Friday, ü")
        try:
            assert await get_announcement(client) == "Maintenance on Friday, ü"
        finally:
            with trio.move_on_after(ENDING_SECONDS, shield=True):
                await announce(admin, before)
        assert await get_announcement(client) == before
    if target.can("other-users"):
        with pytest.raises(AuthError):
            await announce(client, "I am no administrator")
        assert await get_announcement(client) == before
