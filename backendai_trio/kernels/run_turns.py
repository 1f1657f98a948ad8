"""One run at a time: managers' kernels get stuck when a run comes while another goes on."""

from __future__ import annotations

import secrets
import warnings
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

import trio

from .._groups import one_error
from ..errors import BackendError, ExecutionError, NotFound
from ..transport.client import Client
from ..wire.execution import ExecuteRequest
from ..wire.resumable import RESUMABLE_STREAMS
from .kernel_records import KernelRecord, record_of
from .poll_run import open_poll_run
from .run_stream import RunStream
from .shields import finish_within

__all__ = ["open_turn", "wait_until_ready"]


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
        self._held: KernelRecord | None = None

    async def __aenter__(self) -> Self:
        if not self._client.has(RESUMABLE_STREAMS):
            record = record_of(self._client, self._address)
            try:
                await self._wait(record)
                await _wait_until_ready(self._client, self._address, record)
                await _end_waiting_run(self._client, self._address, record, self._run_id)
            except BaseException:  # cancelled, too: no block will end it
                self.end()
                raise
        return self

    async def __aexit__(
        self, kind: object, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.end()

    async def _wait(self, record: KernelRecord) -> None:
        try:
            record.turn.acquire_nowait()
            self._held = record
            return
        except trio.WouldBlock:
            pass
        with one_error():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_read_ahead, record)
                await record.turn.acquire()
                self._held = record
                nursery.cancel_scope.cancel()

    def taken(self, read_ahead: Callable[[], Awaitable[None]]) -> None:
        """Say how those that wait may read the run that has the turn.

        Args:
            read_ahead: reads it to its end, and keeps its events for its own reader.
        """
        if self._held is not None:
            self._held.set_read_ahead(read_ahead)

    def leave_waiting(self, run_id: str) -> None:
        """Remember that the run waits for an answer, which a later request may bring.

        Args:
            run_id: the run's id.
        """
        if self._held is not None:
            self._held.waiting_run = run_id

    def end(self) -> None:
        """Let the next run come; may be repeated."""
        if self._held is not None:
            self._held.set_read_ahead(None)
            self._held.turn.release()
            self._held = None


async def _read_ahead(record: KernelRecord) -> None:
    """Read each run that gets the turn, until cancelled."""
    while True:
        if (read_ahead := record.read_ahead) is not None:
            await read_ahead()
        if record.read_ahead is read_ahead:
            await record.changed.park()


async def wait_until_ready(client: Client, address: str) -> None:
    """Wait until a kernel has come up that its server may have called created before.

    Args:
        client: of the kernel's server.
        address: the kernel's token or id.

    Raises:
        ApiError, ConnectionFailed: the server refused or failed.
    """
    if client.era.interrupts_need_code and not record_of(client, address).is_ready:
        async with open_turn(client, address, None):
            pass
    else:
        await trio.lowlevel.checkpoint()


async def _wait_until_ready(client: Client, address: str, record: KernelRecord) -> None:
    """Wait until the kernel runs code, where its create does not and an early interrupt would end
    its interpreter (docs/protocol.md, section 4.6): run nothing to the end.

    Begins anew when the kernel is restarted meanwhile.

    Cancellation: the next call goes on with the same run, since one that nobody reads would block
    the kernel.
    """
    while client.era.interrupts_need_code and not record.is_ready:
        if (run := record.starting) is None:
            nothing = ExecuteRequest("query", secrets.token_hex(8), "")
            run = record.starting = open_poll_run(client, address, nothing)
        try:
            await _read_start(run, address, 2 * client.config.grace_seconds)
        except BackendError:
            if record.starting is run:
                record.starting = None
                raise
        else:
            if record.starting is run:
                record.starting = None
                record.is_ready = True
        finally:
            if record.starting is not run:
                run.close()


async def _read_start(run: RunStream, address: str, patience: float) -> None:
    """Read the run that shows that a kernel has come up. A wait of more than `patience` seconds is
    told, as a `RuntimeWarning`."""
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


async def _read_to_end(run: RunStream) -> None:
    while run.outcome is None:
        await run.receive()


async def _end_waiting_run(
    client: Client, address: str, record: KernelRecord, run_id: str | None
) -> None:
    """Interrupt the run that waits for an answer, give it an empty one, and read to its end."""
    waiting, record.waiting_run = record.waiting_run, None
    if waiting is None or waiting == run_id:
        return
    grace = client.config.grace_seconds
    left = f"it did not end within {grace:g} s"
    with finish_within(grace):
        try:
            async with open_poll_run(client, address, ExecuteRequest("input", waiting)) as run:
                await run.stop()
            return
        except NotFound:
            return  # its kernel has gone, as the next request will say
        except BackendError as exc:
            left = str(exc)
    record.waiting_run = waiting
    raise ExecutionError(
        f"run {waiting} in kernel {address} waits for an answer, and could not be ended to run "
        f"other code: {left}; restart or destroy the kernel"
    )
