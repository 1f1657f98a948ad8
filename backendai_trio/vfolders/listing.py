"""The list of the virtual folders on a server, and what it says of one of them.

`info` is a method of `TrioVFolder`.
"""

from __future__ import annotations

import trio

from ..errors import LocalProtocolError
from ..transport.client import Client
from ..transport.projects import project_id
from ..wire.http import Request
from ..wire.json_fields import Fields, decode_json
from ..wire.uuids import is_same_uuid
from ..wire.vfolders import VFolderInfo
from .reference import VFolderReference, path_of

__all__ = ["info", "list_vfolders"]


async def list_vfolders(client: Client, *, project: str | None = None) -> list[VFolderInfo]:
    """List the folders that the key pair may use.

    Args:
        client: of the server.
        project: name or id of a project whose folders are meant. Without it, managers from 24.03 on
            list no folders of projects.

    Returns:
        Their descriptions. Those in the trash are among them, see `VFolderInfo.status`.

    Raises:
        NotFound: there is no such project.
        LocalProtocolError: a manager before 20.09, which does not list by project; or several
            projects have that name.
        ApiError, ConnectionFailed: the request failed.

    Endpoint: ``GET /folders`` (manager 1.0.3; docs/protocol.md, section 7.3).
    """
    if project is not None:
        if client.era.folder_transfer != "proxy":
            await trio.lowlevel.checkpoint()
            raise LocalProtocolError(
                "this server does not list the folders of a project (managers do from 20.09 on)"
            )
        wanted = await project_id(client, project)
        # The answer has the user's own folders, too.
        found = await _listed(client, (("group_id", wanted),))
        return [row for row in found if is_same_uuid(row.project, wanted)]
    return await _listed(client, ())


async def _listed(client: Client, query: tuple[tuple[str, str], ...]) -> list[VFolderInfo]:
    reply = await client.call(Request("GET", client.era.folders_path, query))
    return [VFolderInfo.decode(row) for row in _rows(reply.body)]


async def info(folder: VFolderReference) -> VFolderInfo:
    """Describe the folder.

    Returns:
        Its id, size, permission and more, as far as the server tells.

    Raises:
        NotFound: there is no such folder.
        ApiError, ConnectionFailed: the request failed.

    Endpoint: ``GET /folders/{name}`` (manager 1.0.3; docs/protocol.md, section 7.3).
    """
    reply = await folder.client.call(Request("GET", path_of(folder)))
    return VFolderInfo.decode(decode_json(reply.body, "virtual folder"))


def _rows(body: bytes) -> list[object]:
    rows = decode_json(body, "list of virtual folders")
    return (
        rows if isinstance(rows, list) else Fields(rows, "list of virtual folders").items("items")
    )
