"""Who asks: the key pair and the projects that the server sees, found out once for a client."""

from __future__ import annotations

import math

import trio

from ..wire.admin_lists import listing
from ..wire.graphql import GraphQLQuery
from ..wire.json_fields import Fields
from ..wire.own_projects import OwnProjects, own_projects_query
from .client import Client
from .graphql import ask

__all__ = ["known_projects", "own_access_key", "own_projects"]

_OWN_KEY_PAIR = GraphQLQuery("{ keypair { access_key } }", {})


class _Account:
    """What was found out for a client."""

    def __init__(self) -> None:
        self.lock = trio.Lock()
        """Of tasks that want to know at the same time, one asks."""
        self.access_key = ""
        self.projects: OwnProjects | None = None
        self.projects_asked_at = -math.inf


async def own_access_key(client: Client) -> str | None:
    """The access key that the server sees; None where its lists have no others anyway.

    Managers from 19.03 on list the sessions of all key pairs for a superadministrator who names
    none. The key of the client's settings is not it: a proxy or a web server may sign with another
    one.

    Args:
        client: of the server.

    Raises:
        ApiError: the server does not say.
        RemoteProtocolError: it knows of none.
        ConnectionFailed: it could not be reached.

    Endpoint: GraphQL ``keypair`` (docs/protocol.md, section 8.3).
    """
    known = client.extension(_Account)
    if client.hello.features or not listing("sessions", client.era).paged:
        await trio.lowlevel.checkpoint()
        return None
    async with known.lock:
        if not known.access_key:
            found = Fields(await ask(client, _OWN_KEY_PAIR, repeat=True), "own key pair")
            known.access_key = found.nested("keypair").text("access_key")
    return known.access_key


async def own_projects(client: Client, *, since: float = -math.inf) -> OwnProjects:
    """The user's domain, and the projects there.

    Args:
        client: of the server.
        since: on Trio's clock; what was asked for before is too old.

    Raises:
        ApiError: the server has no such query, does not answer this user, or failed.
        RemoteProtocolError: the reply is malformed.
        ConnectionFailed: the server could not be reached.

    Endpoint: GraphQL ``user`` (docs/protocol.md, section 8.3).
    """
    known = client.extension(_Account)
    async with known.lock:
        if known.projects is None or known.projects_asked_at < since:
            asked_at = trio.current_time()
            answer = await ask(client, own_projects_query(client.hello), repeat=True)
            known.projects = OwnProjects.decode(answer)
            known.projects_asked_at = asked_at
        return known.projects


def known_projects(client: Client) -> OwnProjects | None:
    """What `own_projects` has found out; None before.

    Args:
        client: of the server.
    """
    return client.extension(_Account).projects
