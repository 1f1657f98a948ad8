"""Where a command goes: the configured server, or a gateway inside this process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from backendai_trio import Client, open_client, read_config

from .console import Status

__all__ = ["open_target"]


@asynccontextmanager
async def open_target(
    status: Status, *, local: bool = False, lasting: bool = False
) -> AsyncIterator[Client]:
    """A client of the configured server; with none configured, or `local`, of a gateway here.

    Args:
        status: where to say which it is.
        local: use a gateway here, whatever is configured.
        lasting: whether a gateway here shall have what is kept from one command to the next:
            virtual folders, the same as those of `backend.ai serve`.
    """
    config = None if local else read_config()
    if config is not None:
        async with open_client(config) as client:
            yield client
        return
    # Imported here: it brings an HTTP server (40 ms), which is of no use when there is one.
    from backendai_trio import GatewayOptions, data_folder, open_gateway

    if not local:
        status.info("No server is configured (BACKEND_ENDPOINT): running on this machine.")
    options = GatewayOptions(data=data_folder() if lasting else None)
    async with open_gateway(options) as gateway, open_client(gateway.config) as client:
        yield client
