"""Which way a run travels: over a resumable stream, a manager's WebSocket, or polls."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

from ..errors import WebSocketsBlocked
from ..transport.client import Client
from ..transport.responses import log
from ..wire.execution import ExecuteRequest
from ..wire.resumable import RESUMABLE_STREAMS
from .held_batch import HeldBatch, hold_batch
from .manager_run import open_manager_run
from .poll_run import open_poll_run
from .resumable_run import open_resumable_run
from .run_stream import RunStream

__all__ = ["loses_batch_ends", "open_run_stream"]


class _Blocked:
    """The addresses of a client's server that no WebSocket has reached."""

    def __init__(self) -> None:
        self._urls: set[str] = set()

    def __contains__(self, url: str) -> bool:
        return url in self._urls

    def note(self, refusal: WebSocketsBlocked) -> None:
        """Remember an address, and log that the first time.

        Args:
            refusal: how the upgrade was answered there.
        """
        if refusal.url not in self._urls:
            self._urls.add(refusal.url)
            log.warning("from now on runs are polled, which is slower: %s", refusal.reason)


def open_run_stream(
    client: Client, address: str, first: ExecuteRequest, *, live: bool
) -> AbstractAsyncContextManager[RunStream]:
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
        WebSocketsBlocked: no WebSocket gets through, and a run with a terminal cannot be polled.
    """
    if live:
        return _open_live(client, address, first)
    return _open(client, address, first, live=False)


@asynccontextmanager
async def _open_live(
    client: Client, address: str, first: ExecuteRequest
) -> AsyncIterator[RunStream]:
    """A run over a WebSocket, where one gets through."""
    blocked = client.extension(_Blocked)
    is_blocked = client.config.api.url in blocked
    can_poll = "tty" not in (first.options or {})
    async with AsyncExitStack() as stack:
        try:
            stream = await stack.enter_async_context(
                _open(client, address, first, live=not (is_blocked and can_poll))
            )
        except WebSocketsBlocked as exc:
            if not can_poll:
                raise
            blocked.note(exc)
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
