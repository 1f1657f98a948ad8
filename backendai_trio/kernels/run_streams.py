"""Which way a run travels: over a resumable stream, a manager's WebSocket, or polls."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

from ..errors import WebSocketsBlocked
from ..transport.client import Client
from ..wire.execution import ExecuteRequest
from ..wire.resumable import RESUMABLE_STREAMS
from .held_batch import HeldBatch, hold_batch
from .manager_run import open_manager_run
from .poll_run import open_poll_run
from .resumable_run import open_resumable_run
from .run_stream import RunStream

__all__ = ["loses_batch_ends", "open_run_stream"]


class _Blocked:
    """Whether a client has found out that no WebSocket gets through to its server."""

    def __init__(self) -> None:
        self.found = False


@asynccontextmanager
async def open_run_stream(
    client: Client, address: str, first: ExecuteRequest, *, live: bool
) -> AsyncIterator[RunStream]:
    """Connect a new run to its kernel, the best way that the server and the way to it have.

    Args:
        client: of the kernel's server.
        address: the kernel's token or id.
        first: the run's first request.
        live: whether input and output flow as they come, over a connection of the run's own where
            the server has that. Polls share the client's connections, which takes half the time for
            a short run; and only what is polled can go on after the block, by a later request.

    Raises:
        ApiError: the server refused the run.
        ConnectionFailed: it could not be reached.
    """
    blocked = client.extension(_Blocked)
    can_poll = "tty" not in (first.options or {})
    async with AsyncExitStack() as stack:
        try:
            stream = await stack.enter_async_context(
                _open(client, address, first, live=live and not (blocked.found and can_poll))
            )
        except WebSocketsBlocked:
            if not can_poll:
                raise
            blocked.found = True
            stream = await stack.enter_async_context(_open(client, address, first, live=False))
        yield stream


def _open(
    client: Client, address: str, first: ExecuteRequest, *, live: bool
) -> AbstractAsyncContextManager[RunStream]:
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
