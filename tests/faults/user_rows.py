"""Rows of calls about what the server tells and keeps for a user."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from backendai_trio import NotFound
from backendai_trio.admin import (
    Dotfile,
    SSHKeyPair,
    announce,
    authorize,
    check_resources,
    delete_dotfile,
    generate_ssh_keypair,
    get_announcement,
    get_dotfile,
    get_ssh_public_key,
    key_pair_limits,
    list_dotfiles,
    list_resource_groups,
    put_dotfile,
    upload_ssh_keypair,
)

from .cells import Cell
from .rows import answer_row, row

PAIR = SSHKeyPair("ssh-ed25519 AAAA me\n", "-----BEGIN OPENSSH PRIVATE KEY-----\n...\n\n")

answer_row("admin.check_resources", check_resources)
answer_row("admin.key_pair_limits", key_pair_limits)


@row("admin.list_resource_groups")
async def resource_groups(cell: Cell) -> None:
    async with cell.armed():
        found = await list_resource_groups(cell.client)
    if cell.succeeded:
        assert found == ["default"]


@row("admin.authorize")
async def authorizing(cell: Cell) -> None:
    async with cell.armed():
        await authorize(cell.client)


@row("admin.get_announcement", alone=True)
async def reading_the_announcement(cell: Cell) -> None:
    await announce(cell.direct, cell.name)
    async with cell.armed():
        text = await get_announcement(cell.client)
    if cell.succeeded:
        assert text == cell.name


@row("admin.announce", alone=True)
async def announcing(cell: Cell) -> None:
    async with cell.armed():
        await announce(cell.client, cell.name)
    if cell.succeeded:
        assert await get_announcement(cell.direct) == cell.name


def dotfile(cell: Cell) -> Dotfile:
    return Dotfile(f".{cell.name}", f"{cell.name}\n" * 50, "644")


@asynccontextmanager
async def kept(cell: Cell) -> AsyncIterator[Dotfile]:
    """A dotfile that the server keeps; there may be a few only."""
    await put_dotfile(cell.direct, dotfile(cell))
    yield dotfile(cell)
    await removed(cell)


async def removed(cell: Cell) -> bool:
    """Remove the cell's dotfile; returns whether there was one."""
    try:
        await delete_dotfile(cell.direct, f".{cell.name}")
    except NotFound:
        return False
    return True


@row("admin.put_dotfile", alone=True)
async def keeping_a_dotfile(cell: Cell) -> None:
    async with cell.armed():
        await put_dotfile(cell.client, dotfile(cell))
    if cell.succeeded:
        assert (await get_dotfile(cell.direct, f".{cell.name}")).data == dotfile(cell).data
    await removed(cell)


@row("admin.get_dotfile", alone=True)
async def reading_a_dotfile(cell: Cell) -> None:
    async with kept(cell) as expected:
        async with cell.armed():
            found = await get_dotfile(cell.client, expected.path)
        if cell.succeeded:
            assert found.data == expected.data


@row("admin.list_dotfiles", alone=True)
async def listing_dotfiles(cell: Cell) -> None:
    async with kept(cell) as expected:
        async with cell.armed():
            found = await list_dotfiles(cell.client)
        if cell.succeeded:
            assert [entry.path for entry in found] == [expected.path]


@row("admin.delete_dotfile", alone=True)
async def deleting_a_dotfile(cell: Cell) -> None:
    async with kept(cell) as expected:
        async with cell.armed():
            await delete_dotfile(cell.client, expected.path)
        if cell.succeeded:
            assert not await removed(cell)


@row("admin.generate_ssh_keypair", alone=True)
async def making_a_key_pair(cell: Cell) -> None:
    async with cell.armed():
        pair = await generate_ssh_keypair(cell.client)
    if cell.succeeded:
        assert await get_ssh_public_key(cell.direct) == pair.public_key != ""


@row("admin.upload_ssh_keypair", alone=True)
async def giving_a_key_pair(cell: Cell) -> None:
    pair = replace(PAIR, public_key=f"ssh-ed25519 AAAA {cell.name}\n")
    async with cell.armed():
        await upload_ssh_keypair(cell.client, pair)
    if cell.succeeded:
        assert await get_ssh_public_key(cell.direct) == pair.public_key


@row("admin.get_ssh_public_key", alone=True)
async def reading_a_public_key(cell: Cell) -> None:
    pair = replace(PAIR, public_key=f"ssh-ed25519 AAAA {cell.name}\n")
    await upload_ssh_keypair(cell.direct, pair)
    async with cell.armed():
        found = await get_ssh_public_key(cell.client)
    if cell.succeeded:
        assert found == pair.public_key
