"""The standard streams of a program, as a run's options tell them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backendai_trio.wire.execution import ExecuteRequest
from backendai_trio.wire.stdio import Stdio, window_size_of

KINDS = st.sampled_from(["terminal", "pipe"])
SIZES = st.none() | st.tuples(st.integers(1, 10_000), st.integers(1, 10_000))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(), values, max_size=3),
    max_leaves=6,
)


@given(st.builds(Stdio, stdin=KINDS, stdout=KINDS, stderr=KINDS | st.just("stdout"), size=SIZES))
def test_round_trip(stdio: Stdio) -> None:
    options = {"stdio": stdio.as_json()}
    request = ExecuteRequest.decode(ExecuteRequest("batch", "r", "", options).encode())
    assert request.stdio == stdio


@given(JSON | st.fixed_dictionaries(dict.fromkeys(("stdin", "stdout", "stderr", "size"), JSON)))
def test_any_json_is_read(value: Any) -> None:
    stdio = Stdio.from_json(value)
    assert Stdio.from_json(json.loads(json.dumps(stdio.as_json()))) == stdio


@pytest.mark.parametrize(
    ("value", "size"),
    [
        ([24, 80], (24, 80)),
        ([0, 99_999], (1, 10_000)),
        ([24], None),
        ([True, 80], None),
        ("24x80", None),
        (None, None),
    ],
)
def test_window_sizes(value: object, size: tuple[int, int] | None) -> None:
    assert window_size_of(value) == size
