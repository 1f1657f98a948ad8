"""Opening a network with faults."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial

import trio

from .._groups import one_error
from ..config.settings import Config
from .exchange import carry
from .faulty_network import FaultyNetwork, NetworkState

__all__ = ["open_faulty_network"]


@asynccontextmanager
async def open_faulty_network(config: Config) -> AsyncIterator[FaultyNetwork]:
    """Listen on loopback for a client, and pass its requests on to a server.

    Args:
        config: settings for a client of the server, whose endpoint must be on plain ``http``.

    Raises:
        ValueError: the server speaks TLS, under which no answer can be told from another.
        OSError: there is no port to listen on.
    """
    if config.endpoint.scheme != "http":
        raise ValueError(f"{config.endpoint.url}: a faulty network can only lead to plain http")
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port: int = listeners[0].socket.getsockname()[1]
    endpoint = config.endpoint._replace(host="127.0.0.1", port=port)
    state = NetworkState(config.endpoint)
    with one_error():
        async with trio.open_nursery() as nursery:
            await nursery.start(trio.serve_listeners, partial(carry, state), listeners)
            yield FaultyNetwork(replace(config, endpoint=endpoint), state)
            nursery.cancel_scope.cancel()
