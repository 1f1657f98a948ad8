"""Gateways that behave as managers of a release, for what keeps something for a key pair."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from backendai_trio import Client, GatewayOptions, open_client, open_gateway

__all__ = ["EARLY", "client_of"]

#: Releases that keep neither dotfiles nor SSH keys.
EARLY = ("1.1", "1.3", "18.12")


@asynccontextmanager
async def client_of(release: str = "", data: Path | None = None) -> AsyncIterator[Client]:
    """A client of such a gateway.

    Args:
        release: see `GatewayOptions.release`.
        data: see `GatewayOptions.data`.
    """
    options = GatewayOptions(release=release, data=data)
    async with open_gateway(options) as gateway, open_client(gateway.config) as client:
        yield client
