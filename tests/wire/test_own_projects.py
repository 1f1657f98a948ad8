"""The projects of the user who asks."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backendai_trio.errors import RemoteProtocolError
from backendai_trio.wire.own_projects import OwnProjects

_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@given(st.builds(OwnProjects, st.text(), st.lists(st.text()).map(tuple)))
def test_round_trip(own: OwnProjects) -> None:
    assert OwnProjects.decode(json.loads(json.dumps(own.encode()))) == own


@given(st.dictionaries(st.sampled_from(["user", "groups"]), _json))
def test_anything_is_decoded_or_refused(answer: dict[str, object]) -> None:
    try:
        OwnProjects.decode(answer)
    except RemoteProtocolError:
        pass


@pytest.mark.parametrize(
    "user",
    [
        {"domain_name": 1, "groups": []},
        {"domain_name": "d", "groups": [{}]},
        {"domain_name": "d", "groups": ["physics"]},
    ],
)
def test_malformed(user: object) -> None:
    with pytest.raises(RemoteProtocolError):
        OwnProjects.decode({"user": user})
