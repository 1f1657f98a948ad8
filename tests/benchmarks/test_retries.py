"""The simulation of clients that repeat their requests."""

from __future__ import annotations

from dataclasses import replace

import pytest

from backendai_trio.transport.retry import RetryPolicy
from benchmarks.retries.clients import NAIVE, OURS
from benchmarks.retries.manager import Scenario
from benchmarks.retries.simulation import Figures, simulate

RESTART = Scenario("restart", 100.0, step=0.05, restart_at=30.0).with_clients(200)
RATE_LIMIT = Scenario(
    "rate limit",
    1800.0,
    step=0.5,
    clients=30,
    clients_of_key=30,
    capacity=100.0,
    limit=1260,
    busy=(600.0, 900.0),
    busy_think_seconds=5.0,
)
NEVER, AT_ONCE, EACH_SECOND, DOUBLING = NAIVE


@pytest.fixture(scope="module")
def restarted() -> dict[str, Figures]:
    return {each.name: simulate(RESTART, each) for each in (OURS, *NAIVE)}


def test_ours_recovers_from_a_restart(restarted: dict[str, Figures]) -> None:
    ours = restarted[OURS.name]
    assert ours.recovery_seconds < RESTART.seconds - RESTART.up_at - 10
    assert ours.failed < 0.03 < restarted[NEVER.name].failed


def test_ours_asks_less_of_a_manager_that_comes_back(restarted: dict[str, Figures]) -> None:
    ours = restarted[OURS.name]
    for naive in (AT_ONCE, EACH_SECOND, DOUBLING):
        assert ours.overload < restarted[naive.name].overload
    for naive in (AT_ONCE, EACH_SECOND):
        assert ours.requests_per_answer < restarted[naive.name].requests_per_answer


def test_only_naive_clients_repeat_what_must_not_be(restarted: dict[str, Figures]) -> None:
    assert restarted[OURS.name].done_twice == restarted[NEVER.name].done_twice == 0
    assert restarted[AT_ONCE.name].done_twice > 0


def test_only_naive_clients_lock_themselves_out() -> None:
    """Managers count the requests that they refuse; one that asks for pauses is asked less."""
    ours, theirs = simulate(RATE_LIMIT, OURS), simulate(RATE_LIMIT, EACH_SECOND)
    assert ours.requests_per_answer < 2 < 10 < theirs.requests_per_answer
    assert ours.failed < 0.05 < 0.2 < theirs.failed
    polite = simulate(replace(RATE_LIMIT, retry_after=60.0), OURS)
    assert polite.requests_per_answer < ours.requests_per_answer


def test_it_comes_out_the_same_every_time_with_a_seed() -> None:
    scenario = replace(RESTART, seconds=60.0).with_clients(100)
    first, again, other = (simulate(scenario, OURS, seed=seed) for seed in (1, 1, 2))
    assert first == again != other


def test_it_runs_the_policy_that_the_client_has() -> None:
    """No jitter, and a restart cuts off all that follow events: they come back together."""
    together = replace(OURS, events=RetryPolicy(0.5, 15.0, jitter=0.0))
    scenario = replace(RESTART, lost=0.0)
    apart = simulate(scenario, OURS).overload
    assert apart < simulate(scenario, together).overload


def test_without_faults_each_request_has_its_answer() -> None:
    calm = Scenario("calm", 40.0, step=0.05, lost=0.0).with_clients(100)
    for behaviour in (OURS, *NAIVE):
        figures = simulate(calm, behaviour)
        assert figures.failed == figures.failed_unrepeatable == figures.done_twice == 0
        assert figures.requests_per_answer == pytest.approx(1.0, abs=0.02)
        assert figures.wait_p99 < 1
