"""The list of the virtual folders on a server, and what it says of one of them.

`info` is a method of `TrioVFolder`.
"""

from __future__ import annotations

from ..transport.client import Client
from ..wire.http import Request
from ..wire.json_fields import Fields, decode_json
from ..wire.vfolders import VFolderInfo
from .reference import VFolderReference, path_of

__all__ = ["info", "list_vfolders"]


async def list_vfolders(client: Client) -> list[VFolderInfo]:
    """List the folders that the key pair may use.

    Args:
        client: of the server.

    Returns:
        Their descriptions. Those in the trash are among them, see `VFolderInfo.status`.

    Raises:
        ApiError, ConnectionFailed: the request failed.

    Endpoint: ``GET /folders`` (manager 1.0.3; docs/protocol.md, section 7.3).
    """
    reply = await client.call(Request("GET", client.era.folders_path))
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
