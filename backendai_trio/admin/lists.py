"""Queries of the admin API (GraphQL). An ordinary key pair sees only its own objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import trio

from ..errors import ApiError, LocalProtocolError
from ..transport.client import Client
from ..transport.graphql import ask
from ..transport.own_account import own_access_key
from ..transport.retry import is_refusal
from ..wire.admin_lists import Kind, SessionRow, listing, only_living
from ..wire.graphql import GraphQLQuery
from ..wire.http import Request
from ..wire.json_fields import decode_json
from ..wire.kernel_states import LIVE

__all__ = ["authorize", "list_kernels", "list_rows", "lists_everybody", "query"]

_PAGE = 100


async def query(
    client: Client, query: str, variables: Mapping[str, Any] | None = None
) -> Mapping[str, Any]:
    """Send a GraphQL query.

    Args:
        client: of the server.
        query: the text of the query.
        variables: JSON values by name.

    Returns:
        The data object, without the envelope of newer servers.

    Raises:
        ApiError: the query is wrong, or asks for something that the key pair may not see.
        ConnectionFailed: the server cannot be reached.

    Endpoint: ``POST /admin/gql``; before 20.09.21 ``/admin/graphql`` (docs/protocol.md,
    section 8.1).
    """
    return await ask(client, GraphQLQuery(query, variables or {}))


async def list_kernels(
    client: Client,
    *,
    status: str | None = "RUNNING",
    access_key: str | None = None,
    everybody: bool = False,
    limit: int | None = None,
    offset: int = 0,
    filter: str = "",
    order: str = "",
) -> list[SessionRow]:
    """List the kernels of a key pair, newest first.

    Args:
        client: of the server.
        status: such as ``RUNNING`` or ``TERMINATED``, several with commas on managers from 19.09
            on; ``LIVE`` for all that have not ended (before 19.09 those that run); None for all.
        access_key: of another key pair; None for one's own.
        everybody: whether those of all key pairs are listed that one may see.
        limit: kernels at most; None for all.
        offset: kernels to leave out at the beginning.
        filter: a condition that the server applies, as for `list_rows`.
        order: columns to sort by, as for `list_rows`.

    Returns:
        The kernels.

    Raises:
        LocalProtocolError: the server's release takes no such filter or order, or is older than
            19.03 and lists one key pair's kernels at a time.
        ApiError: the key pair may not see them, or the server does not tell which key pair it is:
            no list is better than one with the kernels of others.
        ConnectionFailed: the server cannot be reached.

    Endpoint: GraphQL ``compute_session_list``; before 19.03 ``compute_sessions``
    (docs/protocol.md, sections 8.2 and 8.3).
    """
    await trio.lowlevel.checkpoint()
    question = listing("sessions", client.era, client.hello)
    if everybody and not lists_everybody(client):
        raise LocalProtocolError(
            "servers before 19.03 list the sessions of one key pair: your own, without --all "
            "(everybody), or those of --access-key (access_key)"
        )
    if access_key is None and not everybody:
        access_key = await own_access_key(client)
    given = {"status": None if status == LIVE else status, "access_key": access_key}
    arguments: Mapping[str, str] = {
        name: value for name, value in given.items() if value is not None
    }
    whole = filter
    if status == LIVE:
        arguments, whole = only_living(question, client.era, arguments, filter)
    try:
        rows = await list_rows(
            client, "sessions", arguments, limit=limit, offset=offset, filter=whole, order=order
        )
    except ApiError as exc:
        if filter == whole or not filter or not is_refusal(exc):
            raise
        refusal = exc
    else:
        return [SessionRow.decode(row) for row in rows]
    # The server's words are about the whole filter; it refuses the caller's in its own.
    await list_rows(client, "sessions", arguments, limit=1, filter=filter)
    raise refusal


def lists_everybody(client: Client) -> bool:
    """Whether the server lists the kernels of several key pairs at a time: from 19.03 on.

    Args:
        client: of the server.
    """
    return listing("sessions", client.era, client.hello).paged


async def list_rows(
    client: Client,
    kind: Kind,
    arguments: Mapping[str, str] | None = None,
    *,
    fields: Sequence[str] = (),
    limit: int | None = None,
    offset: int = 0,
    filter: str = "",
    order: str = "",
) -> list[Mapping[str, Any]]:
    """List objects of one kind that the key pair may see.

    Args:
        client: of the server.
        kind: such as ``"agents"`` or ``"images"``; `KINDS` has all.
        arguments: of the list itself, such as ``{"status": "ALIVE"}``.
        fields: names of columns, or of further fields that the server has; empty for the usual
            columns.
        limit: rows at most; None for all.
        offset: rows to leave out at the beginning.
        filter: a condition that the server applies, such as ``name contains "lab"``
            (docs/protocol.md, section 8.3): on managers from 20.09.21 on, for lists that they give
            in pages.
        order: columns that the server sorts by, such as ``-created_at,+name``: on managers from
            19.03 on, for such lists; up to 20.09.20 one column.

    Returns:
        One mapping of JSON values for each object. Their keys are `fields`, or the same for all
        servers: a value that the server does not have is None.

    Raises:
        LocalProtocolError: there is no such kind, servers of this era do not list it, or not with
            these arguments, fields, filter or order.
        ApiError: the key pair may not see them, or the server has no such field or column.
        ConnectionFailed: the server cannot be reached.

    Endpoint: GraphQL (docs/protocol.md, sections 8.2 and 8.3).
    """
    await trio.lowlevel.checkpoint()
    if offset < 0 or (limit is not None and limit < 1):
        raise LocalProtocolError(
            f"there is no list of {limit} rows from {offset} on: a limit is 1 or more, an offset 0"
        )
    question = listing(kind, client.era, client.hello)
    if fields:
        question = question.selected(fields)
    rows: list[Mapping[str, Any]] = []
    while limit is None or len(rows) < limit:
        size = _PAGE if limit is None else min(_PAGE, limit - len(rows))
        query = question.query(
            offset=offset + len(rows), limit=size, arguments=arguments, filter=filter, order=order
        )
        try:
            data = await ask(client, query)
        except ApiError as exc:
            if question.own is None or not is_refusal(exc):
                raise
            question = question.own
            continue
        page, total = question.decode(data)
        if not question.paged:
            return list(page)[offset:][:limit]
        rows += page
        if not page or offset + len(rows) >= total:
            break
    return rows


async def authorize(client: Client) -> timedelta | None:
    """Let the server check the key pair and the signature.

    Args:
        client: of the server.

    Returns:
        How far the server's clock is ahead of the local one; None if its reply has no date.

    Raises:
        AuthError: it refuses them, perhaps since the clocks differ by more than 15 minutes.
        RemoteProtocolError: what answers is not a server of this kind.
        ConnectionFailed: the server cannot be reached.

    Endpoint: ``POST /auth``; in the seed era ``GET /v2/authorize``, or ``POST /v2/auth/test`` from
    1.3 on (docs/protocol.md, section 9).
    """
    body = {"echo": "hello"}
    if client.era.prefix:
        request = Request.of_json("GET", client.era.path("authorize"), body)
    else:
        request = Request.of_json("POST", "/auth", body)
    try:
        reply = await client.call(request)
    except ApiError as exc:
        # Managers from 1.3 on redirect, whoever asks.
        if not client.era.prefix or exc.status >= 400:
            raise
        reply = await client.call(Request.of_json("POST", client.era.path("auth", "test"), body))
    decode_json(reply.body, f"answer to {request}")
    try:
        return parsedate_to_datetime(reply.headers.get("date", "")) - datetime.now(UTC)
    except (TypeError, ValueError):  # no date, a malformed one, or one without a zone
        return None
