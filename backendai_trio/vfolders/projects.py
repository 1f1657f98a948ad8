"""The projects that own virtual folders."""

from __future__ import annotations

import trio

from ..transport.client import Client
from ..transport.projects import project_id

__all__ = ["project_key"]


async def project_key(client: Client, project: str) -> str:
    """What stands for a project in requests that make folders: its id on managers from 26.3 on.

    Args:
        client: of the server.
        project: its name or id.

    Raises:
        LocalProtocolError, NotFound, ApiError, ConnectionFailed: as for `project_id`.

    Endpoint: ``POST /admin/gql`` (docs/protocol.md, sections 7.3 and 8.3).
    """
    if not client.hello.takes_project_ids_only:
        await trio.lowlevel.checkpoint()
        return project
    return await project_id(client, project)
