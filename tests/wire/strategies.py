"""What property tests of the messages share."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

from backendai_trio.wire.versions import ERAS, Hello, choose_era

__all__ = [
    "EACH_ERA",
    "any_json",
    "console_text",
    "eras",
    "json_values",
    "quick",
    "some_text",
    "text",
    "thorough",
    "tokens",
]

quick = settings(max_examples=50)
thorough = settings(max_examples=100)

#: One for each way in which releases differ.
EACH_ERA = [*ERAS, choose_era(Hello("v4.20181215")), choose_era(Hello("v9.20250722"))]
eras = st.sampled_from(EACH_ERA)

text = st.text(max_size=40)
some_text = st.text(min_size=1, max_size=40)
tokens = st.from_regex(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,62}[A-Za-z0-9_])?", fullmatch=True)
#: With undecodable bytes of a program, as Python carries them (PEP 383).
console_text = st.binary(max_size=20).map(lambda raw: raw.decode("utf-8", "surrogateescape"))


def _json(numbers: st.SearchStrategy[float]) -> st.SearchStrategy[Any]:
    return st.recursive(
        st.none() | st.booleans() | st.integers() | numbers | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=6,
    )


json_values = _json(st.floats(allow_nan=False))
#: Also with NaN, which is not equal to itself.
any_json = _json(st.floats())
