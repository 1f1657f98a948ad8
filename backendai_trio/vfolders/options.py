"""Options of a virtual folder, and its clones: methods of `TrioVFolder`."""

from __future__ import annotations

from functools import partial

import trio

from ..errors import InvalidRequest, LocalProtocolError, ServerError
from ..transport.client import Client
from ..wire.http import JSON, Request
from ..wire.vfolder_requests import ChangeOptions, Cloned, CloneVFolder
from ..wire.vfolder_sharing import Permission
from .background_task import wait_for_task
from .listing import info, list_vfolders
from .reference import VFolderReference, call_since, path_of, unsupported
from .trash import refuse_name_in_trash

__all__ = ["clone", "update_options"]

_COPIES = frozenset({"performing", "cloning"})
_FAILED = frozenset({"error", "delete-error"})


async def update_options(
    folder: VFolderReference,
    *,
    permission: Permission | None = None,
    cloneable: bool | None = None,
) -> None:
    """Change options of the folder; None leaves one as it is.

    Args:
        permission: what other members of the folder's project may do.
        cloneable: whether the folder may be cloned.

    Raises:
        LocalProtocolError: a manager before 20.09, which cannot change them; or nothing is to be
            changed.
        AuthError: the folder belongs to another user.
        NotFound: there is no such folder.
        ApiError, ConnectionFailed: the request failed.

    Endpoint: ``POST /folders/{name}/update-options`` (manager 20.09; docs/protocol.md,
    section 7.3).
    """
    action = "change the options of a folder"
    if permission is None and cloneable is None:
        await trio.lowlevel.checkpoint()
        raise LocalProtocolError(f"no option of {folder.name!r} is to be changed; name one")
    await _check_proxy_era(folder, action)
    body = ChangeOptions(permission, cloneable).encode()
    request = Request("POST", path_of(folder, "update-options"), (), body, JSON)
    await call_since(folder, request, action, "20.09")


async def clone(
    folder: VFolderReference,
    name: str,
    *,
    host: str | None = None,
    usage_mode: str | None = None,
    permission: Permission = "rw",
    cloneable: bool = False,
) -> str:
    """Copy the folder with all its files to a new one of the user's own, and wait for the copy.

    Args:
        name: of the new folder; see `create_vfolder`.
        host: storage host of the new folder; None for that of this one.
        usage_mode: ``general``, ``data`` or ``model``; None for that of this one.
        permission: of the new folder.
        cloneable: whether the new folder may be cloned.

    Returns:
        The new folder's name.

    Raises:
        LocalProtocolError: a manager before 20.09, which cannot clone folders; the folder's owner
            has not made it cloneable; or the new name cannot name a folder.
        InvalidRequest: the new name is in use.
        NotFound: there is no such folder.
        ServerError: the server could not copy the files.
        ApiError, ConnectionFailed: the request failed.

    Cancellation:
        The copy goes on, on the server.

    Endpoint: ``POST /folders/{name}/clone``, then ``GET /events/background-task`` (manager 20.09;
    docs/protocol.md, sections 6.4 and 7.3).
    """
    await _check_proxy_era(folder, "clone a folder")
    source = await info(folder)
    if not source.cloneable:
        raise LocalProtocolError(
            f"the virtual folder {folder.name!r} may not be cloned; its owner can allow that "
            "('backend.ai vfolder update-options --cloneable')"
        )
    request = CloneVFolder(
        name=name,
        host=host or source.host,
        usage_mode=usage_mode or source.usage_mode,
        permission=permission,
        cloneable=cloneable,
    )
    client = folder.client
    sent = Request("POST", path_of(folder, "clone"), (), request.encode(), JSON)
    try:
        answer = await call_since(folder, sent, "clone a folder", "20.09")
    except InvalidRequest as exc:
        await refuse_name_in_trash(client, name, exc)  # noqa: ASYNC120 (as it should)
        raise
    reply = Cloned.decode(answer.body)
    is_done = partial(_is_copied, client, name, source.folder_id, str(sent))
    await wait_for_task(client, reply.task_id, is_done=is_done)
    return name


async def _is_copied(client: Client, name: str, source_id: str, request: str) -> bool:
    """Whether a clone is there, and nothing is copied any more."""
    rows = await list_vfolders(client)
    copies = [row for row in rows if row.name == name and row.is_usable]
    if any(row.status in _FAILED for row in copies):
        raise ServerError(
            500, title=f"the files could not be copied to the folder {name!r}", request=request
        )
    # The state of a copy in progress is that of the source up to 23.09.
    busy = [row for row in rows if row.folder_id == source_id and row.status in _COPIES]
    return bool(copies) and not busy and all(row.status not in _COPIES for row in copies)


async def _check_proxy_era(folder: VFolderReference, action: str) -> None:
    if folder.client.era.folder_transfer != "proxy":
        await trio.lowlevel.checkpoint()
        raise unsupported(folder, action, "20.09")
