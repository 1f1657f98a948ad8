"""The header ``Retry-After``."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backendai_trio.wire.retry_after import decode_retry_after

NOW = datetime(2026, 8, 23, 2, 14, 19, tzinfo=UTC)


@given(st.integers(0, 999_999_999))
def test_seconds(seconds: int) -> None:
    assert decode_retry_after({"retry-after": f" {seconds} "}) == seconds


@given(st.integers(-100_000, 100_000))
def test_a_time_counts_from_that_of_the_response(seconds: int) -> None:
    then = format_datetime(NOW + timedelta(seconds=seconds), usegmt=True)
    headers = {"retry-after": then, "date": format_datetime(NOW, usegmt=True)}
    assert decode_retry_after(headers) == max(0, seconds)
    del headers["date"]
    assert decode_retry_after(headers) == 0


@pytest.mark.parametrize("text", ["", "soon", "-5", "1.5", "²", "Sun, 99 Aug 2026 02:14:19 GMT"])
def test_what_cannot_be_read_asks_for_nothing(text: str) -> None:
    headers = {"retry-after": text, "date": format_datetime(NOW, usegmt=True)}
    assert decode_retry_after(headers) == decode_retry_after({}) == 0


@given(st.dictionaries(st.sampled_from(["retry-after", "date"]), st.text()))
def test_any_text_gives_a_number(headers: dict[str, str]) -> None:
    found = decode_retry_after(headers)
    assert found >= 0 and math.isfinite(found)


def test_absurd_numbers_are_finite() -> None:
    assert math.isfinite(decode_retry_after({"retry-after": "9" * 5000}))
