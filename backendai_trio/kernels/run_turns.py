"""One run at a time: managers' kernels get stuck when a run comes while another goes on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from ..transport.client import Client
from ..wire.resumable import RESUMABLE_STREAMS

__all__ = ["Turn", "open_turn"]


class Turn:
    """The right to run code in a kernel. Made by `open_turn`."""

    def __init__(self, turns: dict[str, trio.Semaphore], address: str) -> None:
        self._turns = turns
        self._address = address
        self._held: trio.Semaphore | None = None

    async def wait(self) -> None:
        """Wait until the run before has ended."""
        turn = self._turns.setdefault(self._address, trio.Semaphore(1, max_value=1))
        await turn.acquire()
        self._held = turn

    def end(self) -> None:
        """Let the next run come; may be repeated."""
        if self._held is None:
            return
        self._held.release()
        idle = self._held.value == 1
        self._held = None
        if idle:
            del self._turns[self._address]


@asynccontextmanager
async def open_turn(client: Client, address: str) -> AsyncIterator[Turn]:
    """Wait until no other run of this client goes on in a kernel of a manager.

    A manager queues a second run, and when its turn comes the agent may have mixed up the two: both
    wait for good (docs/protocol.md, section 4.3). Our own gateway has a queue that works.

    Args:
        client: of the kernel's server.
        address: the kernel's token or id.
    """
    turn = Turn(client.turns, address)
    if not client.has(RESUMABLE_STREAMS):
        await turn.wait()
    try:
        yield turn
    finally:
        turn.end()
