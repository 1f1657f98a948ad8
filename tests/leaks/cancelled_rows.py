"""The rows of the fault matrix, cancelled at a checkpoint instead of met by a fault."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import trio

from backendai_trio import BackendError, Client, Config, open_client, open_gateway
from backendai_trio.testing import FaultyNetwork, open_faulty_network

from ..checkpoints import CancelAt, cancelling
from ..faults.cells import BOUND_SECONDS, Cell, Row, World
from ..faults.columns import CONTROL
from ..faults.rows import MANY
from ..faults.test_matrix import ROWS
from .census import Place, settled
from .tls import certificate_files, secured

__all__ = ["Tally", "cancel_row"]

CONCURRENT = 8
GATEWAY_WORLD = ROWS["open_client"].world


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
                except trio.Cancelled as exc:
                    exc.add_note(f"after {steps.count} steps of the call")
                    raise
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
            opening = _opened(row, _made(folder / "world"), tls=tls)
            world, config, network = await stack.enter_async_context(opening)

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
            assert control.succeeded, repr(control.error)
            place = Place((temporary,), tokens=world.tokens)
            before = place.census()
            # A client that the world keeps, and its connections, serve one call at a time.
            shared = any(isinstance(thing, Client) for thing in world.more.values())
            limiter = trio.CapacityLimiter(1 if row.alone or shared else CONCURRENT)
            async with trio.open_nursery() as nursery:
                for index in range(rounds):
                    number = pick.randint(1, max(1, control.steps))
                    nursery.start_soon(attempt, number, f"round{index}")
            left = await settled(place, before)
            assert not left, f"left by the calls: {'; '.join(left)}"
    left = await settled(Place((temporary,)), empty)
    assert not left, f"left by the server: {'; '.join(left)}"
    return tally


@asynccontextmanager
async def _opened(
    row: Row, folder: Path, *, tls: bool
) -> AsyncIterator[tuple[World, Config, FaultyNetwork]]:
    """The world of a row, the settings for what is cancelled, and a network.

    The gateway speaks TLS by itself. Other worlds are behind something that does.
    """
    async with AsyncExitStack() as stack:
        if tls and row.world is GATEWAY_WORLD:
            ca, *certificate = certificate_files(folder)
            options = replace(MANY, certificate=(certificate[0], certificate[1]))
            gateway = await stack.enter_async_context(open_gateway(options))
            config = replace(gateway.config, ca_file=str(ca))
            world = World(config, gateway.tokens, {"gateway": gateway})
            # Nothing goes through the network, which could not look into TLS.
            listening = replace(config, endpoint=config.endpoint._replace(scheme="http"))
            network = await stack.enter_async_context(open_faulty_network(listening))
        else:
            world = await stack.enter_async_context(row.world(folder))
            network = await stack.enter_async_context(open_faulty_network(world.config))
            config = network.config
            if tls:
                config = await stack.enter_async_context(secured(config, folder))
        yield world, config, network


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
