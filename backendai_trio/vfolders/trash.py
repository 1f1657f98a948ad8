"""The end of a virtual folder, and the trash that managers have from 24.03 on.

Methods of `TrioVFolder`.
"""

from __future__ import annotations

import trio

from ..errors import InvalidRequest, LocalProtocolError, NotFound, ServerError
from ..transport.client import Client
from ..transport.retry import backoff
from ..wire.http import Request
from ..wire.resumable import RESUMABLE_STREAMS
from ..wire.vfolders import IN_USE
from .listing import info, list_vfolders
from .reference import VFolderReference, path_of

__all__ = ["delete", "purge", "refuse_name_in_trash", "restore"]


async def delete(folder: VFolderReference, *, purge: bool = False) -> None:
    """Delete the folder with all its content.

    Managers from 24.03 on move it to the trash: it is still listed, with status
    ``delete-pending``, and keeps its name and its quota until `purge`; `restore` brings it
    back. On other servers it is gone at once.

    A manager refuses while a session has the folder mounted, and a session may still be ending when
    its destroy was answered, so a refusal is final only after the grace time.

    Args:
        purge: whether a folder that has moved to the trash is removed from there, too.

    Raises:
        InvalidRequest: a kernel has it mounted.
        NotFound: there is no such folder, or it is in the trash already.
        ApiError, ConnectionFailed: the request failed.

    Endpoint: ``DELETE /folders/{name}`` (manager 1.0.3), ``DELETE /folders`` with an id
    (manager 24.03; docs/protocol.md, sections 7.3 and 7.5).
    """
    if not folder.client.hello.has_trash:
        await _delete_unmounted(folder, Request("DELETE", path_of(folder)))
        return
    # By name, an administrator's request would search the folders of all users.
    folder_id = await _listed_id(folder, in_trash=False)
    await _delete_unmounted(folder, _id_request(folder, "DELETE", (), folder_id))
    if purge:
        await _purge(folder, folder_id)


async def restore(folder: VFolderReference) -> None:
    """Take the folder out of the trash.

    Raises:
        NotFound: the trash has no such folder.
        LocalProtocolError: the server has no trash.
        ApiError, ConnectionFailed: the request failed.

    Endpoint: ``POST /folders/restore-from-trash-bin`` (manager 24.03; docs/protocol.md,
    section 7.5).
    """
    await _check_trash(folder)
    folder_id = await _listed_id(folder, in_trash=True)
    request = _id_request(folder, "POST", ("restore-from-trash-bin",), folder_id)
    await folder.client.call(request)


async def purge(folder: VFolderReference) -> None:
    """Remove the folder in the trash for good: its files are deleted, and its name is free.

    The server deletes the files in the background; this waits for it, for the grace time at most.

    Raises:
        NotFound: the trash has no such folder; `delete` it first.
        LocalProtocolError: the server has no trash.
        ServerError: the server could not delete the files.
        ApiError, ConnectionFailed: the request failed.

    Cancellation:
        The files may be deleted all the same.

    Endpoint: ``POST /folders/delete-from-trash-bin`` (manager 24.03; docs/protocol.md,
    section 7.5).
    """
    await _check_trash(folder)
    await _purge(folder, await _listed_id(folder, in_trash=True))


async def refuse_name_in_trash(client: Client, name: str, refusal: InvalidRequest) -> None:
    """Explain a server's refusal of a name, if a deleted folder has it.

    Args:
        client: of the server.
        name: of the folder that was to get it.
        refusal: the server's.

    Raises:
        InvalidRequest: a deleted folder has the name.
        ApiError, ConnectionFailed: the folders cannot be listed.
    """
    if not client.hello.has_trash:
        await trio.lowlevel.checkpoint()
        return
    if not any(row.name == name and row.keeps_name for row in await list_vfolders(client)):
        return
    raise InvalidRequest(
        refusal.status,
        kind=refusal.kind,
        title=f"the name is taken by a deleted virtual folder {name!r} in the trash; bring it back "
        "('backend.ai vfolder restore'), or free its name ('backend.ai vfolder purge')",
        request=refusal.request,
    ) from refusal


async def _delete_unmounted(folder: VFolderReference, request: Request) -> None:
    """Delete a folder as soon as the sessions that end have ended."""
    client = folder.client
    # Our own gateway answers a destroy when the kernel has ended.
    seconds = 0.0 if client.has(RESUMABLE_STREAMS) else client.config.grace_seconds
    give_up = trio.current_time() + seconds
    pauses = backoff(0.2, longest=1.0)
    while True:
        try:
            await client.call(request)
            return
        except InvalidRequest as exc:
            if IN_USE not in exc.reason:
                raise
            if trio.current_time() > give_up:
                raise InvalidRequest(
                    exc.status,
                    kind=exc.kind,
                    title=f"The virtual folder {folder.name!r} is mounted in a session that runs, "
                    "or is still ending. End it ('backend.ai ps' and 'backend.ai rm'), and delete "
                    "the folder then",
                    request=str(request),
                ) from exc
        await trio.sleep(next(pauses))


async def _purge(folder: VFolderReference, folder_id: str) -> None:
    client = folder.client
    request = _id_request(folder, "POST", ("delete-from-trash-bin",), folder_id)
    await client.call(request)
    with trio.move_on_after(client.config.grace_seconds):
        for pause in backoff(0.1, longest=1.0):
            rows = [row for row in await list_vfolders(client) if row.folder_id == folder_id]
            if not rows or rows[0].status == "delete-complete":
                return
            if rows[0].status == "delete-error":
                raise ServerError(
                    500,
                    title=f"the files of the virtual folder {folder.name!r} could not be deleted",
                    request=str(request),
                )
            await trio.sleep(pause)


async def _check_trash(folder: VFolderReference) -> None:
    await trio.lowlevel.checkpoint()
    if not folder.client.hello.has_trash:
        raise LocalProtocolError(
            "this server has no trash (managers have that from 24.03 on): a deleted folder is gone"
        )


async def _listed_id(folder: VFolderReference, *, in_trash: bool) -> str:
    """The folder's id, looked up in the key pair's own listing."""
    rows = [
        row
        for row in await list_vfolders(folder.client)
        if folder.name in (row.name, row.folder_id)
        and (row.is_in_trash if in_trash else row.is_usable)
    ]
    if not rows:
        # Folders of projects are not in it. The server's own search by name finds them, and for an
        # administrator also those of other users.
        try:
            found = await info(folder)
        except NotFound:
            found = None
        if found is not None and found.is_owner:
            rows = [found] if (found.is_in_trash if in_trash else found.is_usable) else []
    if not rows:
        where = "the trash has no" if in_trash else "there is no"
        raise NotFound(404, title=f"{where} virtual folder {folder.name!r}", request="GET /folders")
    # Another user's folder of the same name, which is shared, comes second.
    return max(rows, key=lambda row: row.is_owner).folder_id


def _id_request(
    folder: VFolderReference, method: str, tail: tuple[str, ...], folder_id: str
) -> Request:
    path = folder.client.era.path("folders", *tail)
    return Request.of_json(method, path, {"id": folder_id})
