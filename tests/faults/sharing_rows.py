"""Rows of calls about virtual folders that two users share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from backendai_trio import (
    GatewayOptions,
    NotFound,
    TrioVFolder,
    create_vfolder,
    open_client,
    open_gateway,
)
from backendai_trio.vfolders import accept_invitation, decline_invitation, list_invitations

from .cells import Cell, World
from .contents import folder_name, folders, names
from .rows import row

FIRST, SECOND = "AKIAFIRSTFIRSTFIRST1", "AKIASECONDSECONDSEC2"


@asynccontextmanager
async def two_users(folder: Path) -> AsyncIterator[World]:
    """A gateway with two key pairs."""
    data = folder / "data"
    async with open_gateway(GatewayOptions(data=data, access_key=SECOND)) as gateway:
        other = gateway.config
    async with open_gateway(
        GatewayOptions(data=data, access_key=FIRST, max_vfolders=1000)
    ) as gateway:
        second = replace(other, endpoint=gateway.config.endpoint)
        async with open_client(second) as client:
            yield World(gateway.config, gateway.tokens, {"other": client})


def other_of(cell: Cell) -> TrioVFolder:
    """The cell's folder, as the other user sees it."""
    client = cell.world.more["other"]
    return TrioVFolder(client, folder_name(cell))  # type: ignore[arg-type]


async def asked(cell: Cell) -> list[str]:
    """The ids of invitations of the other user to the cell's folder."""
    found = await list_invitations(other_of(cell).client)
    return [entry.invitation_id for entry in found if entry.folder_name == folder_name(cell)]


async def may_use(cell: Cell) -> bool:
    try:
        await other_of(cell).info()
    except NotFound:
        return False
    return True


@row("TrioVFolder.invite", world=two_users)
async def inviting(cell: Cell) -> None:
    folder, _ = await folders(cell)
    async with cell.armed():
        invited = await folder.invite([SECOND])
    if cell.succeeded:
        assert len(await asked(cell)) == 1 and invited in ([SECOND], [])
    else:
        assert len(await asked(cell)) <= 1


@row("TrioVFolder.share", world=two_users)
async def sharing(cell: Cell) -> None:
    folder, _ = await folders(cell)
    async with cell.armed():
        await folder.share([SECOND], permission="rw")
    if cell.succeeded:
        assert await may_use(cell)


@row("TrioVFolder.unshare", world=two_users)
async def unsharing(cell: Cell) -> None:
    folder, direct = await folders(cell)
    await direct.share([SECOND])
    async with cell.armed():
        await folder.unshare([SECOND])
    if cell.succeeded:
        assert not await may_use(cell)


async def invited(cell: Cell) -> str:
    """Invite the user of the faulty way to a folder of the other one; returns the id."""
    other = await create_vfolder(cell.world.more["other"], folder_name(cell))  # type: ignore[arg-type]
    await other.invite([FIRST])
    for entry in await list_invitations(cell.direct):
        if entry.folder_name == folder_name(cell):
            return entry.invitation_id
    raise AssertionError("there is no invitation")


@row("TrioVFolder.leave", world=two_users)
async def leaving(cell: Cell) -> None:
    await accept_invitation(cell.direct, await invited(cell))
    async with cell.armed():
        await TrioVFolder(cell.client, folder_name(cell)).leave()
    if cell.succeeded:
        assert await names(cell) == []


@row("vfolders.list_invitations", world=two_users)
async def invitations(cell: Cell) -> None:
    await invited(cell)
    async with cell.armed():
        found = await list_invitations(cell.client)
    if cell.succeeded:
        assert folder_name(cell) in [entry.folder_name for entry in found]


@row("vfolders.accept_invitation", world=two_users)
async def accepting(cell: Cell) -> None:
    invitation = await invited(cell)
    async with cell.armed():
        await accept_invitation(cell.client, invitation)
    if cell.succeeded:
        assert await names(cell) == [folder_name(cell)]


@row("vfolders.decline_invitation", world=two_users)
async def declining(cell: Cell) -> None:
    invitation = await invited(cell)
    async with cell.armed():
        await decline_invitation(cell.client, invitation)
    if cell.succeeded:
        found = await list_invitations(cell.direct)
        assert folder_name(cell) not in [entry.folder_name for entry in found]
