"""The end of a virtual folder, and the trash that managers have from 24.03 on.

Methods of `TrioVFolder`.
"""

from __future__ import annotations

from ..errors import LocalProtocolError, NotFound
from ..wire.http import Request
from .listing import list_vfolders
from .reference import VFolderReference, path_of

__all__ = ["delete", "purge", "restore"]


async def delete(folder: VFolderReference) -> None:
    """Delete the folder with all its content.

    Managers from 24.03 on move it to the trash: it is still listed, with status
    ``delete-pending``, and keeps its name and its quota until `purge`; `restore` brings it
    back. On other servers it is gone at once.

    Raises:
        InvalidRequest: a kernel has it mounted.
        NotFound: there is no such folder, or it is in the trash already.
        ApiError, ConnectionFailed: the request failed.

    Endpoint: ``DELETE /folders/{name}`` (manager 1.0.3), ``DELETE /folders`` with an id
    (manager 24.03; docs/protocol.md, sections 7.3 and 7.5).
    """
    if folder.client.hello.has_trash:
        # By name, an administrator's request would search the folders of all users.
        await _send_id(folder, "DELETE", (), await _listed_id(folder, in_trash=False))
    else:
        await folder.client.call(Request("DELETE", path_of(folder)))


async def restore(folder: VFolderReference) -> None:
    """Take the folder out of the trash.

    Raises:
        NotFound: the trash has no such folder.
        LocalProtocolError: the server has no trash.
        ApiError, ConnectionFailed: the request failed.

    Endpoint: ``POST /folders/restore-from-trash-bin`` (manager 24.03; docs/protocol.md,
    section 7.5).
    """
    await _from_trash(folder, "restore-from-trash-bin")


async def purge(folder: VFolderReference) -> None:
    """Remove the folder in the trash for good: its files are deleted, and its name is free.

    Raises:
        NotFound: the trash has no such folder; `delete` it first.
        LocalProtocolError: the server has no trash.
        ApiError, ConnectionFailed: the request failed.

    Endpoint: ``POST /folders/delete-from-trash-bin`` (manager 24.03; docs/protocol.md,
    section 7.5).
    """
    await _from_trash(folder, "delete-from-trash-bin")


async def _from_trash(folder: VFolderReference, action: str) -> None:
    if not folder.client.hello.has_trash:
        raise LocalProtocolError(
            "this server has no trash (managers have from 24.03 on): a deleted folder is gone"
        )
    await _send_id(folder, "POST", (action,), await _listed_id(folder, in_trash=True))


async def _listed_id(folder: VFolderReference, *, in_trash: bool) -> str:
    """The folder's id, looked up in the key pair's own listing."""
    rows = [
        row
        for row in await list_vfolders(folder.client)
        if folder.name in (row.name, row.folder_id)
        and (row.is_in_trash if in_trash else row.is_usable)
    ]
    if not rows:
        where = "the trash has no" if in_trash else "there is no"
        raise NotFound(404, title=f"{where} virtual folder {folder.name!r}", request="GET /folders")
    # Another user's folder of the same name, which is shared, comes second.
    return max(rows, key=lambda row: row.is_owner).folder_id


async def _send_id(
    folder: VFolderReference, method: str, tail: tuple[str, ...], folder_id: str
) -> None:
    path = folder.client.era.path("folders", *tail)
    await folder.client.call(Request.of_json(method, path, {"id": folder_id}))
