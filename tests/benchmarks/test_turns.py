"""Clients that take turns."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.turns import in_turns


def recorded(calls: str = "ab") -> tuple[list[str], dict[str, Callable[[], float]]]:
    """Measures that note who was called; each costs as many as have been called before."""
    called: list[str] = []

    def measure(who: str) -> Callable[[], float]:
        def cost() -> float:
            called.append(who)
            return float(len(called))

        return cost

    return called, {who: measure(who) for who in calls}


def test_there_and_back() -> None:
    called, measures = recorded()
    samples = in_turns(measures, 2, warm_up=False)
    assert "".join(called) == "abba" + "baab"
    # What grows steadily weighs alike on both.
    assert samples == {"a": [2.5, 6.5], "b": [2.5, 6.5]}


def test_the_first_round_does_not_count() -> None:
    called, measures = recorded()
    samples = in_turns(measures, 1)
    assert len(called) == 2 + 4
    assert samples == {"a": [4.5], "b": [4.5]}


def test_once_each_with_changing_beginners() -> None:
    called, measures = recorded("abc")
    samples = in_turns(measures, 3, warm_up=False, twice=False)
    assert "".join(called) == "abc" + "cba" + "abc"
    assert [len(values) for values in samples.values()] == [3, 3, 3]
