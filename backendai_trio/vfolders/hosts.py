"""Where virtual folders can be made, and for whom."""

from __future__ import annotations

import trio

from ..errors import LocalProtocolError, NotFound
from ..transport.client import Client
from ..transport.projects import project_id
from ..wire.http import UNKNOWN_ROUTE, Request
from ..wire.vfolder_requests import StorageHosts, decode_types

__all__ = ["list_folder_types", "list_hosts"]


async def list_hosts(client: Client, *, project: str | None = None) -> StorageHosts:
    """List the storage hosts on which the key pair may make folders.

    Args:
        client: of the server.
        project: name or id of a project whose folders are meant; None for all that the user may
            use. Managers before 20.09 do not tell them apart.

    Returns:
        The hosts, and the one that is used when none is named.

    Raises:
        LocalProtocolError: a manager before 19.03, which has one host and does not name it; or
            several projects have that name.
        NotFound: there is no such project.
        ApiError, ConnectionFailed: the request failed.

    Endpoint: ``GET /folders/_/hosts`` (manager 19.03; docs/protocol.md, section 7.3).
    """
    query: tuple[tuple[str, str], ...] = ()
    if project is not None and client.era.folder_transfer == "proxy":
        query = (("group_id", await project_id(client, project)),)
    return StorageHosts.decode(await _ask(client, "hosts", query))


async def list_folder_types(client: Client) -> tuple[str, ...]:
    """List whose folders the server has: ``user``, ``group`` (projects) or both.

    Args:
        client: of the server.

    Returns:
        The kinds of owners.

    Raises:
        LocalProtocolError: a manager before 19.09, which does not tell.
        ApiError, ConnectionFailed: the request failed.

    Endpoint: ``GET /folders/_/allowed-types`` (manager 19.09; docs/protocol.md, section 7.3).
    """
    # The older spelling is known to all releases.
    return decode_types(await _ask(client, "allowed_types", ()))


async def _ask(client: Client, what: str, query: tuple[tuple[str, str], ...]) -> bytes:
    error = LocalProtocolError(
        "this server does not tell where folders are kept (managers do from 19.03 on, and for whom "
        "from 19.09 on)"
    )
    if client.era.prefix or client.era.folder_files_in_parts:
        await trio.lowlevel.checkpoint()
        raise error
    try:
        return (
            await client.call(Request("GET", client.era.path("folders", "_", what), query))
        ).body
    except NotFound as exc:
        if exc.kind in UNKNOWN_ROUTE and not client.hello.features:
            raise error from exc
        raise
