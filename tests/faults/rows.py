"""The rows of the fault matrix, and how one is run."""

from __future__ import annotations

import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TypeVar

import trio

from backendai_trio import Client, GatewayOptions, KernelLeftBehindWarning, open_gateway

from .cells import Cell, Result, Row, World, run_cell
from .columns import COLUMNS, CONTROL, Column

__all__ = ["ROWS", "answer_row", "gateway_world", "row", "run_rows"]

CONCURRENT_CELLS = 12
MANY = GatewayOptions(max_sessions=1000, max_vfolders=1000)
ROWS: dict[str, Row] = {}
_Scenario = Callable[[Cell], Awaitable[None]]
Opener = Callable[[Path], AbstractAsyncContextManager[World]]
_S = TypeVar("_S", bound=_Scenario)


def gateway_world(options: GatewayOptions | None = None) -> Opener:
    """A gateway with these options."""

    @asynccontextmanager
    async def opened(folder: Path) -> AsyncIterator[World]:
        async with open_gateway(options or MANY) as gateway:
            yield World(gateway.config, gateway.tokens, {"gateway": gateway})

    return opened


def row(
    name: str,
    *also: str,
    world: Opener = gateway_world(),  # noqa: B008
    kernel: bool = False,
    alone: bool = False,
    unlimited: str = "",
) -> Callable[[_S], _S]:
    """Enter a scenario as a row of the matrix.

    Args:
        name: the call that it is the scenario of, such as ``TrioKernel.rename``.
        also: further calls that it makes while the fault is on.
        world: opens the server.
        kernel, alone, unlimited: as for `Row`.
    """

    def enter(scenario: _S) -> _S:
        assert name not in ROWS
        ROWS[name] = Row(name, scenario, world, kernel, alone, also, unlimited)
        return scenario

    return enter


def answer_row(name: str, call: Callable[[Client], Awaitable[object]]) -> None:
    """Enter the row of a call that asks, whose answer is the same over the direct way.

    Args:
        name: the call's name.
        call: the call, which takes nothing but a client.
    """

    @row(name)
    async def ask(cell: Cell) -> None:
        expected = await call(cell.direct)
        async with cell.armed():
            found = await call(cell.client)
        if cell.succeeded:
            assert found == expected


async def run_rows(
    wanted: Sequence[Row], folder: Path, columns: Sequence[Column] = COLUMNS
) -> list[Result]:
    """Run the cells of some rows, the rows all at once.

    Args:
        wanted: the rows.
        folder: an empty folder.
        columns: the faults.
    """
    results: list[list[Result]] = [[] for _ in wanted]

    async def run(number: int, entry: Row) -> None:
        own = folder / str(number)
        own.mkdir()
        results[number] = await _run_row(entry, own, columns, warned)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", KernelLeftBehindWarning)
        warnings.filterwarnings("always", "run .* may still go on", RuntimeWarning)

        def warned(token: str) -> bool:
            return any(f"kernel {token} " in str(entry.message) for entry in caught)

        async with trio.open_nursery() as nursery:
            for number, entry in enumerate(wanted):
                nursery.start_soon(run, number, entry)
    return [result for group in results for result in group]


async def _run_row(
    wanted: Row, folder: Path, columns: Sequence[Column], warned: Callable[[str], bool]
) -> list[Result]:
    """Run a row's cells.

    The call runs without a fault at first, which tells how many requests it makes. Each of the
    first two, and the last one, then meets each fault.
    """
    results: list[Result] = []
    limiter = trio.CapacityLimiter(1 if wanted.alone else CONCURRENT_CELLS)
    numbers = iter(range(1, 10_000))

    async def run(world: World, column: Column, skip: int) -> None:
        async with limiter:
            number = next(numbers)
            own = folder / str(number)
            own.mkdir()
            results.append(await run_cell(wanted, world, column, skip, own, number, warned))

    async with wanted.world(folder) as world:
        await run(world, CONTROL, 0)
        if results[0].fault_of_client:
            return results  # it says nothing of the faults then
        count = results[0].requests
        async with trio.open_nursery() as nursery:
            for column in columns:
                once = column.fault is not None and not column.every
                skips = sorted({0, min(1, count - 1), count - 1}) if once and count else [0]
                for skip in skips:
                    nursery.start_soon(run, world, column, skip)
        if left := await left_kernels(world, warned):
            results.append(
                Result(wanted.name, (), CONTROL.name, 0, "ok", f"kernels are left: {left}")
            )
    return results


async def left_kernels(world: World, warned: Callable[[str], bool]) -> list[str]:
    """Kernels that do not end within some seconds, and that no warning told of.

    Args:
        world: the server.
        warned: whether there was a warning, by token.
    """
    left: list[str] = []
    for _ in range(60):
        left = [token for token in world.tokens() if not warned(token)]
        if not left:
            break
        await trio.sleep(0.05)
    return left
