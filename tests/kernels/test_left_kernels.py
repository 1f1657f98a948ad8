"""Kernels of clients that were killed while their create was on its way."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from backendai_trio import Client, KernelSpec, open_client, open_kernel
from backendai_trio.config import Journal, LeftKernel
from backendai_trio.gateway import Gateway
from backendai_trio.kernels import end_left_kernel
from backendai_trio.wire.http import JSON, Request
from backendai_trio.wire.kernels import CreateRequest

PYTHON = KernelSpec(runtime="python")
CREATE_SECONDS = 0.5
"""How long a create is at work before the gateway knows of the kernel."""


def entry_of(client: Client, folder: Path, kernel_id: str = "") -> LeftKernel:
    """The entry that a killed client has left in its journal."""
    journal = Journal(folder)
    config = client.config
    note = journal.note("left", url=config.endpoint.url, access_key=config.access_key)
    assert note is not None
    if kernel_id:
        note.identify(kernel_id)
    note.close(forget=False)
    (left,) = journal.left()
    return left


@pytest.mark.parametrize("create_seconds", [0.0, CREATE_SECONDS])
async def test_create_that_is_still_at_work(
    gateway: Gateway, client: Client, tmp_path: Path, create_seconds: float
) -> None:
    """The client was killed when it had sent the create, and `gc` comes at once."""
    gateway.faults.create_delay_seconds = create_seconds
    left = entry_of(client, tmp_path / "journal")
    async with trio.open_nursery() as nursery:
        # What a killed client has sent still arrives.
        body = CreateRequest("left", PYTHON).encode(client.era)
        request = Request("POST", client.era.create_path, (), body, JSON)
        nursery.start_soon(client.call, request)
        assert await end_left_kernel(client, left) == "ended"
        assert gateway.tokens() == []
    assert gateway.tokens() == []


async def test_create_that_was_answered_is_not_waited_for(
    gateway: Gateway, client: Client, tmp_path: Path
) -> None:
    async with open_kernel(client, PYTHON, token="left") as kernel:
        left = entry_of(client, tmp_path / "journal", kernel.kernel_id)
    async with open_client(gateway.config) as other:
        with trio.move_on_after(CREATE_SECONDS) as waiting:
            assert await end_left_kernel(other, left) == "ended before"
    assert not waiting.cancelled_caught
