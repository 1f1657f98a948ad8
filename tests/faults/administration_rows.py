"""Rows of calls about what administrators of a manager make."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from backendai_trio.admin import (
    SettingChange,
    TaskEvent,
    alias_image,
    allow_resource_group,
    change_members,
    create_row,
    dealias_image,
    delete_row,
    follow_task,
    forbid_resource_group,
    forget_image,
    get_row,
    preview_change,
    purge_row,
    rescan_images,
    update_row,
)
from backendai_trio.wire.events import CONTENT_TYPE, encode_message

from ..admin.small_manager import SmallManager
from ..transport.servers import serving
from .cells import Cell, World
from .rows import row


@asynccontextmanager
async def manager_world(folder: Path) -> AsyncIterator[World]:
    """A small manager that keeps what administrators make."""
    manager = SmallManager()
    async with serving(manager.serve) as config:
        yield World(config, more={"manager": manager})


managers_row = partial(row, world=manager_world)


def manager_of(cell: Cell) -> SmallManager:
    manager = cell.world.more["manager"]
    assert isinstance(manager, SmallManager)
    return manager


def domain(cell: Cell) -> dict[str, object] | None:
    """The cell's domain, as the manager has it."""
    return manager_of(cell).rows["domains"].get(cell.name)


def sent(cell: Cell, action: str) -> int:
    """How many mutations of this kind have come for the cell's domain."""
    return sum(
        mutation.action == action and mutation.key == cell.name
        for mutation in manager_of(cell).sent
    )


@managers_row("admin.create_row")
async def creating_a_row(cell: Cell) -> None:
    async with cell.armed():
        await create_row(cell.client, "domains", cell.name, {"description": "A"})
    if cell.succeeded:
        assert (domain(cell) or {})["description"] == "A"
    assert sent(cell, "create") <= 1


@managers_row("admin.get_row")
async def reading_a_row(cell: Cell) -> None:
    await create_row(cell.direct, "domains", cell.name, {"description": "A"})
    async with cell.armed():
        found = await get_row(cell.client, "domains", cell.name)
    if cell.succeeded:
        assert found["description"] == "A"


@managers_row("admin.update_row")
async def updating_a_row(cell: Cell) -> None:
    await create_row(cell.direct, "domains", cell.name, {"description": "A"})
    async with cell.armed():
        await update_row(cell.client, "domains", cell.name, {"description": "B"})
    if cell.succeeded:
        assert (domain(cell) or {})["description"] == "B"


@managers_row("admin.delete_row")
async def deleting_a_row(cell: Cell) -> None:
    await create_row(cell.direct, "domains", cell.name)
    async with cell.armed():
        await delete_row(cell.client, "domains", cell.name)
    if cell.succeeded:
        assert (domain(cell) or {"is_active": False})["is_active"] is False


@managers_row("admin.purge_row")
async def purging_a_row(cell: Cell) -> None:
    await create_row(cell.direct, "domains", cell.name)
    async with cell.armed():
        await purge_row(cell.client, "domains", cell.name)
    if cell.succeeded:
        assert domain(cell) is None


@managers_row("admin.preview_change")
async def previewing(cell: Cell) -> None:
    await create_row(cell.direct, "domains", cell.name, {"description": "A"})
    async with cell.armed():
        found = await preview_change(
            cell.client, "domains", "update", cell.name, {"description": "B"}
        )
    if cell.succeeded:
        assert found == [SettingChange("description", "A", "B")]
    assert sent(cell, "update") == 0


@managers_row("admin.change_members")
async def changing_members(cell: Cell) -> None:
    await create_row(cell.direct, "projects", cell.name)
    user = await create_row(cell.direct, "users", f"{cell.name}@b.c", {"password": "x"})
    async with cell.armed():
        await change_members(cell.client, cell.name, [f"{cell.name}@b.c"])
    told = [m for m in manager_of(cell).sent if user["uuid"] in m.values.get("user_uuids", [])]
    if cell.succeeded:
        assert told


def called(cell: Cell, name: str) -> int:
    """How often the manager got a call with the cell's name in its arguments."""
    return sum(
        call == name and cell.name in arguments.values()
        for call, arguments in manager_of(cell).calls
    )


def call_row(name: str, call: Callable[..., Awaitable[object]], mutation: str, *shape: str) -> None:
    """Enter the row of a call that is one mutation with the cell's name in it.

    Args:
        name: the call's name.
        call: the call.
        mutation: its name on the manager.
        shape: the call's arguments, with {} for the cell's name.
    """

    @managers_row(name)
    async def make(cell: Cell) -> None:
        async with cell.armed():
            await call(cell.client, *(argument.format(cell.name) for argument in shape))
        if cell.succeeded:
            assert called(cell, mutation)


GROUP = ("gpu", "domain", "{}")
call_row(
    "admin.allow_resource_group",
    allow_resource_group,
    "associate_scaling_group_with_domain",
    *GROUP,
)
call_row(
    "admin.forbid_resource_group",
    forbid_resource_group,
    "disassociate_scaling_group_with_domain",
    *GROUP,
)
call_row("admin.alias_image", alias_image, "alias_image", "{}", "r/python:3")
call_row("admin.dealias_image", dealias_image, "dealias_image", "{}")
call_row("admin.forget_image", forget_image, "forget_image", "{}")


def tell_of_a_task(cell: Cell) -> TaskEvent:
    """Let the manager tell each that asks of the end of a task."""
    events = [TaskEvent("updated", "a-task", "half", 1, 2), TaskEvent("done", "a-task", "all read")]
    data = b"".join(encode_message(event.encode()) for event in events)
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {CONTENT_TYPE}\r\nTransfer-Encoding: chunked\r\n\r\n"
    stream = head.encode() + b"%x\r\n%s\r\n0\r\n\r\n" % (len(data), data)
    manager_of(cell).tasks[:] = [stream] * 20
    return events[-1]


@managers_row(
    "admin.rescan_images", alone=True, unlimited="a manager may read a registry before it answers"
)
async def rescanning(cell: Cell) -> None:
    expected = tell_of_a_task(cell)
    async with cell.armed():
        found = await rescan_images(cell.client, registry=cell.name)
    if cell.succeeded:
        assert found == expected and called(cell, "rescan_images")


@managers_row(
    "admin.follow_task", alone=True, unlimited="a task is followed for as long as the caller waits"
)
async def following(cell: Cell) -> None:
    expected = tell_of_a_task(cell)
    async with cell.armed():
        found = await follow_task(cell.client, "a-task")
    if cell.succeeded:
        assert found == expected
