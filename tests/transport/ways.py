"""Several ways to one server, which can go down."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
import trio.testing

from ..proxies import Proxy

__all__ = ["go_down", "two_ways"]


@asynccontextmanager
async def two_ways(port: int) -> AsyncIterator[list[Proxy]]:
    """Two ways to a server on this port."""
    async with trio.open_nursery() as nursery:
        proxies = [Proxy(nursery, port, random.Random(0)) for _ in range(2)]
        for proxy in proxies:
            await proxy.listen()
        yield proxies
        nursery.cancel_scope.cancel()


async def go_down(way: Proxy) -> None:
    """Go down, and wait until that shows on all connections."""
    way.go_down()
    await trio.testing.wait_all_tasks_blocked(0.01)
