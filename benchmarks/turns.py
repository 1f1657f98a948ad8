"""Measuring in turns."""

from __future__ import annotations

from collections.abc import Callable, Mapping

__all__ = ["in_turns"]


def in_turns(
    measures: Mapping[str, Callable[[], float]],
    rounds: int,
    *,
    warm_up: bool = True,
    twice: bool = True,
) -> dict[str, list[float]]:
    """Have clients take turns, so that whatever else the machine does hits all of them alike.

    A round goes there and back (one, two, two, one), since what changes slowly then hits both
    alike, and its sample is the mean of both.

    Args:
        measures: what each client does; returns the cost.
        rounds: how many samples of each.
        warm_up: whether a round before them fills caches, and does not count.
        twice: go there and back; otherwise once, and who begins changes with each round.
    """
    samples: dict[str, list[float]] = {who: [] for who in measures}
    names = list(measures)
    for number in range(-1 if warm_up else 0, rounds):
        there = names if number % 2 == 0 else names[::-1]
        order = there + there[::-1] if twice and number >= 0 else there
        costs: dict[str, list[float]] = {who: [] for who in names}
        for who in order:
            costs[who].append(measures[who]())
        if number >= 0:
            for who, values in costs.items():
                samples[who].append(sum(values) / len(values))
    return samples
