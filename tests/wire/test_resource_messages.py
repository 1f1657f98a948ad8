"""Presets, limits and what is free: messages both ways."""

from __future__ import annotations

import json
from typing import Any

import graphql
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backendai_trio.errors import RemoteProtocolError
from backendai_trio.gateway.api.graphql_schema import schema_of
from backendai_trio.wire.http import JSON
from backendai_trio.wire.resources import (
    KEY_PAIR_QUERY,
    CheckPresets,
    ClusterResources,
    KeyPairLimits,
    Preset,
    Quota,
    ResourceGroup,
    resource_groups_request,
)

# As 23.9.10 answers where users may not see the use of their project.
REPLY: dict[str, Any] = {
    "keypair_limits": {"cpu": "30", "mem": "Infinity"},
    "keypair_using": {"cpu": "1", "mem": "1073741824"},
    "keypair_remaining": {"cpu": "7", "mem": "16106127360"},
    "group_limits": {"cpu": "NaN", "mem": "NaN"},
    "group_using": {"cpu": "NaN", "mem": "NaN"},
    "group_remaining": {"cpu": "NaN", "mem": "NaN"},
    "scaling_group_remaining": {"cpu": "7", "mem": "16106127360"},
    "scaling_groups": {
        "default": {"using": {"cpu": "1"}, "remaining": {"cpu": "7"}},
        "gpu": {"using": {"cpu": "0"}, "remaining": {"cpu": "0"}},
    },
    "presets": [
        {
            "name": "small",
            "resource_slots": {"cpu": "1", "mem": "1073741824"},
            "shared_memory": "134217728",
            "allocatable": True,
        },
        {"name": "huge", "resource_slots": {"cpu": "99"}, "shared_memory": None,
         "allocatable": False},
    ],
}  # fmt: skip
FOUND = ClusterResources(
    Quota(REPLY["keypair_limits"], REPLY["keypair_using"], REPLY["keypair_remaining"]),
    None,
    {"cpu": "7", "mem": "16106127360"},
    [
        ResourceGroup("default", {"cpu": "1"}, {"cpu": "7"}),
        ResourceGroup("gpu", {"cpu": "0"}, {"cpu": "0"}),
    ],
    [
        Preset("small", {"cpu": "1", "mem": "1073741824"}, "134217728"),
        Preset("huge", {"cpu": "99"}, allocatable=False),
    ],
)
_slots = st.dictionaries(st.text(max_size=5), st.sampled_from(["0", "1.5", "Infinity"]), max_size=3)
_quotas = st.builds(
    Quota,
    st.dictionaries(st.text(max_size=5), st.sampled_from(["0", "Infinity"]), min_size=1),
    _slots,
    _slots,
)


def test_reply_of_a_manager() -> None:
    assert ClusterResources.decode(json.dumps(REPLY).encode()) == FOUND


@given(
    st.builds(
        ClusterResources,
        _quotas,
        _quotas | st.none(),
        _slots,
        st.lists(
            st.builds(ResourceGroup, st.text(max_size=5), _slots, _slots),
            max_size=3,
            unique_by=lambda item: item.name,
        ),
        st.lists(st.builds(Preset, st.text(), _slots, st.sampled_from(["", "1"]), st.booleans())),
    )
)
@settings(deadline=None, max_examples=50)
def test_reply_round_trip(found: ClusterResources) -> None:
    assert ClusterResources.decode(found.encode()) == found


@pytest.mark.parametrize(
    "change",
    [
        {"presets": [{"resource_slots": {}}]},
        {"presets": {}},
        {"scaling_groups": {"default": []}},
        {"keypair_limits": {"cpu": {}}},
        {"keypair_using": 5},
    ],
    ids=str,
)
def test_malformed_replies_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(RemoteProtocolError):
        ClusterResources.decode(json.dumps(REPLY | change).encode())


def test_requests() -> None:
    request = CheckPresets("physics", "gpu").request()
    assert (request.method, request.target) == ("POST", "/resource/check-presets")
    assert (request.body, request.content_type) == (
        b'{"group":"physics","scaling_group":"gpu"}',
        JSON,
    )
    for asked in (CheckPresets("physics", "gpu"), CheckPresets("a")):
        assert CheckPresets.decode(asked.request().body) == asked
    assert CheckPresets.decode(b"") == CheckPresets("default")
    assert resource_groups_request("a b").target == "/scaling-groups?group=a+b"


def test_limits_of_a_key_pair() -> None:
    schema = graphql.build_schema(schema_of())
    assert graphql.validate(schema, graphql.parse(KEY_PAIR_QUERY.text)) == []
    pair = {"access_key": "AKIA", "resource_policy": "default", "is_admin": False}
    policy = {
        "max_concurrent_sessions": 30,
        "max_containers_per_session": 1,
        "idle_timeout": 600.0,
        "total_resource_slots": '{"cpu": "4"}',
    }
    answer: dict[str, Any] = {
        "keypair": pair | {"rate_limit": 30000, "concurrency_used": 2},
        "keypair_resource_policy": policy,
    }
    expected = KeyPairLimits("AKIA", "default", False, 30000, 2, 30, 1, 600, {"cpu": "4"})
    assert KeyPairLimits.decode(answer) == expected
    bare = KeyPairLimits.decode({"keypair": pair, "keypair_resource_policy": None})
    assert (bare.max_sessions, bare.slots) == (0, {})
    with pytest.raises(RemoteProtocolError):
        KeyPairLimits.decode({"keypair": None})
    with pytest.raises(RemoteProtocolError):
        KeyPairLimits.decode(answer | {"keypair_resource_policy": {"total_resource_slots": "["}})
