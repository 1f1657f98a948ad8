"""Figures and tables as they are printed, and tables in Markdown files."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.rows import BARE, OURS, Limit, Row, Table
from benchmarks.table import chosen, markdown_table, refreshed, shown, text_table, text_tables

ROWS = [
    Row(
        "one",
        "a call",
        {OURS: [0.001, 0.003], "23.9.10": [0.002, 0.004], BARE: [1e-5, 3e-5]},
        bare="a socket",
        limit=Limit(0.5, "23.9.10"),
        headline=True,
    ),
    Row("two", "growth", {OURS: [70e6]}, "bytes", limit=Limit(60e6)),
]


@pytest.mark.parametrize(
    ("value", "unit", "size", "text"),
    [
        (1.234, "s", 0, "1.23 s"),
        (0.0123, "s", 0, "12.3 ms"),
        (0.000246, "s", 0, "246 us"),
        (2e-8, "s", 0, "0.02 us"),
        (1234.0, "s", 0, "1234 s"),
        (0.0, "s", 0, "0.00 us"),
        (4.1e6, "bytes", 0, "4.10 MB"),
        (-2e6, "bytes", 0, "-2.00 MB"),
        (12.0, "bytes", 0, "12.0 B"),
        (2.0, "s", 100_000_000, "50.0 MB/s"),
    ],
)
def test_figures(value: float, unit: str, size: int, text: str) -> None:
    assert shown(value, unit, size) == text


@given(st.floats(min_value=1e-6, max_value=1e6))
def test_a_figure_is_shown_to_half_a_percent(value: float) -> None:
    number, unit = shown(value, "s").split()
    factor = {"s": 1.0, "ms": 1e-3, "us": 1e-6}[unit]
    assert float(number) * factor == pytest.approx(value, rel=0.0051)


def test_the_table_in_markdown() -> None:
    assert markdown_table(ROWS) == (
        "|  | ours | official 23.9.10 | bare | ours / other: median (min to max) | limit |\n"
        "| --- | ---: | ---: | ---: | ---: | ---: |\n"
        "| a call | 2.00 ms | 3.00 ms | 20.0 us (a socket) | 0.62 (0.50 to 0.75) of 23.9.10 "
        "| 0.5 of 23.9.10 OVER |\n"
        "| growth | 70.0 MB |  |  |  | 60.0 MB OVER |\n"
    )


def test_columns_that_no_row_has_are_left_out() -> None:
    assert markdown_table(ROWS[1:]).splitlines()[0] == "|  | ours | limit |"


def test_the_table_for_a_terminal() -> None:
    lines = text_table(ROWS).splitlines()
    assert len(lines) == 3
    assert len({line.index("MB" if "MB" in line else "ms") for line in lines[1:]}) == 1
    assert not any(line.endswith(" ") for line in lines)


def test_no_rows_make_no_table() -> None:
    assert markdown_table([]) == text_table([]) == ""


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ([], ["a call", "growth"]),
        (["headlines"], ["a call"]),
        (["two"], ["growth"]),
        (["headlines", "two"], ["a call", "growth"]),
        (["three"], []),
    ],
)
def test_chosen_rows(words: list[str], names: list[str]) -> None:
    assert [row.name for row in chosen(ROWS, words)] == names


def test_groups_on_request_stand_in_tables_that_name_them() -> None:
    row = Row("load", "many kernels", {OURS: [1.0]})
    assert chosen([*ROWS, row], []) == ROWS
    assert chosen([*ROWS, row], ["load"]) == [row]


TEXT = """# Title

<!-- benchmarks: headlines -->
old
<!-- end of benchmarks -->

between

<!-- benchmarks: two -->
<!-- end of benchmarks -->

<!-- benchmarks: three -->
kept
<!-- end of benchmarks -->
end
"""


def test_tables_between_markers_are_refreshed() -> None:
    new = refreshed(TEXT, ROWS, "The setting.")
    assert "old" not in new and new.count("The setting.") == 2
    first, second = re.findall(r"<!-- benchmarks: [a-z]+ -->\n(\|.*?)\n\nThe", new, re.DOTALL)
    assert first + "\n" == markdown_table(ROWS[:1])
    assert second + "\n" == markdown_table(ROWS[1:])
    assert "<!-- benchmarks: three -->\nkept\n<!-- end of benchmarks -->\nend\n" in new
    assert "\n\nbetween\n\n" in new


def test_refreshing_twice_changes_nothing() -> None:
    once = refreshed(TEXT, ROWS, "The setting.")
    assert refreshed(once, ROWS, "The setting.") == once


@pytest.mark.parametrize("text", ["", "<!-- benchmarks: -->\n", "<!-- end of benchmarks -->"])
def test_a_file_without_markers_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="end of benchmarks"):
        refreshed(text, ROWS, "The setting.")


TABLE = Table(
    "three",
    "Many clients",
    {"wait": "s", "failed": "%", "twice": "count", "worst": "times"},
    {"ours": [1.5, 0.031, 0.0, 4.5], "naive": [None, 0.5, 1234.0, 30.1]},
    "A note.",
    ["ours"],
)


def test_a_table_of_its_own_stands_where_its_group_is_named() -> None:
    text = "<!-- benchmarks: {} -->\n<!-- end of benchmarks -->\n"
    named = refreshed(text.format("three"), ROWS, "A setting.", [TABLE])
    assert named == (
        "<!-- benchmarks: three -->\n"
        "**Many clients**\n\n"
        "|  | wait | failed | twice | worst |\n"
        "| --- | ---: | ---: | ---: | ---: |\n"
        "| ours (chosen) | 1.50 s | 3.10 % | 0 | 4.50 |\n"
        "| naive |  | 50.0 % | 1,234 | 30.1 |\n"
        "\nA note.\n"
        "<!-- end of benchmarks -->\n"
    )
    assert refreshed(named, ROWS, "A setting.", [TABLE]) == named
    everything = refreshed(text.replace(" {}", ""), ROWS, "A setting.", [TABLE])
    assert "Many clients" not in everything and "growth" in everything


def test_tables_for_a_terminal() -> None:
    text = text_tables([*ROWS, TABLE])
    assert "growth" in text and "Many clients\n" in text and text.endswith("A note.\n")
