"""A vanilla WebSocket client: none of our code."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import trio
import trio_websocket

from backendai_trio.kernels import one_error


@asynccontextmanager
async def open_vanilla_websocket(
    port: int, path: str, *, host: str = "localhost", **options: Any
) -> AsyncIterator[trio_websocket.WebSocketConnection]:
    """Connect to a loopback port; `host` is what the Host header says."""
    # With a stream of ours: the library leaves its own open when the server closes first.
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        with one_error():
            async with trio.open_nursery() as nursery:
                yield await trio_websocket.wrap_client_stream(
                    nursery, stream, f"{host}:{port}", path, **options
                )
                nursery.cancel_scope.cancel()
