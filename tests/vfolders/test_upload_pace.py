"""How many files go to a virtual folder at a time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from backendai_trio import create_vfolder, open_client
from backendai_trio.gateway import Gateway
from backendai_trio.testing import Stall, open_faulty_network


@pytest.mark.parametrize(("managers", "expected"), [(True, 2), (False, 6)])
async def test_files_at_a_time(
    gateway: Gateway, tmp_path: Path, managers: bool, expected: int
) -> None:
    """A storage proxy that gets as many as it has threads stops for good."""
    paths = [tmp_path / f"{number}.bin" for number in range(12)]
    for path in paths:
        path.write_bytes(b"x" * 1000)
    async with (
        open_faulty_network(gateway.config) as network,
        open_client(network.config) as client,
    ):
        if managers:
            client.hello = replace(client.hello, features=frozenset())
        folder = await create_vfolder(client, "data")
        network.inject(Stall(), times=None, matching="^PATCH ")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(folder.upload, paths)
            while len(network.hits) < expected:  # noqa: ASYNC110 (the network tells no event)
                await trio.sleep(0.01)
            await wait_all_tasks_blocked(0.1)
            assert len(network.hits) == expected
            nursery.cancel_scope.cancel()
