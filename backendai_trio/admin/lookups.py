"""Ids for the names that people use."""

from __future__ import annotations

import trio

from ..errors import NotFound
from ..transport.client import Client
from ..transport.graphql import ask
from ..wire.admin_kinds import MANAGED_KINDS, kind_of
from ..wire.graphql import GraphQLQuery
from ..wire.json_fields import Fields
from ..wire.uuids import is_uuid

__all__ = ["unknown", "user_id"]

_USER = "query($email: String!) { user(email: $email) { uuid } }"


async def user_id(client: Client, user: str) -> str:
    """The id of a user.

    Args:
        client: of the server.
        user: its email address, or its id, which is not looked up.

    Raises:
        NotFound: there is none.
        ApiError, ConnectionFailed: as for `Client.call`.
    """
    if is_uuid(user):
        await trio.lowlevel.checkpoint()
        return user
    data = await ask(client, GraphQLQuery(_USER, {"email": user}))
    found = Fields(data, "user").nested("user").raw("uuid")
    if not isinstance(found, str):
        raise unknown("user", user)
    return found


def unknown(noun: str, key: str) -> NotFound:
    """The error for an object that is not there.

    Args:
        noun: what it is; that of a `ManagedKind`.
        key: which one.
    """
    error = NotFound(404, title=f"there is no {noun} {key!r}")
    name = next(name for name in MANAGED_KINDS if kind_of(name).noun == noun)
    error.advice = f"'backend.ai admin {name}' lists those that you may see"
    return error
