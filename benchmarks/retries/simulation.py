"""One simulation, and what comes out of it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import accumulate

import trio
import trio.testing

from .clients import Behaviour, Clients, Operation
from .manager import Manager, Scenario

__all__ = ["Figures", "simulate"]

_LATE_SECONDS = 5.0
_LATE_SHARE = 0.02


@dataclass(frozen=True)
class Figures:
    """What a simulation has shown."""

    requests_per_answer: float
    overload: float
    """Of the manager's worst second: requests that came, in times of what it answers in a second.
    Seconds in which it is down do not count."""
    most: int
    """Requests that came in one second, those to a manager that is down included."""
    recovery_seconds: float
    """From the end of the restart, or of the busy time, until fewer than 1 client in 50 waits for
    longer than 5 s, for good."""
    failed: float
    """Share of what users have asked for that failed, of what may be repeated."""
    failed_unrepeatable: float
    """The same of what must not be repeated."""
    done_twice: int
    """What must not be repeated, and was carried out more than once."""
    wait_p99: float
    """Seconds for which users have waited for answers and for failures."""
    arrivals: list[int] = field(repr=False)
    """Requests in each second."""


def simulate(scenario: Scenario, behaviour: Behaviour, *, seed: int = 1) -> Figures:
    """Run all clients of a scenario on a clock that jumps ahead while nothing happens.

    Args:
        scenario: what happens to the manager.
        behaviour: of all clients.
        seed: of everything that is left to chance.
    """
    clock = trio.testing.MockClock(autojump_threshold=0)
    with _no_warnings():
        return trio.run(_simulate, scenario, behaviour, seed, clock=clock)


async def _simulate(scenario: Scenario, behaviour: Behaviour, seed: int) -> Figures:
    manager = Manager(scenario)
    clients = Clients(manager, behaviour, seed)
    async with trio.open_nursery() as nursery:
        for number in range(scenario.clients):
            nursery.start_soon(clients.run, number)
        await manager.run()
        operations = [
            Operation(o.number, o.begin, o.repeatable, o.end, o.failed) for o in clients.operations
        ]
        nursery.cancel_scope.cancel()
    return _figures(scenario, manager, clients.requests, operations)


def _figures(
    scenario: Scenario, manager: Manager, requests: int, operations: list[Operation]
) -> Figures:
    answered = sum(operation.end is not None and not operation.failed for operation in operations)
    since = scenario.restart_at or scenario.busy[0]
    waits = sorted(
        (scenario.seconds if o.end is None else o.end) - o.begin
        for o in operations
        if o.end is None or o.end >= since
    )
    seconds = range(int(scenario.seconds))
    arrivals = [manager.arrivals[second] for second in seconds]
    capacities = [min(map(scenario.capacity_at, (second, second + 0.99))) for second in seconds]
    return Figures(
        requests / answered,
        max(n / capacity for n, capacity in zip(arrivals, capacities, strict=True) if capacity),
        max(arrivals),
        _recovery(scenario, operations),
        _failed([o for o in operations if o.repeatable]),
        _failed([o for o in operations if not o.repeatable]),
        sum(times > 1 for times in manager.done.values()),
        waits[int(0.99 * len(waits))],
        arrivals,
    )


def _failed(operations: list[Operation]) -> float:
    ended = [operation for operation in operations if operation.end is not None]
    return sum(operation.failed for operation in ended) / len(ended)


def _recovery(scenario: Scenario, operations: list[Operation]) -> float:
    changes = [0] * (int(scenario.seconds) + 2)
    for operation in operations:
        end = scenario.seconds if operation.end is None else operation.end
        if end - operation.begin > _LATE_SECONDS:
            changes[int(operation.begin + _LATE_SECONDS)] += 1
            changes[int(end) + 1] -= 1
    late = [n > _LATE_SHARE * scenario.clients for n in accumulate(changes)]
    last = max((second + 1 for second, is_late in enumerate(late) if is_late), default=0)
    return max(0.0, min(last, scenario.seconds) - scenario.calm_at)


@contextmanager
def _no_warnings() -> Iterator[None]:
    """Thousands of clients would log that they wait."""
    log = logging.getLogger("backendai_trio.http")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)
