"""Rows of session templates."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from backendai_trio import KernelSpec, NotFound
from backendai_trio.kernels import (
    SessionTemplate,
    create_template,
    delete_template,
    get_template,
    list_templates,
    replace_template,
)

from .cells import Cell
from .rows import row


async def of_cell(cell: Cell) -> list[SessionTemplate]:
    """The templates that are called as the cell."""
    return [item for item in await list_templates(cell.direct) if item.name == cell.name]


@asynccontextmanager
async def kept(cell: Cell) -> AsyncIterator[str]:
    """The id of a template that the server keeps."""
    yield await create_template(cell.direct, cell.name, KernelSpec(runtime="lua"))
    await removed(cell)


async def removed(cell: Cell) -> int:
    """Remove the cell's templates; returns how many there were."""
    found = await of_cell(cell)
    for item in found:
        with suppress(NotFound):  # a delete that was cancelled may still be at work
            await delete_template(cell.direct, item.template_id)
    return len(found)


@row("kernels.create_template", alone=True)
async def making_a_template(cell: Cell) -> None:
    async with cell.armed():
        made = await create_template(cell.client, cell.name, KernelSpec(runtime="lua"))
    if cell.succeeded:
        assert [item.template_id for item in await of_cell(cell)] == [made]
    assert await removed(cell) <= 1, "a create of a template was repeated"


@row("kernels.list_templates", alone=True)
async def listing_templates(cell: Cell) -> None:
    async with kept(cell) as template_id:
        async with cell.armed():
            found = await list_templates(cell.client)
        if cell.succeeded:
            assert [item.template_id for item in found] == [template_id]


@row("kernels.get_template", alone=True)
async def reading_a_template(cell: Cell) -> None:
    async with kept(cell) as template_id:
        async with cell.armed():
            found = await get_template(cell.client, cell.name)
        if cell.succeeded:
            assert (found.template_id, found.image) == (template_id, "lua")


@row("kernels.replace_template", alone=True)
async def replacing_a_template(cell: Cell) -> None:
    async with kept(cell):
        async with cell.armed():
            await replace_template(cell.client, cell.name, KernelSpec(runtime="python"))
        if cell.succeeded:
            assert [item.image for item in await of_cell(cell)] == ["python"]


@row("kernels.delete_template", alone=True)
async def deleting_a_template(cell: Cell) -> None:
    async with kept(cell):
        async with cell.armed():
            await delete_template(cell.client, cell.name)
        if cell.succeeded:
            assert not await removed(cell)
