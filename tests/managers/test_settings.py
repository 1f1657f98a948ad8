"""What the server keeps for a user: dotfiles, an SSH key pair; and what it tells everybody."""

from __future__ import annotations

import secrets

import pytest

from backendai_trio import Client, NotFound
from backendai_trio.admin import (
    Dotfile,
    delete_dotfile,
    get_dotfile,
    list_dotfiles,
    put_dotfile,
)


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
        await delete_dotfile(client, path)
    assert path not in [item.path for item in await list_dotfiles(client)]
    for call in (get_dotfile, delete_dotfile):
        with pytest.raises(NotFound):
            await call(client, path)
