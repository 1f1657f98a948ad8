"""Which way a run travels: over a resumable stream, a manager's WebSocket, or polls."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from ..transport.client import Client
from ..wire.execution import ExecuteRequest
from ..wire.resumable import RESUMABLE_STREAMS
from .held_batch import HeldBatch, hold_batch
from .manager_run import open_manager_run
from .poll_run import open_poll_run
from .resumable_run import open_resumable_run
from .run_stream import RunStream

__all__ = ["loses_batch_ends", "open_run_stream"]


def open_run_stream(
    client: Client, address: str, first: ExecuteRequest, *, live: bool
) -> AbstractAsyncContextManager[RunStream]:
    """Connect a new run to its kernel, the best way that the server has.

    Args:
        client: of the kernel's server.
        address: the kernel's token or id.
        first: the run's first request.
        live: whether input and output flow as they come, over a connection of the run's own where
            the server has that. Polls share the client's connections, which takes half the time for
            a short run; and only what is polled can go on after the block, by a later request.
    """
    if live and client.has(RESUMABLE_STREAMS):
        return open_resumable_run(client, address, first)
    if first.mode == "batch" and loses_batch_ends(client):
        return _open_held_batch(client, address, first, live=live)
    return _open_unheld(client, address, first, live=live)


def loses_batch_ends(client: Client) -> bool:
    """Whether batch runs need `hold_batch` on this server (docs/protocol.md, section 4.7).

    Args:
        client: of the server.
    """
    return client.hello.loses_batch_ends and not client.has(RESUMABLE_STREAMS)


def _open_unheld(
    client: Client, address: str, first: ExecuteRequest, *, live: bool
) -> AbstractAsyncContextManager[RunStream]:
    if live and client.era.streams_executions:
        return open_manager_run(client, address, first)
    return open_poll_run(client, address, first)


@asynccontextmanager
async def _open_held_batch(
    client: Client, address: str, first: ExecuteRequest, *, live: bool
) -> AsyncIterator[RunStream]:
    held, name = hold_batch(first)
    async with _open_unheld(client, address, held, live=live) as stream:
        yield HeldBatch(client, address, stream, name)
