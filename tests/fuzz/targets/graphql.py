"""Queries of the admin API: bounded work, whatever is asked."""

from __future__ import annotations

from typing import Any

from graphql import GraphQLError, build_schema, execute_sync, validate

from backendai_trio.errors import RemoteProtocolError
from backendai_trio.gateway.api.graphql_filters import filtered, ordered
from backendai_trio.gateway.api.graphql_limits import parse_query
from backendai_trio.gateway.api.graphql_schema import schema_of
from backendai_trio.gateway.limits import QueryLimits
from backendai_trio.wire.graphql import GraphQLQuery, encode_answer
from backendai_trio.wire.versions import SESSION_6

from ..choices import Choices

_SCHEMA = build_schema(schema_of())
_LIMITS = QueryLimits(chars=2000, depth=8, fields=30, root_fields=4)

ROWS: list[dict[str, Any]] = [
    {"name": "lab" * 20, "status": "RUNNING", "num": number, "created_at": None}
    for number in range(3)
]


def graphql_filter(data: bytes) -> None:
    """A filter or order gives some of the rows, or is refused."""
    choices = Choices(data)
    is_order = choices.flag()
    text = choices.rest().decode("utf-8", "replace")
    try:
        found = ordered(ROWS, text) if is_order else filtered(ROWS, text)
    except RemoteProtocolError as exc:
        assert str(exc)
        return
    assert all(row in ROWS for row in found)
    assert not is_order or len(found) == len(ROWS)


class _Rows(dict[str, Any]):
    """The root of a query, or a row of it, which has all fields, and counts how often one is asked
    for."""

    asked = 0

    def get(self, name: str, default: object = None) -> object:
        _Rows.asked += 1
        if name.islower() and name.endswith(("s", "items")):
            return [_Rows()]
        return _Rows() if name.endswith(("list", "info", "session", "node")) else None


def graphql(data: bytes) -> None:
    """A query within the limits asks for a bounded number of fields; others are refused."""
    choices = Choices(data)
    body = choices.rest()
    try:
        query = GraphQLQuery.decode(body)
        document = parse_query(query.text, _LIMITS)
    except (RemoteProtocolError, GraphQLError) as exc:
        assert str(exc)
        return
    if validate(_SCHEMA, document):
        return
    _Rows.asked = 0
    # What `graphql-core` asks of a dictionary is `get`.
    result = execute_sync(
        _SCHEMA, document, root_value=_Rows(), variable_values=dict(query.variables)
    )
    assert _Rows.asked <= _LIMITS.fields
    try:
        encode_answer(result.data or {}, SESSION_6)
    except UnicodeEncodeError as exc:
        raise AssertionError(exc) from exc
