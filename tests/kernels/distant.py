"""A kernel that is reached directly, and over a way that breaks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from backendai_trio import Client, KernelSpec, TrioKernel, attach_kernel, open_kernel
from backendai_trio.gateway import Gateway

from ..proxies import Proxy, through_proxy

__all__ = ["PYTHON", "distant_kernel", "kernel"]

PYTHON = KernelSpec(runtime="python")


@pytest.fixture
async def kernel(client: Client) -> AsyncIterator[TrioKernel]:
    """A kernel for Python, reached directly."""
    async with open_kernel(client, PYTHON) as opened:
        yield opened


@asynccontextmanager
async def distant_kernel(
    gateway: Gateway, kernel: TrioKernel, seed: int = 0
) -> AsyncIterator[tuple[Proxy, TrioKernel]]:
    """A proxy before the gateway, and the kernel seen through it."""
    async with through_proxy(gateway, seed) as (proxy, client):
        yield proxy, await attach_kernel(client, PYTHON, token=kernel.token)
