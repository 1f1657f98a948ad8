"""Where work goes when nobody says where: the configured server, or a gateway of one's own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from ..config.settings import Config
from ..transport.client import Client
from ..transport.opening import open_client

__all__ = ["open_default_client"]


@asynccontextmanager
async def open_default_client(config: Config | None) -> AsyncIterator[Client]:
    """A client of a server, or of a gateway that lives as long as the block.

    Args:
        config: the server's settings, as `read_config` finds them; None for a gateway here.

    Raises:
        ConfigError: what answers there is not a Backend.AI server.
        ConnectionFailed: the server cannot be reached.
        GatewayError: a gateway cannot run on this machine.
    """
    async with AsyncExitStack() as stack:
        if config is None:
            # Imported here: it brings an HTTP server (40 ms), which is of no use when there is one.
            from ..gateway.server import open_gateway

            gateway = await stack.enter_async_context(open_gateway())
            config = gateway.config
        yield await stack.enter_async_context(open_client(config))
