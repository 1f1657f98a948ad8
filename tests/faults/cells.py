"""A cell of the fault matrix: one call that meets one fault."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

import trio

from backendai_trio import (
    BackendError,
    Client,
    Config,
    ConnectionFailed,
    KernelSpec,
    NotFound,
    TrioKernel,
    find_kernel,
    open_client,
    open_kernel,
)
from backendai_trio.testing import FaultyNetwork, open_faulty_network
from backendai_trio.transport.limits import Limits, StreamLimits

from .columns import Column

__all__ = ["PYTHON", "Cell", "Result", "Row", "World", "run_cell"]

PYTHON = KernelSpec(runtime="python")
T = TypeVar("T")
#: The client's own limits end what stalls, within seconds.
LIMITS = Limits(
    retry_seconds=3.0,
    rate_limited_seconds=1.0,
    poll_seconds=3.5,
    streams=StreamLimits(
        check_seconds=0.2,
        silence_seconds=0.6,
        pong_seconds=0.6,
        answer_seconds=1.5,
        outage_seconds=3.0,
    ),
)
ANSWER_SECONDS, GRACE_SECONDS = 2.0, 3.0
#: A caller's own deadline, for calls that have no limit by their documentation.
DEADLINE_SECONDS = 4.0
#: Each call ends by itself long before. The test ends it then, and that is a hang.
BOUND_SECONDS = 45.0


@dataclass(frozen=True)
class World:
    """A server that the calls of a row go to."""

    config: Config
    tokens: Callable[[], list[str]] = list
    """The kernels that run there."""
    more: dict[str, object] = field(default_factory=dict)
    """What else a row wants to know of it."""


@dataclass(frozen=True)
class Row:
    """One call of the public API."""

    name: str
    scenario: Callable[[Cell], Awaitable[None]]
    world: Callable[[Path], AbstractAsyncContextManager[World]]
    kernel: bool = False
    """Whether a cell gets a kernel of its own."""
    alone: bool = False
    """Whether its cells must run one after the other, since they share what the server keeps."""
    also: tuple[str, ...] = ()
    """Further calls that the scenario makes while the fault is on."""
    unlimited: str = ""
    """Why the call may wait for as long as its caller does; empty if it may not."""


@dataclass(frozen=True)
class Result:
    """What came of a cell."""

    row: str
    also: tuple[str, ...]
    column: str
    skipped: int
    """How many requests of the call passed before the fault."""
    outcome: str
    """``ok``; the name of the error; ``deadline`` for the caller's own."""
    fault_of_client: str = ""
    """What is wrong with that; empty if nothing is."""
    seconds: float = 0.0
    requests: int = 0
    hit: bool = False
    warned: bool = False
    """Whether a warning told of a kernel that may be left."""


class Cell:
    """What a scenario works with.

    Attributes:
        client: its requests meet the fault.
        direct: its requests do not.
        folder: a new folder of its own.
        name: unique within the row; for files, folders and so on.
        error: how the call failed; None if it has succeeded.
        ended: whether the caller's deadline ended the call.
    """

    def __init__(
        self,
        world: World,
        row: Row,
        column: Column,
        skip: int,
        network: FaultyNetwork,
        clients: tuple[Client, Client],
        folder: Path,
        name: str,
    ) -> None:
        self.world = world
        self.client, self.direct = clients
        self.folder = folder
        self.name = name
        self.network = network
        self.error: BaseException | None = None
        self.ended = False
        self.started = 0.0
        self.seconds = 0.0
        self.requests = 0
        self._row, self._column, self._skip = row, column, skip
        self._kernels: tuple[TrioKernel, TrioKernel] | None = None

    @property
    def succeeded(self) -> bool:
        return self.error is None and not self.ended

    @property
    def kernel(self) -> TrioKernel:
        """The cell's kernel; its requests meet the fault."""
        assert self._kernels is not None
        return self._kernels[0]

    @property
    def direct_kernel(self) -> TrioKernel:
        """The same; its requests do not meet the fault."""
        assert self._kernels is not None
        return self._kernels[1]

    def token(self, name: str = "made") -> str:
        """A token that tells whose kernel it is."""
        return f"{self.name}-{name}"

    @asynccontextmanager
    async def with_kernel(self) -> AsyncIterator[None]:
        async with open_kernel(self.direct, PYTHON, token=self.token("own")) as direct:
            kernel = await _patiently(partial(find_kernel, self.client, direct.token))
            self._kernels = kernel, direct
            yield

    @asynccontextmanager
    async def armed(self, *also: type[BaseException]) -> AsyncIterator[None]:
        """The call, which meets the fault; an error of the library's is kept, not raised.

        Args:
            also: further errors that the call raises by its documentation.
        """
        before = len(self.network.requests)
        column = self._column
        if column.fault is not None:
            times = None if column.every else 1
            self.network.inject(column.fault, times=times, skip=self._skip)
        if column.skewed:
            self.client.clock = lambda: datetime.now(UTC) + timedelta(hours=1)
        self.started = trio.current_time()
        try:
            limited = self._row.unlimited and not column.harmless
            with trio.move_on_after(  # noqa: ASYNC100 (the block's body is the caller's)
                DEADLINE_SECONDS if limited else math.inf
            ) as deadline:
                yield
            self.ended = deadline.cancelled_caught
        except (BackendError, *also) as exc:
            self.error = exc
        finally:
            self.seconds = trio.current_time() - self.started
            self.requests = len(self.network.requests) - before
            self.network.clear()

    async def printed(self, code: str) -> str:
        """What code prints in the cell's kernel."""
        result = await self.direct_kernel.run(code)
        assert result["exitCode"] == 0, result
        return "".join(str(text) for _, text in result["console"])

    async def destroy(self, token: str) -> bool:
        """Destroy a kernel; returns whether there was one."""
        try:
            kernel = await find_kernel(self.direct, token)
        except NotFound:
            return False
        await kernel.destroy()
        return True


