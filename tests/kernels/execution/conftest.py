"""Fixtures of the tests of runs: a client that travels in a given way, and a kernel for Python."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from backendai_trio import Client, TrioKernel, open_client, open_kernel
from backendai_trio.gateway import Gateway
from backendai_trio.wire.execution import INTERRUPT_RUN, RAW_CONSOLE

from .runs import PYTHON


@pytest.fixture
def way() -> str:
    """How messages travel; tests that hold for each way are parametrised by it."""
    return "resumable"


@pytest.fixture
async def client(gateway: Gateway, way: str) -> AsyncIterator[Client]:
    """A client that makes use of no more than this way needs."""
    async with open_client(gateway.config) as opened:
        if way != "resumable":
            opened.hello = replace(opened.hello, features=frozenset({INTERRUPT_RUN, RAW_CONSOLE}))
        if way == "polls":
            opened.era = replace(opened.era, streams_executions=False)
        yield opened


@pytest.fixture
async def kernel(client: Client) -> AsyncIterator[TrioKernel]:
    """A kernel for Python."""
    async with open_kernel(client, PYTHON) as opened:
        yield opened
