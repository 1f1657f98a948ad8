"""Sessions that match a name."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backendai_trio.errors import RemoteProtocolError
from backendai_trio.wire.kernel_names import KernelMatch, decode_matches, encode_matches


@given(st.lists(st.builds(KernelMatch, st.text(), st.text(), st.text()), max_size=3))
@settings(deadline=None, max_examples=50)
def test_round_trip(matches: list[KernelMatch]) -> None:
    assert decode_matches(encode_matches(matches)) == matches


def test_prefixes_are_no_names() -> None:
    match = KernelMatch("0d9d4a5c", "lab10", "RUNNING")
    assert match.is_named("lab10") and match.is_named("0d9d4a5c")
    assert not match.is_named("lab1") and not match.is_named("0d9d")


@pytest.mark.parametrize("body", ["[]", '{"matches": 1}', '{"matches": [1]}', '{"matches": [{}]}'])
def test_malformed(body: str) -> None:
    with pytest.raises(RemoteProtocolError, match="matching session"):
        decode_matches(body.encode())
