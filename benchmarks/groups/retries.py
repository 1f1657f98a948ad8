"""Repeats of failed requests: what they do to a manager and to users, simulated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from backendai_trio.transport.retry import RetryPolicy

from ..retries.clients import NAIVE, OURS, Behaviour
from ..retries.manager import Scenario
from ..retries.simulation import Figures, simulate
from ..rows import Curves, Table
from ..setting import Setting

NAME = "retries"
TITLE = "Repeats of failed requests, simulated"
LOSSES = Scenario("5 % of connections break", 40.0)
RESTART = Scenario("a restart takes 20 s, and 5 % of connections break", 90.0, restart_at=20.0)
RATE_LIMIT = Scenario(
    "100 clients of a key pair ask four times as often for 5 minutes, and 5 % of connections break",
    2700.0,
    step=0.5,
    clients=300,
    capacity=30.0,
    queue=30,
    limit=4200,
    busy=(900.0, 1200.0),
    busy_think_seconds=5.0,
)
_CAPACITY = "what the manager can answer"


def measure(setting: Setting) -> Iterator[Table | Curves]:
    asking = RESTART if not setting.quick else RESTART.with_clients(500)
    found = {each.name: simulate(asking, each) for each in (OURS, *NAIVE)}
    yield _table(asking, found)
    yield _curves(asking, found)
    asking = LOSSES if not setting.quick else LOSSES.with_clients(300)
    yield _table(asking, {each.name: simulate(asking, each) for each in (OURS, *NAIVE)})
    asking = RATE_LIMIT if not setting.quick else RATE_LIMIT.with_clients(100)
    limited = {each.name: simulate(asking, each) for each in (OURS, *NAIVE)}
    polite = replace(asking, retry_after=60.0)
    limited["ours, and the manager sends Retry-After: 60"] = simulate(polite, OURS)
    yield _table(asking, limited)
    if not setting.quick:
        yield _sweep(RESTART.with_clients(1_000), _policies() | _event_policies())
        yield _sweep(RATE_LIMIT.with_clients(100), _rate_limit_policies())


def _columns(scenario: Scenario) -> Mapping[str, str]:
    columns = {
        "requests for each answer": "times",
        "worst second, of what the manager can answer": "times",
        "most requests in a second": "count",
        "failed": "%",
        "failed of what must not be repeated": "%",
        "of that, done twice": "count",
        "wait, p99": "s",
    }
    return columns | ({"recovered after": "s"} if scenario.calm_at else {})


def _line(scenario: Scenario, figures: Figures) -> list[float | None]:
    line: list[float | None] = [
        figures.requests_per_answer,
        figures.overload,
        float(figures.most),
        figures.failed,
        figures.failed_unrepeatable,
        float(figures.done_twice),
        figures.wait_p99,
    ]
    if scenario.calm_at:
        line.append(figures.recovery_seconds)
    return line


def _table(scenario: Scenario, found: Mapping[str, Figures]) -> Table:
    return Table(
        NAME,
        f"{scenario.clients:,} clients: {scenario.name}",
        _columns(scenario),
        {name: _line(scenario, figures) for name, figures in found.items()},
        _note(scenario),
    )


def _sweep(scenario: Scenario, behaviours: Mapping[str, Behaviour]) -> Table:
    chosen = next(name for name, behaviour in behaviours.items() if behaviour == OURS)
    found = {name: simulate(scenario, behaviour) for name, behaviour in behaviours.items()}
    title = f"The constants; {scenario.clients:,} clients: {scenario.name}"
    return replace(_table(scenario, found), title=title, marked=[chosen])


def _note(scenario: Scenario) -> str:
    never = f"; {scenario.seconds - scenario.calm_at:,.0f} s: not at all" * bool(scenario.calm_at)
    return f"{scenario.seconds:,.0f} s of virtual time{never}."


def _curves(scenario: Scenario, found: Mapping[str, Figures]) -> Curves:
    capacity = [scenario.capacity_at(second) for second in range(int(scenario.seconds))]
    lines = {name: figures.arrivals for name, figures in found.items() if name != "no retry"}
    return Curves(
        NAME,
        "Requests to a manager that restarts",
        "seconds",
        f"requests in each second, of {scenario.clients:,} clients",
        {_CAPACITY: capacity, **lines},
        background=_CAPACITY,
    )


def _policies() -> dict[str, Behaviour]:
    """The chosen policy for requests, and those that differ in one constant."""
    base = OURS.policy
    variants = {
        "requests: "
        f"first pause {base.first:g} s, longest {base.longest:g} s, doubling, "
        f"jitter {base.jitter:g}, for {base.seconds:g} s": base
    }
    for first in (0.1, 0.25, 1.0, 2.0):
        variants[f"requests: first pause {first:g} s"] = replace(base, first=first)
    for longest in (2.0, 5.0, 10.0, 30.0, 60.0):
        variants[f"requests: longest pause {longest:g} s"] = replace(base, longest=longest)
    for growth in (1.5, 3.0):
        variants[f"requests: each pause {growth:g} of the last"] = replace(base, growth=growth)
    for jitter in (0.0, 1.0):
        variants[f"requests: jitter {jitter:g}"] = replace(base, jitter=jitter)
    for retries in (3, 5):
        variants[f"requests: {retries} repeats"] = replace(base, retries=retries)
    for seconds in (15.0, 30.0, 120.0):
        variants[f"requests: for {seconds:g} s"] = replace(base, seconds=seconds)
    return {name: replace(OURS, policy=policy) for name, policy in variants.items()}


def _event_policies() -> dict[str, Behaviour]:
    base = OURS.events
    variants = {f"events: longest pause {s:g} s": replace(base, longest=s) for s in (5.0, 30.0)}
    variants |= {f"events: jitter {share:g}": replace(base, jitter=share) for share in (0.0, 1.0)}
    return {name: replace(OURS, events=policy) for name, policy in variants.items()}


def _rate_limit_policies() -> dict[str, Behaviour]:
    found = {}
    for first, longest, seconds in (
        (1.0, 30.0, 120.0),
        (1.0, 30.0, 300.0),
        (10.0, 30.0, 300.0),
        (10.0, 60.0, 120.0),
        (10.0, 60.0, 300.0),
        (10.0, 60.0, 900.0),
        (10.0, 300.0, 900.0),
        (60.0, 60.0, 300.0),
    ):
        policy = RetryPolicy(first, longest, seconds=seconds)
        name = f"first pause {first:g} s, longest {longest:g} s, for {seconds:g} s"
        found[name] = replace(OURS, rate_limit=policy)
    return found
