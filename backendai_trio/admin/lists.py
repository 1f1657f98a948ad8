"""Questions to the admin API (GraphQL). An ordinary key pair sees what is its own."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from ..transport.client import Client
from ..wire.admin_lists import Kind, SessionRow, listing
from ..wire.graphql import GraphQLQuery, decode_answer
from ..wire.http import JSON, Request

__all__ = ["authorize", "list_kernels", "list_rows", "query"]

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


async def list_kernels(
    client: Client, *, status: str | None = "RUNNING", access_key: str | None = None
) -> list[SessionRow]:
    """A key pair's kernels, newest first.

    Args:
        client: where to ask.
        status: a status name such as ``RUNNING`` or ``TERMINATED``; None for all.
        access_key: whose; default: the own ones.
    """
    which = {"status": status, "access_key": access_key}
    arguments = {name: value for name, value in which.items() if value is not None}
    return [SessionRow.decode(row) for row in await list_rows(client, "sessions", arguments)]


async def list_rows(
    client: Client, kind: Kind, arguments: Mapping[str, str] | None = None
) -> list[Mapping[str, Any]]:
    """What the server has of one kind, as far as the key pair may see it.

    Args:
        client: where to ask.
        kind: e.g. ``"agents"`` or ``"images"``; see `backendai_trio.wire.admin_lists`.
        arguments: which ones, e.g. ``{"status": "ALIVE"}``.

    Returns:
        A mapping of JSON values each, with the server's own names. Eras tell different things.

    Raises:
        LocalProtocolError: there is no such list, servers of this era have none, or not by these
            arguments.
        ApiError: the key pair may not see it.
    """
    question = listing(kind, client.era)
    rows: list[Mapping[str, Any]] = []
    while True:
        query = question.query(offset=len(rows), limit=_PAGE, arguments=arguments)
        page, total = question.decode(await _ask(client, query))
        rows += page
        if not page or len(rows) >= total:
            return rows


async def authorize(client: Client) -> timedelta | None:
    """Have the server check the key pair and the signature.

    Returns:
        How far the server's clock is ahead of this machine's; None if it does not tell the time.

    Raises:
        AuthError: it refuses them; more than 15 minutes between the clocks are a reason, too.

    Endpoint: ``POST /auth``, in the seed era ``GET /v2/authorize`` (contract section 9).
    """
    body = {"echo": "hello"}
    if client.era.prefix:
        request = Request.of_json("GET", client.era.path("authorize"), body)
    else:
        request = Request.of_json("POST", "/auth", body)
    reply = await client.call(request)
    try:
        told = parsedate_to_datetime(reply.headers.get("date", ""))
        return told - datetime.now(UTC)
    except (TypeError, ValueError):  # no date, a malformed one, or one without a zone
        return None


async def _ask(client: Client, question: GraphQLQuery) -> Mapping[str, Any]:
    path = client.era.graphql_path
    reply = await client.call(Request("POST", path, (), question.encode(), JSON))
    return decode_answer(reply.body, f"POST {path}")
