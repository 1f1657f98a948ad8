"""Filters and orders of the gateway's listings."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backendai_trio.errors import RemoteProtocolError
from backendai_trio.gateway.api.graphql_filters import filtered, ordered

ROWS = [
    {"name": "lab-1", "status": "RUNNING", "queries": 3, "ended": None},
    {"name": "lab-2", "status": "TERMINATED", "queries": 10, "ended": "2027"},
    {"name": "other", "status": "RUNNING", "queries": 0, "ended": None},
]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (None, ["lab-1", "lab-2", "other"]),
        (" ", ["lab-1", "lab-2", "other"]),
        ('status == "RUNNING"', ["lab-1", "other"]),
        ('status != "RUNNING"', ["lab-2"]),
        ("queries > 2", ["lab-1", "lab-2"]),
        ("queries>=3&queries<10", ["lab-1"]),
        ("queries <= 0 | queries == 10", ["lab-2", "other"]),
        ('name contains "lab" & status == "RUNNING"', ["lab-1"]),
        ('name like "lab-_"', ["lab-1", "lab-2"]),
        ('name ilike "LAB%"', ["lab-1", "lab-2"]),
        ('name in ["other", "lab-2"]', ["lab-2", "other"]),
        ("ended == null", ["lab-1", "other"]),
        ('ended > "2000"', ["lab-2"]),  # null is neither more nor less
        ('!(name == "other")', ["lab-1", "lab-2"]),
        ('!!(name == "other")', ["other"]),
        ('status == "X" | name == "other" & queries == 0', ["other"]),
        # What managers make of it: each sign takes all that stands right of it.
        ('name == "lab-2" & status == "X" | name == "other"', []),
        ('name == "lab-2" & status == "X" | queries == 10', ["lab-2"]),
        ('!name == "other" & queries == 0', ["lab-1", "lab-2"]),
        ('!queries == 3 & status == "RUNNING"', ["lab-2", "other"]),
        ('(status == "RUNNING" | name == "lab-2") & queries > 0', ["lab-1", "lab-2"]),
        (r'name == "a\"b"', []),
    ],
)
def test_filter(text: str | None, names: list[str]) -> None:
    assert [row["name"] for row in filtered(ROWS, text)] == names


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("status", "a comparison is missing at its end"),
        ("status ==", "a value is missing at its end"),
        ("status == RUNNING", "found 'RUNNING' instead of a value"),
        ('status = "x"', "malformed: at"),
        ('status is "x"', "'is' is not a comparison; there are: =="),
        ('(status == "x"', "')' is missing"),
        ('status == "x")', "malformed: at ')'"),
        ('name in "x"', "'[' is missing"),
        ('colour == "x"', "there is no column 'colour'; there are: name, status"),
        (r'name == "\x"', "a string in it is malformed"),
        ("(" * 1000, "nested too deeply"),
    ],
)
def test_filter_refused(text: str, said: str) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        filtered(ROWS, text)
    assert said in str(caught.value)


@given(st.text(alphabet='nameqris =!<>&|()[],"0123\\', max_size=40))
@settings(deadline=None, max_examples=200)
def test_any_filter_is_applied_or_refused(text: str) -> None:
    try:
        assert all(row in ROWS for row in filtered(ROWS, text))
    except RemoteProtocolError as exc:
        assert str(exc)


@given(st.text(), st.text())
@settings(deadline=None)
def test_any_text_can_be_looked_for(have: str, wanted: str) -> None:
    rows = [{"name": have}]
    assert bool(filtered(rows, f"name == {json.dumps(wanted)}")) is (have == wanted)
    assert bool(filtered(rows, f"name contains {json.dumps(wanted)}")) is (wanted in have)


@given(st.text("ab%_.\n", max_size=8), st.text("ab%_.\n", max_size=8))
@settings(deadline=None, max_examples=300)
def test_patterns(have: str, pattern: str) -> None:
    regex = "".join({"%": ".*", "_": "."}.get(char, re.escape(char)) for char in pattern)
    expected = re.fullmatch(regex, have, re.DOTALL) is not None
    assert bool(filtered([{"name": have}], f"name like {json.dumps(pattern)}")) is expected


@pytest.mark.parametrize("comparison", ["like", "ilike"])
def test_pattern_that_would_take_for_ever(comparison: str) -> None:
    """As a regular expression, on a text that is no longer than a kernel's name."""
    rows = [{"name": "a" * 64}]
    assert filtered(rows, f'name {comparison} "{"%a" * 30}%b"') == []
    assert filtered(rows, f'name {comparison} "{"%a" * 30}%"') == rows


def test_filter_that_is_too_long() -> None:
    with pytest.raises(RemoteProtocolError, match="longer than 16,384 characters") as caught:
        filtered(ROWS, 'name == "x" | ' * 2000)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (None, ["lab-1", "lab-2", "other"]),
        ("-name,+name,+name", ["other", "lab-2", "lab-1"]),
        ("-name", ["other", "lab-2", "lab-1"]),
        ("queries", ["other", "lab-1", "lab-2"]),
        ("-queries", ["lab-2", "lab-1", "other"]),
        ("+status,-queries", ["lab-1", "other", "lab-2"]),
        ("-ended, +queries", ["lab-2", "other", "lab-1"]),
    ],
)
def test_order(text: str | None, names: list[str]) -> None:
    assert [row["name"] for row in ordered(ROWS, text)] == names


def test_order_by_a_column_that_is_not_there() -> None:
    with pytest.raises(RemoteProtocolError, match="no column 'colour'"):
        ordered(ROWS, "-colour")
