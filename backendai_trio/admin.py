"""Questions to the admin API (GraphQL). An ordinary key pair sees what is its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .transport.client import Client
from .wire.fields import Fields
from .wire.graphql import GraphQLQuery, SessionRow, decode_answer, list_sessions
from .wire.http import JSON, Request

__all__ = ["list_kernels", "query"]

_PAGE = 100


async def query(
    client: Client, query: str, variables: Mapping[str, Any] | None = None
) -> Mapping[str, Any]:
    """Ask a GraphQL query.

    Args:
        client: where to ask.
        query: the question.
        variables: their values, as JSON types.

    Returns:
        The data object; the envelope that newer servers put around it is taken off.

    Raises:
        ApiError: the query is wrong, or asks for what the key pair may not see.

    Endpoint: ``POST /admin/gql``, before 20.09.21 ``/admin/graphql`` (contract section 8.1).
    """
    return await _ask(client, GraphQLQuery(query, variables or {}))


async def list_kernels(client: Client, *, status: str | None = "RUNNING") -> list[SessionRow]:
    """The key pair's kernels, newest first.

    Args:
        client: where to ask.
        status: a status name such as ``RUNNING`` or ``TERMINATED``; None for all.
    """
    rows: list[SessionRow] = []
    while True:
        question, root = list_sessions(client.era, status=status, offset=len(rows), limit=_PAGE)
        answer = Fields(await _ask(client, question), "list of sessions")
        page = answer.raw(root)
        if isinstance(page, list):  # seed servers: all rows at once
            return [SessionRow.decode(row) for row in page]
        listing = answer.nested(root)
        items = [SessionRow.decode(row) for row in listing.items("items")]
        rows += items
        if not items or len(rows) >= listing.integer("total_count", default=0):
            return rows


async def _ask(client: Client, question: GraphQLQuery) -> Mapping[str, Any]:
    path = client.era.graphql_path
    reply = await client.call(Request("POST", path, (), question.encode(), JSON))
    return decode_answer(reply.body, f"POST {path}")
