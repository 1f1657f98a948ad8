"""Session templates: kept by the server, and used by creates."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
import trio

from backendai_trio import Client, KernelSpec, NotFound, open_client, open_kernel
from backendai_trio.kernels import (
    create_template,
    delete_template,
    get_template,
    list_templates,
    replace_template,
)

from .conftest import ENDING_SECONDS
from .targets import Target


@pytest.fixture
async def keeper(target: Target, client: Client) -> AsyncIterator[Client]:
    """A client of somebody who may make templates."""
    if target.can("users-templates"):
        yield client
        return
    async with open_client(target.config("admin")) as admin:
        yield admin


@asynccontextmanager
async def kept(client: Client, spec: KernelSpec) -> AsyncIterator[str]:
    """The name of a template that the server keeps."""
    name = f"test-{secrets.token_hex(4)}"
    made = await create_template(client, name, spec)
    try:
        yield name
    finally:
        with trio.move_on_after(ENDING_SECONDS, shield=True):
            await delete_template(client, made)
    assert name not in [item.name for item in await list_templates(client)]
    with pytest.raises(NotFound):
        await get_template(client, made)


@pytest.mark.needs("users-templates")
async def test_life_of_a_template(client: Client, python: KernelSpec) -> None:
    async with kept(client, python) as name:
        found = await get_template(client, name)
        assert found.is_own and found.image == python.runtime
        await replace_template(client, name, replace(python, environ={"A": "1"}))
        changed = await get_template(client, found.template_id)
        assert changed.definition["spec"]["kernel"]["environ"] == {"A": "1"}


@pytest.mark.needs("sessions", "templates")
async def test_session_of_a_template(keeper: Client, python: KernelSpec) -> None:
    spec = replace(python, environ={"A": "1", "B": "1"})
    async with kept(keeper, spec) as name:
        asked = KernelSpec(runtime="", template=name, environ={"B": "2"})
        async with open_kernel(keeper, asked) as kernel:
            result = await kernel.run("import os; print(os.environ['A'], os.environ['B'])")
            assert ("stdout", "1 2\n") in result["console"]
