"""The id of a project for its name."""

from __future__ import annotations

import trio

from ..errors import LocalProtocolError, NotFound
from ..wire.graphql import GraphQLQuery
from ..wire.json_fields import Fields
from ..wire.uuids import is_uuid
from .client import Client
from .graphql import ask

__all__ = ["project_id"]

_BY_NAME = "query($name: String!) { groups_by_name(name: $name) { id name domain_name } }"
_ALL = GraphQLQuery("query { groups { id name domain_name } }", {})


async def project_id(client: Client, project: str, *, domain: str = "") -> str:
    """The id of a project.

    Args:
        client: of the server.
        project: its name, or its id, which is not looked up.
        domain: whose project it is; empty for any.

    Raises:
        LocalProtocolError: several have that name.
        NotFound: none has, or the key pair may not see it.
        ApiError, ConnectionFailed: as for `ask`.

    Endpoint: GraphQL ``groups_by_name``, before 20.09.21 ``groups`` (docs/protocol.md,
    section 8.3).
    """
    if is_uuid(project):
        await trio.lowlevel.checkpoint()
        return project
    if client.era.graphql_enveloped:
        question, root = GraphQLQuery(_BY_NAME, {"name": project}), "groups_by_name"
    else:
        question, root = _ALL, "groups"
    rows = Fields(await ask(client, question, repeat=True), "projects").items(root)
    found = {}
    for row in (Fields(item, "project") for item in rows):
        home = row.text("domain_name", default="")
        if row.text("name") == project and domain in ("", home):
            found[row.text("id")] = home
    if not found:
        where = f" in the domain {domain}" if domain else ""
        raise NotFound(
            404,
            title=f"there is no project {project}{where} that you may use",
            request=f"POST {client.era.graphql_path}",
        )
    if len(found) > 1:
        ids = ", ".join(f"{key} (domain {home})" for key, home in found.items())
        raise LocalProtocolError(
            f"several projects are called {project}; name one by its id: {ids}"
        )
    return next(iter(found))
