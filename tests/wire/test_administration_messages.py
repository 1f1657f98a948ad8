"""What administrators change: the table of kinds, and messages both ways."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import graphql
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backendai_trio.errors import (
    ApiError,
    AuthError,
    InvalidRequest,
    LocalProtocolError,
    NotFound,
    RemoteProtocolError,
)
from backendai_trio.gateway.api.graphql_schema import schema_of
from backendai_trio.wire.admin_calls import CALLS
from backendai_trio.wire.admin_kinds import MANAGED_KINDS, kind_of
from backendai_trio.wire.admin_settings import Action, Release, Setting, release_text
from backendai_trio.wire.administration import (
    HIDDEN,
    Mutation,
    SettingChange,
    changes_between,
    decode_outcome,
    decode_row,
    encode_outcome,
    release_of,
    row_query,
)
from backendai_trio.wire.graphql import GraphQLQuery
from backendai_trio.wire.versions import Hello

RELEASES: list[Release] = [
    (19, 9, 27), (20, 3, 19), (20, 9, 20), (22, 3, 16), (23, 9, 10), (24, 3, 10), (26, 9, 6), (),
]  # fmt: skip
SCHEMAS = {release: graphql.build_schema(schema_of(release=release)) for release in RELEASES}

_texts = st.text(max_size=8)
_VALUES: Mapping[str, st.SearchStrategy[Any]] = {
    "text": _texts,
    "flag": st.booleans(),
    "number": st.integers(-(2**31), 2**31 - 1),
    "large": st.integers(-(2**63), 2**63 - 1),
    "object": st.dictionaries(_texts, _texts | st.integers(), max_size=3),
    "texts": st.lists(_texts, max_size=3),
    "numbers": st.lists(st.integers(0, 2**31 - 1), max_size=3),
    "hosts": st.dictionaries(_texts, st.lists(_texts, max_size=2), max_size=3),
}


def values_of(setting: Setting) -> st.SearchStrategy[Any]:
    return _VALUES[setting.type] | st.none() if setting.clears else _VALUES[setting.type]


@st.composite
def mutations(draw: st.DrawFn) -> tuple[Mutation, Release]:
    kind = kind_of(draw(st.sampled_from(MANAGED_KINDS)))
    action: Action = draw(st.sampled_from(kind.actions))
    release: Release = draw(st.sampled_from(RELEASES))
    settings = kind.settings_of(action, release)
    chosen = (
        draw(st.lists(st.sampled_from(settings), unique_by=lambda item: item.name))
        if (settings)
        else []
    )
    if action == "create":
        chosen += [setting for setting in settings if setting.required]
    if action == "update":
        chosen += settings[:1]
    values = {setting.name: draw(values_of(setting)) for setting in chosen}
    return Mutation(kind, action, draw(st.text(min_size=1, max_size=8)), values), release


@given(mutations())
def test_mutations_both_ways(case: tuple[Mutation, Release]) -> None:
    mutation, release = case
    checked = mutation.check(release)
    query = checked.query(release)
    assert graphql.validate(SCHEMAS[release], graphql.parse(query.text)) == []
    found = Mutation.decode(GraphQLQuery.decode(query.encode()), release)
    assert (found.kind, found.action, found.key) == (mutation.kind, mutation.action, mutation.key)
    early = bool(release) and release < (22, 9, 5)  # storage hosts had no permissions
    for name, value in checked.values.items():
        hosts = found.kind.setting(name).type == "hosts"
        expected = {host: [] for host in value} if hosts and early else value
        assert found.values[name] == (list(expected) if isinstance(expected, tuple) else expected)
    assert set(found.values) == set(checked.values)
    assert set(mutation.values) <= set(checked.values)


@given(mutations())
def test_an_object_is_read_as_it_was_written(case: tuple[Mutation, Release]) -> None:
    mutation, release = case
    kind = mutation.kind
    query = mutation.check(release).query(release)
    row = decode_row(kind, dict(query.variables.get("props", {})), release)
    told = {n: v for n, v in mutation.values.items() if not kind.setting(n).secret}
    again = changes_between(kind, row, told)
    hosts = {setting.name for setting in kind.settings if setting.type == "hosts"}
    assert [change.name for change in again if change.name not in hosts and row] == []


@pytest.mark.parametrize("release", RELEASES, ids=str)
@pytest.mark.parametrize("name", MANAGED_KINDS)
def test_rows_are_asked_for(name: Any, release: Release) -> None:
    query = row_query(kind_of(name), "a-key", release)
    errors = graphql.validate(SCHEMAS[release], graphql.parse(query.text))
    # The gateway's queries take one type of key for all releases.
    assert [error for error in errors if "$key" not in error.message] == []
    for secret in ("password", "secret_key", "wsproxy_api_token"):
        assert secret not in query.text.split()


def test_secrets_are_not_in_texts() -> None:
    mutation = Mutation(kind_of("users"), "create", "a@b.c", {"password": "a-secret"})
    assert "a-secret" not in repr(mutation) + str(mutation)
    query = mutation.check(()).query(())
    assert "a-secret" not in query.text and query.variables["props"]["password"] == "a-secret"
    changes = changes_between(mutation.kind, {"password": "old"}, mutation.values)
    assert changes == [SettingChange("password", None, HIDDEN)]


@pytest.mark.parametrize(
    ("kind", "action", "key", "values", "release", "reason"),
    [
        ("users", "update", "a", {"status": "x"}, (19, 9, 27), r"19\.09\.27.*from 20\.03 on"),
        ("users", "update", "a", {"is_active": True}, (23, 9, 10), r"no is_active from 20\.03 on"),
        ("users", "update", "a", {"is_active": True}, (), r"no is_active from 20\.03 on"),
        ("users", "update", "a", {"container_uid": 1}, (24, 9), r"from 25\.2 on"),
        ("users", "update", "a", {"nonsense": 1}, (), "has no 'nonsense'; there are username"),
        ("users", "update", "a", {}, (), "nothing of the user a"),
        ("users", "update", "", {"role": "user"}, (), "email is empty"),
        ("users", "update", "a", {"role": None}, (), "cannot be taken away"),
        ("users", "update", "a", {"role": 1}, (), "role must be a text"),
        ("users", "create", "a", {}, (), "a new user needs password"),
        ("users", "create", "a", {"password": "x", "main_access_key": "y"}, (), "takes no main"),
        ("users", "purge", "a", {}, (19, 9, 3), r"not purge a user; managers do from 19\.09\.27"),
        ("keypairs", "purge", "a", {}, (), "cannot be purged; delete it"),
        ("keypairs", "update", "a", {"rate_limit": True}, (), "rate_limit must be a whole number"),
        ("keypairs", "update", "a", {"rate_limit": 2**31}, (), "rate_limit must be a whole number"),
        ("domains", "update", "a", {"total_resource_slots": "{}"}, (), "must be a JSON object"),
        ("domains", "update", "a", {"allowed_vfolder_hosts": {"x": "y"}}, (), "must be a JSON"),
        ("domains", "update", "a", {"allowed_docker_registries": "x"}, (), "a list of texts"),
    ],
)
def test_what_cannot_be_sent(
    kind: Any, action: Any, key: str, values: dict[str, Any], release: Release, reason: str
) -> None:
    with pytest.raises(LocalProtocolError, match=reason):
        Mutation(kind_of(kind), action, key, values).check(release)


def test_there_is_no_such_kind() -> None:
    with pytest.raises(LocalProtocolError, match="use one of users, keypairs"):
        kind_of("agents")


@pytest.mark.parametrize(
    ("hello", "release"),
    [
        (Hello("v7.20230615", "23.09.10"), (23, 9, 10)),
        (Hello("v6.20200815", features=frozenset({"x"})), ()),
        (Hello("v5.20191215"), ()),
        (Hello("v4.20190615", "19.09.27"), (19, 9, 27)),
    ],
)
def test_releases(hello: Hello, release: Release) -> None:
    assert release_of(hello, "administration", (19, 9)) == release


@pytest.mark.parametrize(
    "hello", [Hello("v3.20170615"), Hello("v4.20181215"), Hello("v4.20190315", "19.03.5")]
)
def test_releases_that_are_too_old(hello: Hello) -> None:
    with pytest.raises(LocalProtocolError, match=r"has no administration; .* from 19\.09 on"):
        release_of(hello, "administration", (19, 9))


def test_release_text() -> None:
    names = ["19.09", "20.09.21", "24.12", "25.4", "26.9.6"]
    releases = [(19, 9), (20, 9, 21), (24, 12), (25, 4), (26, 9, 6)]
    assert [release_text(release) for release in releases] == names


@given(_texts, st.booleans())
def test_outcomes(message: str, ok: bool) -> None:
    data = json.loads(json.dumps(encode_outcome("create_user", ok, message, user={"uuid": "x"})))
    if ok:
        assert decode_outcome(data, "create_user").nested("user").text("uuid") == "x"
        return
    with pytest.raises(ApiError):
        decode_outcome(data, "create_user")


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ("no permission to execute create_user", AuthError),
        ("no matching deleteuser", NotFound),
        ("User not found: a@b.c", NotFound),
        ("integrity error: duplicate", InvalidRequest),
        ("", InvalidRequest),
    ],
)
def test_refusals(message: str, error: type[Exception]) -> None:
    with pytest.raises(error, match=message or "no reason"):
        decode_outcome(encode_outcome("create_user", False, message), "create_user")


def test_statements_of_a_database_are_left_out() -> None:
    told = "integrity error: duplicate\nDETAIL: x\n[SQL: INSERT ...]\n[parameters: ('hash',)]"
    with pytest.raises(InvalidRequest) as caught:
        decode_outcome(encode_outcome("create_user", False, told), "create_user")
    assert caught.value.title == "integrity error: duplicate\nDETAIL: x"


def test_malformed_messages() -> None:
    for data in ({"create_user": 1}, {"create_user": {"ok": 1}}):
        with pytest.raises(RemoteProtocolError):
            decode_outcome(data, "create_user")
    for text in ("", "query { user { uuid } }", "mutation { create_nonsense { ok } }"):
        with pytest.raises(RemoteProtocolError, match="no mutation"):
            Mutation.decode(GraphQLQuery(text, {"key": "x"}))


@pytest.mark.parametrize("release", RELEASES, ids=str)
@pytest.mark.parametrize("name", CALLS)
def test_calls(name: str, release: Release) -> None:
    call = CALLS[name]
    values = dict.fromkeys(call.taken(release), "x")
    query = call.query(values, release)
    assert graphql.validate(SCHEMAS[release], graphql.parse(query.text)) == []
    assert dict(query.variables) == values
    least = {key: "x" for key, kind in call.arguments.items() if kind.endswith("!")}
    query = call.query(least | {"nothing": ""}, release)
    assert graphql.validate(SCHEMAS[release], graphql.parse(query.text)) == []


@pytest.mark.parametrize(
    ("name", "values", "release", "reason"),
    [
        ("rescan_images", {"project": "x"}, (24, 9, 1), r"by project; managers do from 25\.1 on"),
        ("alias_image", {"alias": "a", "target": "b", "architecture": "c"}, (21, 9), r"22\.03"),
        ("forget_image", {"reference": "a"}, (19, 9, 3), r"forget images; .* 19\.09\.19"),
        ("dealias_image", {"alias": ""}, (), "alias is needed"),
    ],
)
def test_calls_that_cannot_be_sent(
    name: str, values: dict[str, str], release: Release, reason: str
) -> None:
    with pytest.raises(LocalProtocolError, match=reason):
        CALLS[name].query(values, release)
