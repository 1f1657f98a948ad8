"""Mutations with plain arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import InvalidRequest, api_error
from ..transport.client import AnswerSeconds, Client
from ..wire.admin_calls import CALLS
from ..wire.administration import decode_outcome, release_of, status_of
from ..wire.graphql import GraphQLQuery, decode_answer
from ..wire.http import JSON, Request
from ..wire.json_fields import Fields

__all__ = ["ask", "send_call"]


async def ask(
    client: Client, question: GraphQLQuery, *, answer_seconds: AnswerSeconds = "ordinary"
) -> Mapping[str, Any]:
    """The data of the reply to a query or mutation.

    Args:
        client: of the server.
        question: what to send.
        answer_seconds: as for `Client.call`.

    Raises:
        ApiError: as for `Client.call`; `NotFound` also where a reply of another status says that
            there is no such object.
        ConnectionFailed: as for `Client.call`.
    """
    path = client.era.graphql_path
    request = Request("POST", path, (), question.encode(), JSON)
    try:
        reply = await client.call(request, answer_seconds=answer_seconds)
        return decode_answer(reply.body, f"POST {path}")
    except InvalidRequest as exc:
        status = status_of(exc.reason)
        if status == exc.status:
            raise
        raise api_error(
            status,
            kind=exc.kind,
            title=exc.title,
            detail=exc.detail,
            data=exc.data,
            request=exc.request,
        ) from None


async def send_call(
    client: Client,
    name: str,
    values: Mapping[str, str],
    *,
    answer_seconds: AnswerSeconds = "ordinary",
) -> Fields:
    """Send a mutation of `CALLS`.

    Args:
        client: of the server.
        name: of the mutation.
        values: of its arguments; empty ones are left out.
        answer_seconds: as for `Client.call`.

    Returns:
        The reply.

    Raises:
        LocalProtocolError: the server's release has no such mutation or argument.
        ApiError: it refuses.
        ConnectionFailed: it cannot be reached.
    """
    call = CALLS[name]
    release = release_of(client.hello, f"way to {call.about}", call.since)
    data = await ask(client, call.query(values, release), answer_seconds=answer_seconds)
    return decode_outcome(data, name)
