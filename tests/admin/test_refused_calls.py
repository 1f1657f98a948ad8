"""Calls that are refused before anything is sent: they are checkpoints, too."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing

from backendai_trio import Client, LocalProtocolError, list_kernels, open_client
from backendai_trio.admin import (
    Dotfile,
    SSHKeyPair,
    alias_image,
    announce,
    change_members,
    check_resources,
    create_row,
    delete_dotfile,
    forget_image,
    generate_ssh_keypair,
    get_announcement,
    get_dotfile,
    get_row,
    get_ssh_public_key,
    key_pair_limits,
    list_dotfiles,
    list_resource_groups,
    list_rows,
    put_dotfile,
    upload_ssh_keypair,
)
from backendai_trio.wire.http import JSON
from backendai_trio.wire.versions import Hello

from ..transport.servers import read_head, reply, serving

CALLS: dict[str, Callable[[Client], Awaitable[object]]] = {
    "check-resources": check_resources,
    "resource-groups": list_resource_groups,
    "limits": key_pair_limits,
    "announcement": get_announcement,
    "announce": lambda client: announce(client, "x"),
    "dotfiles": list_dotfiles,
    "dotfile": lambda client: get_dotfile(client, ".bashrc"),
    "put-dotfile": lambda client: put_dotfile(client, Dotfile(".bashrc", "")),
    "delete-dotfile": lambda client: delete_dotfile(client, ".bashrc"),
    "public-key": get_ssh_public_key,
    "generate": generate_ssh_keypair,
    "upload": lambda client: upload_ssh_keypair(client, SSHKeyPair("x", "y")),
    "everybody": lambda client: list_kernels(client, everybody=True),
    "offset": lambda client: list_rows(client, "images", offset=-1),
    "kind": lambda client: list_rows(client, "users"),
    "row": lambda client: get_row(client, "users", "a@b.c"),
    "create": lambda client: create_row(client, "users", "a@b.c", {"password": "x"}),
    "members": lambda client: change_members(client, "p", []),
    "alias": lambda client: alias_image(client, "python", "r/python:3"),
    "forget": lambda client: forget_image(client, "r/python:3"),
}


@pytest.mark.parametrize("call", CALLS)
async def test_refusal_is_a_checkpoint(call: str) -> None:
    """A loop over calls that the server is too old for can be cancelled, and lets others run."""
    asked: list[bytes] = []

    async def handle(stream: trio.SocketStream) -> None:
        while head := await read_head(stream):
            asked.append(head)
            await stream.send_all(reply(200, Hello("v3.20170615").encode(), JSON))

    async with serving(handle) as config, open_client(config) as client:
        with trio.testing.assert_checkpoints(), pytest.raises(LocalProtocolError):
            await CALLS[call](client)
    assert len(asked) == 1
