"""Samples, their ratios and limits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.report import Report
from benchmarks.rows import BARE, OURS, Curves, Limit, Row, Spread, Table, ratios, spread

costs = st.floats(min_value=1e-9, max_value=1e12)


@given(st.lists(costs, min_size=1))
def test_a_spread_is_in_order(values: list[float]) -> None:
    found = spread(values)
    assert min(values) == found.least <= found.median <= found.most == max(values)


def test_no_values_have_no_spread() -> None:
    with pytest.raises(ValueError, match="no values"):
        spread([])


def test_each_round_has_a_ratio_of_its_own() -> None:
    # Ratios of medians would tell 1.0 here.
    assert ratios([1, 2, 30], [2, 4, 1]) == [0.5, 0.5, 30]


@pytest.mark.parametrize("theirs", [[1.0], [1.0, 0.0], [1.0, -1.0]])
def test_ratios_are_of_pairs_and_of_positive_figures(theirs: list[float]) -> None:
    with pytest.raises(ValueError):
        ratios([1.0, 2.0], theirs)


SAMPLES = {OURS: [1.0, 2.0, 3.0], "23.9.10": [2.0, 4.0, 6.0], BARE: [0.5, 1.0, 1.5]}


@pytest.mark.parametrize(
    ("limit", "verdict"),
    [
        (None, ""),
        (Limit(0.5, "23.9.10"), "within"),
        (Limit(0.49, "23.9.10"), "OVER"),
        (Limit(2.0, BARE), "within"),
        (Limit(1.99, BARE), "OVER"),
        (Limit(2.0), "within"),
        (Limit(1.99), "OVER"),
        (Limit(1.0, "26.9.6"), ""),  # a client that was not measured
    ],
)
def test_verdicts(limit: Limit | None, verdict: str) -> None:
    assert Row("group", "name", SAMPLES, limit=limit).verdict == verdict


@pytest.mark.parametrize(
    ("samples", "limit", "reference"),
    [
        (SAMPLES, None, "23.9.10"),
        (SAMPLES, Limit(1, BARE), BARE),
        (SAMPLES, Limit(1, "26.9.6"), "23.9.10"),
        ({OURS: [1.0], BARE: [1.0]}, None, BARE),
        ({OURS: [1.0]}, Limit(1), ""),
    ],
)
def test_what_ours_is_compared_with(
    samples: dict[str, list[float]], limit: Limit | None, reference: str
) -> None:
    row = Row("group", "name", samples, limit=limit)
    assert row.reference == reference
    assert (row.ratio() is None) == (not reference)


def test_the_ratio_of_a_row() -> None:
    assert Row("group", "name", SAMPLES).ratio() == Spread(0.5, 0.5, 0.5)
    assert Row("group", "name", SAMPLES).ratio("26.9.6") is None


TABLE = Table("one", "t", {"wait": "s", "n": "count"}, {"x": [1.5, None]}, "a note", ["x"])
CURVES = Curves("one", "c", "seconds", "requests", {"x": [1.0, 2.0]}, background="x")


def test_a_report_is_read_as_it_was_written(tmp_path) -> None:
    rows = [
        Row("one", "a", SAMPLES, limit=Limit(1, "23.9.10"), headline=True),
        Row("two", "b", {OURS: [5.0]}, "bytes", x=3.0, series="growth", limit=Limit(6)),
    ]
    report = Report(True, rows, [TABLE], [CURVES], ["a reason"], {"one": 1.5}, (0.5, 1.5))
    report.write(tmp_path / "report.json")
    assert Report.read(tmp_path / "report.json") == report
    assert report.over == []
