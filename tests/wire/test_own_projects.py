"""The projects of the user who asks."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backendai_trio.errors import RemoteProtocolError
from backendai_trio.wire.own_projects import OwnProjects, own_projects_query
from backendai_trio.wire.versions import Hello

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


def test_projects_of_other_types_are_left_out() -> None:
    """From 24.03 on, users have a store of models, and from 26.9 on a project of their own."""
    own = [{"id": "1", "name": "physics"}, {"id": "2", "name": "model-store"}]
    user = {"domain_name": "d", "groups": own}
    assert OwnProjects.decode({"user": user}).names == ("physics", "model-store")
    answer = {"user": user, "groups": [{"id": "1"}, {"id": "3"}]}
    assert OwnProjects.decode(answer).names == ("physics",)
    assert "groups { id } }" in own_projects_query(Hello("v8.20240315", "24.03.0")).text
    older = own_projects_query(Hello("v7.20230615", "23.09.10")).text
    assert "groups { id }" not in older


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
