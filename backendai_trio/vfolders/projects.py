"""The projects that may own virtual folders."""

from __future__ import annotations

from uuid import UUID

import trio

from ..errors import NotFound
from ..transport.client import Client
from ..wire.graphql import GraphQLQuery, decode_answer
from ..wire.http import JSON, Request
from ..wire.json_fields import Fields

__all__ = ["is_same_id", "known_project_id", "project_id"]

_QUERY = "query($name: String!) { groups_by_name(name: $name) { id } }"
_IDS_ONLY_SINCE = (26, 3)


async def project_id(client: Client, project: str) -> str:
    """What names a project in requests about folders: its id on managers from 26.3 on.

    Args:
        client: of the server.
        project: its name or id.

    Raises:
        NotFound: there is no project of the name, or there are several.
        ApiError, ConnectionFailed: the request failed.

    Endpoint: ``POST /admin/gql`` (docs/protocol.md, sections 7.3 and 8.3).
    """
    if client.hello.release < _IDS_ONLY_SINCE:
        await trio.lowlevel.checkpoint()
        return project
    return await known_project_id(client, project)


async def known_project_id(client: Client, project: str) -> str:
    """The id of a project, also on servers that take names in requests to make folders.

    Args:
        client: of the server.
        project: its name or id.

    Raises:
        NotFound: there is no project of the name, or there are several.
        ApiError, ConnectionFailed: the request failed.

    Endpoint: as for `project_id`.
    """
    if _is_uuid(project):
        await trio.lowlevel.checkpoint()
        return project
    path = client.era.graphql_path
    query = GraphQLQuery(_QUERY, {"name": project})
    reply = await client.call(Request("POST", path, (), query.encode(), JSON))
    data = Fields(decode_answer(reply.body, f"POST {path}"), "projects")
    found = [Fields(item, "project").text("id") for item in data.items("groups_by_name")]
    if len(found) != 1:
        how_many = "there is no project" if not found else f"there are {len(found)} projects"
        raise NotFound(
            404,
            title=f"{how_many} {project!r} that you may use; name it by its id",
            request=f"POST {path}",
        )
    return found[0]


def is_same_id(one: str, other: str) -> bool:
    """Whether two texts are the same UUID, with dashes or without.

    Args:
        one: a UUID, or any text.
        other: likewise.
    """
    return _is_uuid(one) and _is_uuid(other) and UUID(one) == UUID(other)


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
