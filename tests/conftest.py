"""Fixtures of all tests: a gateway on loopback and a client of it. Nothing is mocked."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator

import pytest

from backendai_trio import Client, Gateway, open_client, open_gateway


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No test sees the settings of whoever runs it."""
    for name in list(os.environ):
        if name.startswith(("BACKEND_", "SORNA_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    yield


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    """A gateway; when the test ends, no kernel of it may be left by the client's doing."""
    async with open_gateway() as opened:
        yield opened


@pytest.fixture
async def client(gateway: Gateway) -> AsyncIterator[Client]:
    """A client of the gateway."""
    async with open_client(gateway.config) as opened:
        yield opened
