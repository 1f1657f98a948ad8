"""Ids for the names that people use."""

from __future__ import annotations

import re

from ..errors import LocalProtocolError, NotFound
from ..transport.client import Client
from ..wire.graphql import GraphQLQuery
from ..wire.json_fields import Fields
from .requests import ask

__all__ = ["project_id", "unknown", "user_id"]

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_PROJECTS = GraphQLQuery("query { groups { id name domain_name } }", {})
_USER = "query($email: String!) { user(email: $email) { uuid } }"


async def project_id(client: Client, project: str, domain: str = "") -> str:
    """The id of a project.

    Args:
        client: of the server.
        project: its name, or its id, which is not looked up.
        domain: whose project it is; empty for any.

    Raises:
        LocalProtocolError: several have that name.
        NotFound: none has, or the key pair may not see it.
        ApiError, ConnectionFailed: as for `Client.call`.
    """
    if _UUID.fullmatch(project):
        return project
    rows = Fields(await ask(client, _PROJECTS), "projects").items("groups")
    found = {}
    for row in (Fields(item, "project") for item in rows):
        name, home = row.text("name"), row.text("domain_name", default="")
        if name == project and domain in ("", home):
            found[row.text("id")] = home
    if not found:
        raise unknown("project", project)
    if len(found) > 1:
        ids = ", ".join(f"{key} (domain {home})" for key, home in found.items())
        raise LocalProtocolError(f"several projects are called {project}; give an id: {ids}")
    return next(iter(found))


async def user_id(client: Client, user: str) -> str:
    """The id of a user.

    Args:
        client: of the server.
        user: its email address, or its id, which is not looked up.

    Raises:
        NotFound: there is none.
        ApiError, ConnectionFailed: as for `Client.call`.
    """
    if _UUID.fullmatch(user):
        return user
    data = await ask(client, GraphQLQuery(_USER, {"email": user}))
    found = Fields(data, "user").nested("user").raw("uuid")
    if not isinstance(found, str):
        raise unknown("user", user)
    return found


def unknown(noun: str, key: str) -> NotFound:
    """The error for an object that is not there.

    Args:
        noun: what it is.
        key: which one.
    """
    return NotFound(404, title=f"there is no {noun} {key}")
