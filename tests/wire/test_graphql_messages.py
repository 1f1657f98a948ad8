"""Queries of the admin API, and the envelopes their answers come in."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from backendai_trio.errors import ApiError, InvalidRequest, RemoteProtocolError
from backendai_trio.wire.graphql import GraphQLQuery, decode_answer, encode_answer
from backendai_trio.wire.json_fields import encode_json
from backendai_trio.wire.versions import (
    SEED,
    SESSION_5,
    SESSION_6,
    TRANSITION,
    Era,
    Hello,
    choose_era,
)

from .strategies import json_values, quick

NEWEST = choose_era(Hello("v9.20250722"))
ALL = [SEED, TRANSITION, SESSION_5, SESSION_6, NEWEST]
each_era = pytest.mark.parametrize("era", ALL, ids=lambda era: f"{era.name}{era.graphql_path}")

_data = st.dictionaries(
    st.from_regex(r"[a-z][a-z_]{2,9}", fullmatch=True).filter(
        lambda name: name not in ("data", "errors")
    ),
    json_values,
    max_size=3,
)


@given(st.builds(GraphQLQuery, st.text(), st.dictionaries(st.text(), json_values, max_size=3)))
@quick
def test_query_round_trip(query: GraphQLQuery) -> None:
    assert GraphQLQuery.decode(query.encode()) == query


def test_query_of_the_first_client() -> None:
    """It sends a variable that its query does not declare; others send none at all."""
    body = b'{"query": "query { a }", "variables": {"status": "RUNNING", "ak": null}}'
    assert GraphQLQuery.decode(body).variables == {"status": "RUNNING", "ak": None}
    for body in (b'{"query": "{ a }"}', b'{"query": "{ a }", "variables": null}'):
        assert GraphQLQuery.decode(body) == GraphQLQuery("{ a }", {})


@pytest.mark.parametrize(
    "value", [{}, {"query": None}, {"query": 1}, {"query": "", "variables": []}, [], "x"]
)
def test_query_refused(value: object) -> None:
    with pytest.raises(RemoteProtocolError):
        GraphQLQuery.decode(encode_json(value))


@given(_data, st.sampled_from(ALL))
@quick
def test_answer_round_trip(data: dict[str, Any], era: Era) -> None:
    body = encode_answer(data, era)
    assert (json.loads(body).keys() == {"data"}) is era.graphql_enveloped
    assert decode_answer(body, "POST /x") == data


@pytest.mark.parametrize(
    ("answer", "data"),
    [
        ({"data": {"a": 1}, "errors": None}, {"a": 1}),
        ({"data": {"a": 1}, "errors": []}, {"a": 1}),
        ({"data": None}, {}),
        ({"a": 1}, {"a": 1}),
        ({}, {}),
    ],
)
def test_forms_of_an_answer(answer: object, data: object) -> None:
    assert decode_answer(encode_json(answer), "POST /x") == data


@pytest.mark.parametrize(
    ("errors", "title"),
    [
        ([{"message": "No such field"}], "No such field"),
        ([{"message": "a"}, {"message": "b", "path": []}], "a; b"),
        (["plain"], "plain"),
        ([{"code": 1}], "{'code': 1}"),
    ],
)
def test_errors_of_an_answer(errors: object, title: str) -> None:
    body = encode_json({"data": {"a": None}, "errors": errors})
    with pytest.raises(InvalidRequest) as caught:
        decode_answer(body, "POST /admin/gql")
    assert caught.value.title == title
    assert caught.value.kind == "graphql-error"
    assert caught.value.request == "POST /admin/gql"


@given(
    st.binary()
    | st.fixed_dictionaries(
        {}, optional={"data": json_values, "errors": json_values, "a": json_values}
    ).map(encode_json)
)
@settings(deadline=None, max_examples=80)
@example(b'{"errors":[' + b"[" * 900 + b"]" * 900 + b"]}")
@example(b'{"errors":[' + b"[" * 980 + b"]" * 980 + b"]}")
def test_any_answer_is_data_or_refused(body: bytes) -> None:
    try:
        assert isinstance(decode_answer(body, "POST /x"), dict)
    except (ApiError, RemoteProtocolError) as exc:
        assert str(exc)


@given(st.binary() | json_values.map(encode_json))
@quick
def test_any_query_is_read_or_refused(body: bytes) -> None:
    try:
        GraphQLQuery.decode(body)
    except RemoteProtocolError:
        pass
