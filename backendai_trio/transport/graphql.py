"""Queries and mutations of the admin API (GraphQL)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from ..errors import InvalidRequest, api_error
from ..wire.graphql import GraphQLQuery, decode_answer, status_of
from ..wire.http import JSON, Request, Response
from ..wire.resumable import RESUMABLE_STREAMS
from .client import Client, WaitSeconds
from .retry import TWO_TRANSACTIONS, RetryPolicy, with_retries

__all__ = ["ask", "call_again"]

_UNNAMED = 400
_ONCE = RetryPolicy(0.0, 0.0, retries=0)
_AGAIN = RetryPolicy(first=0.2, longest=5.0, retries=3, seconds=30.0)
"""Transactions meet for a moment only. Callers that outlast restarts have loops of their own.
`seconds` is for servers that ask for a longer pause (``Retry-After``)."""


async def ask(
    client: Client,
    question: GraphQLQuery,
    *,
    repeat: bool = False,
    head_seconds: WaitSeconds = "ordinary",
) -> Mapping[str, Any]:
    """Send a query or mutation.

    Args:
        client: of the server.
        question: what to send.
        repeat: whether it is sent again after a failure that may pass: right for what changes
            nothing.
        head_seconds: as for `Client.call`.

    Returns:
        The data of the reply, without the envelope of newer servers.

    Raises:
        AuthError, NotFound: as for `Client.call`; also where a reply of another status says in
            words that there is no permission, or no such object.
        ApiError: the server refuses the query as a whole, or failed.
        RemoteProtocolError: the reply is malformed.
        ConnectionFailed: the server could not be reached.

    Endpoint: ``POST /admin/gql``; before 20.09.21 ``/admin/graphql`` (docs/protocol.md,
    section 8.1).
    """
    request = Request("POST", client.era.graphql_path, (), question.encode(), JSON)
    call = call_again if repeat else Client.call
    try:
        reply = await call(client, request, head_seconds=head_seconds)
        return decode_answer(reply.body, str(request))
    except InvalidRequest as exc:
        status = status_of(exc.reason)
        if status in (exc.status, _UNNAMED):
            raise
        raise api_error(
            status,
            kind=exc.kind,
            title=exc.title,
            detail=exc.detail,
            data=exc.data,
            request=exc.request,
        ) from None


async def call_again(
    client: Client, request: Request, *, head_seconds: WaitSeconds = "ordinary"
) -> Response:
    """Send a request that changes nothing, and again after a failure that may pass.

    Managers from 20.09 on are asked up to four times: they answer 500 when two of their
    transactions meet. One that asks for a pause of more than 30 s, and other servers, are asked
    once.

    Args:
        client: of the server.
        request: what to send.
        head_seconds: as for `Client.call`.

    Raises:
        ApiError, ConnectionFailed, RemoteProtocolError: as for `Client.call`, the last time.
    """
    repeats = client.era.takes_ids and not client.has(RESUMABLE_STREAMS)
    return await with_retries(
        partial(client.call, request, head_seconds=head_seconds),
        also=TWO_TRANSACTIONS,
        policy=_AGAIN if repeats else _ONCE,
    )
