"""The rows of the fault matrix, cancelled at a checkpoint instead of met by a fault."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trio

from backendai_trio import BackendError, open_client
from backendai_trio.testing import open_faulty_network

from ..checkpoints import CancelAt, cancelling
from ..faults.cells import BOUND_SECONDS, Cell, Row
from ..faults.columns import CONTROL
from .census import Place, settled
from .tls import secured

__all__ = ["Tally", "cancel_row"]

CONCURRENT = 8
LEFT_SECONDS = 5.0


@dataclass
class Tally:
    """What came of a row."""

    rounds: int = 0
    cancelled: int = 0
    """How many of them did not complete before their cancel."""


class CancelledCell(Cell):
    """A cell whose call is cancelled after some steps of it; with 0, only its steps count."""

    instrument: CancelAt
    number: int
    steps = 0

    @asynccontextmanager
    async def armed(self, *also: type[BaseException]) -> AsyncIterator[None]:
        """The call, which is cancelled."""
        try:
            with self.instrument.block(self.number) as steps:
                try:
                    yield
                finally:
                    self.steps = steps.count
            self.ended = steps.scope.cancelled_caught
        except (BackendError, *also) as exc:
            self.error = exc


async def cancel_row(
    row: Row, folder: Path, temporary: Path, pick: random.Random, rounds: int, *, tls: bool
) -> Tally:
    """Run a row once, to count its steps, and then cancel it so often, each time at another one.

    Args:
        row: the row.
        folder: an empty folder.
        temporary: where the gateways of the row have their kernels.
        pick: source of the steps at which it is cancelled.
        rounds: how often.
        tls: have the requests that are cancelled go over TLS.

    Raises:
        AssertionError: a cancelled call left the wrong state, or something is left.
    """
    tally = Tally()
    empty = Place((temporary,)).census()
    with cancelling() as instrument:
        async with AsyncExitStack() as stack:
            world = await stack.enter_async_context(row.world(_made(folder / "world")))
            network = await stack.enter_async_context(open_faulty_network(world.config))
            config = network.config
            if tls:
                config = await stack.enter_async_context(secured(config, folder))

            async def run(number: int, name: str) -> CancelledCell:
                async with AsyncExitStack() as stack:
                    clients = (
                        await stack.enter_async_context(open_client(config)),
                        await stack.enter_async_context(open_client(world.config)),
                    )
                    own = _made(folder / name)
                    cell = CancelledCell(world, row, CONTROL, 0, network, clients, own, name)
                    cell.instrument, cell.number = instrument, number
                    if row.kernel:
                        await stack.enter_async_context(cell.with_kernel())
                    await row.scenario(cell)
                return cell

            async def attempt(number: int, name: str) -> None:
                async with limiter:
                    try:
                        with trio.fail_after(BOUND_SECONDS):
                            cell = await run(number, name)
                            assert cell.error is None, repr(cell.error)
                    except Exception as exc:
                        exc.add_note(f"cancelled at step {number} of {control.steps}")
                        raise
                    tally.rounds += 1
                    tally.cancelled += cell.ended

            control = await run(0, "control")
            place = Place((temporary,), tokens=world.tokens)
            before = place.census()
            limiter = trio.CapacityLimiter(1 if row.alone else CONCURRENT)
            async with trio.open_nursery() as nursery:
                for index in range(rounds):
                    number = pick.randint(1, max(1, control.steps))
                    nursery.start_soon(attempt, number, f"round{index}")
            left = await settled(place, before)
            assert not left, f"left by the calls: {'; '.join(left)}"
    left = await settled(Place((temporary,)), empty)
    assert not left, f"left by the server: {'; '.join(left)}"
    return tally


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
