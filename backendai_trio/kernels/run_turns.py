"""One run at a time: managers' kernels get stuck when a run comes while another goes on."""

from __future__ import annotations

import secrets
import warnings
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import trio

from .._groups import one_error
from ..errors import BackendError, ExecutionError, NotFound
from ..transport.client import Client
from ..wire.execution import ExecuteRequest
from ..wire.resumable import RESUMABLE_STREAMS
from .poll_run import open_poll_run
from .run_stream import RunStream

__all__ = ["forget_waiting_run", "open_turn", "wait_until_ready"]


@dataclass(slots=True)
class RunTurn:
    """The turn of a kernel: who waits for it, and who has it."""

    semaphore: trio.Semaphore = field(default_factory=lambda: trio.Semaphore(1, max_value=1))
    read_ahead: Callable[[], Awaitable[None]] | None = None
    """Reads the run that has the turn to its end, and keeps its events for its own reader."""


class open_turn:
    """The right to run code in a kernel, for a block: one run of this client at a time.

    A manager queues a second run, and when its turn comes the agent may have mixed up the two: both
    wait for good (docs/protocol.md, section 4.3). Our own gateway has a queue that works. So has
    this: a run that waits for an answer while nobody reads (`leave_waiting`) is ended, as the
    gateway ends an abandoned one, unless it is the one that goes on now. And a run that nobody
    reads is read by the one that waits for it, since it may be the reader itself that waits, in an
    upload.

    A class, where a generator would be shorter: each run goes through it.

    Args:
        client: of the kernel's server.
        address: the kernel's token or id.
        run_id: the id of the run that begins or goes on.

    Raises:
        ExecutionError: on entry, a run that waits for an answer could not be ended.
        BackendError: on entry, the run that has the turn has failed, and nobody reads it.
    """

    def __init__(self, client: Client, address: str, run_id: str | None) -> None:
        self._client = client
        self._address = address
        self._run_id = run_id
        self._held: RunTurn | None = None

    async def __aenter__(self) -> Self:
        if not self._client.has(RESUMABLE_STREAMS):
            try:
                await self._wait()
                await _wait_until_ready(self._client, self._address)
                await _end_waiting_run(self._client, self._address, self._run_id)
            except BaseException:  # cancelled, too: no block will end it
                self.end()
                raise
        return self

    async def __aexit__(
        self, kind: object, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.end()

    async def _wait(self) -> None:
        turn = self._client.turns.get(self._address)
        if turn is None:
            turn = self._client.turns[self._address] = RunTurn()
        try:
            turn.semaphore.acquire_nowait()
            self._held = turn
            return
        except trio.WouldBlock:
            pass
        with one_error():
            async with trio.open_nursery() as nursery:
                if turn.read_ahead is not None:
                    nursery.start_soon(turn.read_ahead)
                await turn.semaphore.acquire()
                self._held = turn
                nursery.cancel_scope.cancel()

    def taken(self, read_ahead: Callable[[], Awaitable[None]]) -> None:
        """Say how those that wait may read the run that has the turn.

        Args:
            read_ahead: reads it to its end, and keeps its events for its own reader.
        """
        if self._held is not None:
            self._held.read_ahead = read_ahead

    def leave_waiting(self, run_id: str) -> None:
        """Remember that the run waits for an answer, which a later request may bring.

        Args:
            run_id: the run's id.
        """
        if self._held is not None:
            self._client.waiting_runs[self._address] = run_id

    def end(self) -> None:
        """Let the next run come; may be repeated."""
        if self._held is None:
            return
        self._held.read_ahead = None
        self._held.semaphore.release()
        idle = self._held.semaphore.value == 1
        self._held = None
        if idle:
            del self._client.turns[self._address]


def forget_waiting_run(client: Client, address: str) -> None:
    """The kernel was restarted or destroyed: no run waits in it, and it has to come up again.

    Args:
        client: of the kernel's server.
        address: the kernel's token or id.
    """
    client.waiting_runs.pop(address, None)
    client.ready_kernels.discard(address)
    if (run := client.starting_kernels.pop(address, None)) is not None:
        run.close()


async def wait_until_ready(client: Client, address: str) -> None:
    """Wait until a kernel has come up that its server may have called created before.

    Args:
        client: of the kernel's server.
        address: the kernel's token or id.

    Raises:
        ApiError, ConnectionFailed: the server refused or failed.
    """
    if client.era.interrupts_need_code and address not in client.ready_kernels:
        async with open_turn(client, address, None):
            pass
    else:
        await trio.lowlevel.checkpoint()


async def _wait_until_ready(client: Client, address: str) -> None:
    """Wait until the kernel runs code, where its create does not and an early interrupt would end
    its interpreter (docs/protocol.md, section 4.6): run nothing to the end. A wait of more than
    twice the grace time is told, as a `RuntimeWarning`.

    Cancellation: the next call goes on with the same run, since one that nobody reads would block
    the kernel.
    """
    if not client.era.interrupts_need_code or address in client.ready_kernels:
        return
    if (run := client.starting_kernels.get(address)) is None:
        nothing = ExecuteRequest("query", secrets.token_hex(8), "")
        run = client.starting_kernels[address] = open_poll_run(client, address, nothing)
    patience = 2 * client.config.grace_seconds
    try:
        with trio.move_on_after(patience) as waiting:
            await _read_to_end(run)
        if waiting.cancelled_caught:
            warnings.warn(
                f"kernel {address} has not run code for {patience:g} s: other code goes on in it, "
                "or a run whose client was killed blocks it; restart or destroy it then",
                RuntimeWarning,
                stacklevel=2,
            )
            await _read_to_end(run)
    except BackendError:
        forget_waiting_run(client, address)
        raise
    del client.starting_kernels[address]
    client.ready_kernels.add(address)


async def _read_to_end(run: RunStream) -> None:
    while run.outcome is None:
        await run.receive()


async def _end_waiting_run(client: Client, address: str, run_id: str | None) -> None:
    """Interrupt the run that waits for an answer, give it an empty one, and read to its end."""
    waiting = client.waiting_runs.pop(address, None)
    if waiting is None or waiting == run_id:
        return
    grace = client.config.grace_seconds
    left = f"it did not end within {grace:g} s"
    with trio.move_on_after(grace, shield=True):
        try:
            async with open_poll_run(client, address, ExecuteRequest("input", waiting)) as run:
                await run.stop()
            return
        except NotFound:
            return  # its kernel has gone, as the next request will say
        except BackendError as exc:
            left = str(exc)
    client.waiting_runs[address] = waiting
    raise ExecutionError(
        f"run {waiting} in kernel {address} waits for an answer, and could not be ended to run "
        f"other code: {left}; restart or destroy the kernel"
    )
