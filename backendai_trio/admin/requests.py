"""Mutations with plain arguments."""

from __future__ import annotations

from collections.abc import Mapping

import trio

from ..transport.client import Client, WaitSeconds
from ..transport.graphql import ask
from ..wire.admin_calls import CALLS
from ..wire.administration import decode_outcome, release_of
from ..wire.json_fields import Fields

__all__ = ["send_call"]


async def send_call(
    client: Client,
    name: str,
    values: Mapping[str, str],
    *,
    head_seconds: WaitSeconds = "ordinary",
) -> Fields:
    """Send a mutation of `CALLS`.

    Args:
        client: of the server.
        name: of the mutation.
        values: of its arguments; empty ones are left out.
        head_seconds: as for `Client.call`.

    Returns:
        The reply.

    Raises:
        LocalProtocolError: the server's release has no such mutation or argument.
        ApiError: it refuses.
        ConnectionFailed: it cannot be reached.
    """
    await trio.lowlevel.checkpoint()
    call = CALLS[name]
    release = release_of(client.hello, f"way to {call.about}", call.since)
    data = await ask(client, call.query(values, release), head_seconds=head_seconds)
    return decode_outcome(data, name)