async def _patiently(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask again where a busy machine makes a client's tight limit pass before there is a fault."""
    while True:
        try:
            return await ask()
        except ConnectionFailed:
            await trio.sleep(0.1)


@asynccontextmanager
async def _opened(config: Config, limits: Limits) -> AsyncIterator[Client]:
    async with AsyncExitStack() as stack:
        opening = partial(open_client, config, limits=limits)
        yield await _patiently(lambda: stack.enter_async_context(opening()))


def _named(exc: BaseException) -> str:
    return type(exc).__name__


async def run_cell(
    row: Row,
    world: World,
    column: Column,
    skip: int,
    folder: Path,
    number: int,
    warned: Callable[[str], bool],
) -> Result:
    """Run a scenario once.

    Args:
        row: whose scenario it is.
        world: the server.
        column: the fault.
        skip: how many requests of the call pass before it.
        folder: an empty folder.
        number: unique within the row.
        warned: whether there was a warning of a kernel that may be left, by its token.
    """
    name = f"cell{number}"
    cell: Cell | None = None
    wrong = ""
    with trio.move_on_after(BOUND_SECONDS) as hanging:
        try:
            async with AsyncExitStack() as stack:
                network = await stack.enter_async_context(open_faulty_network(world.config))
                config, limits = network.config, Limits()
                if not column.harmless:
                    limits = LIMITS
                    config = replace(
                        config,
                        answer_seconds=ANSWER_SECONDS,
                        connect_seconds=ANSWER_SECONDS,
                        grace_seconds=GRACE_SECONDS,
                    )
                clients = (
                    await stack.enter_async_context(_opened(config, limits)),
                    await stack.enter_async_context(_opened(world.config, Limits())),
                )
                cell = Cell(world, row, column, skip, network, clients, folder, name)
                if row.kernel:
                    await stack.enter_async_context(cell.with_kernel())
                await row.scenario(cell)
        except AssertionError as exc:
            text = str(exc).replace("\n", " ")[:300]
            frame = exc.__traceback__
            while frame is not None and frame.tb_next is not None:
                frame = frame.tb_next
            assert frame is not None
            where = f"{Path(frame.tb_frame.f_code.co_filename).name}:{frame.tb_lineno}"
            wrong = f"wrong {'result' if cell and cell.succeeded else 'state'}: {where} {text}"
        except Exception as exc:
            wrong = f"untyped error: {exc!r}"[:300]
    if hanging.cancelled_caught:
        wrong = "hangs"
    assert cell is not None, wrong
    left = await _left(cell, world)
    was_warned = any(warned(token) for token in left)
    if left and not was_warned and not wrong:
        wrong = f"kernels are left: {left}"
    if cell.error is not None and not str(cell.error) and isinstance(cell.error, BackendError):
        wrong = wrong or "an error without a text"
    outcome = _named(cell.error) if cell.error else "deadline" if cell.ended else "ok"
    if column.harmless and outcome != "ok" and not wrong:
        wrong = f"fails where nothing is lost: {cell.error or outcome}"[:300]
    return Result(
        row.name,
        row.also,
        column.name,
        skip,
        outcome,
        wrong,
        round(cell.seconds, 2),
        cell.requests,
        bool(cell.network.hits) or column.skewed,
        was_warned,
    )


async def _left(cell: Cell, world: World) -> list[str]:
    """The cell's kernels that do not end within some seconds."""
    left: list[str] = []
    for _ in range(60):
        left = [token for token in world.tokens() if token.startswith(f"{cell.name}-")]
        if not left:
            return []
        await trio.sleep(0.05)
    return left
