"""Queries of the admin API that ask for too much."""

from __future__ import annotations

import pytest

from backendai_trio.gateway import QueryLimits

from .by_hand import limited
from .raw_client import Answer, Raw

SMALL = QueryLimits(body_bytes=2000, chars=1000, depth=3, fields=10, root_fields=3)
FRAGMENTS = " ".join(
    f"fragment {one} on Query {{...{two} ...{two}}}" for one, two in ("AB", "BC", "CD")
)


async def asked(raw: Raw, query: str, **variables: object) -> Answer:
    body = {"query": query, "variables": variables}
    return await raw("POST", "/admin/graphql", body)


@limited(query=SMALL)
@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("{agents {id" + " " * 1000 + "}}", "more than 1,000 characters"),
        ("{agents {compute_containers {agent {id}}}}", "more than 3 levels"),
        ("{agents {" + "id " * 10 + "}}", "more than 10 fields"),
        ("{...A} " + FRAGMENTS + " fragment D on Query {agents {id}}", "more than 10 fields"),
        ("{a: agents {id} b: agents {id} c: agents {id} d: agents {id}}", "more than 3 fields at"),
        ("{... {agents {id}} ... {b: agents {id} c: agents {id} d: agents {id}}}", "fields at its"),
    ],
)
async def test_query_that_asks_for_too_much(session: Raw, query: str, said: str) -> None:
    answer = await asked(session, query)
    assert (answer.status, answer.kind) == (400, "graphql-error")
    assert said in answer.json()["msg"]
    assert (await asked(session, "{agents {id status} users {id}}")).status == 200


@limited(query=SMALL)
async def test_query_whose_variables_are_too_large(session: Raw) -> None:
    answer = await asked(session, "{agents {id}}", unused="x" * 2000)
    assert (answer.status, answer.kind) == (400, "invalid-api-params")
    assert "more than 2,000 bytes" in answer.json()["msg"]


@pytest.mark.parametrize(
    "query",
    [
        "{" + "agents {" * 300 + "}" * 301,
        "{agents(status: " + "[" * 3000 + "]" * 3000 + ") {id}}",
        "{...A} fragment A on Query {...B} fragment B on Query {...A}",
        "{...A} " + "".join(f"fragment F{n} on Query {{...F{n + 1}}} " for n in range(2000)),
    ],
)
async def test_query_without_end(session: Raw, query: str) -> None:
    answer = await asked(session, query)
    assert (answer.status, answer.kind) == (400, "graphql-error")


async def test_graphiql_gets_the_schema(session: Raw) -> None:
    """The longest query that anybody sends."""
    from graphql import get_introspection_query

    answer = await asked(session, get_introspection_query())
    assert answer.status == 200
    assert len(answer.json()["__schema"]["types"]) > 30
