"""Where a command goes: the configured server, or a gateway inside this process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from backendai_trio import Client, open_default_client, read_config

from .console import Status

__all__ = ["open_target"]


@asynccontextmanager
async def open_target(status: Status, *, local: bool = False) -> AsyncIterator[Client]:
    """A client of the configured server; with none configured, or `local`, of a gateway here."""
    config = None if local else read_config()
    if config is None and not local:
        status.info("No server is configured (BACKEND_ENDPOINT): running on this machine.")
    async with open_default_client(config) as client:
        yield client
