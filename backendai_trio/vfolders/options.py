"""Options of a virtual folder, and its clones: methods of `TrioVFolder`."""

from __future__ import annotations

from collections.abc import Sequence

import trio

from ..errors import BackendError, InvalidRequest, LocalProtocolError, ServerError
from ..transport.background_tasks import wait_for_task
from ..transport.client import Client
from ..transport.retry import TWO_TRANSACTIONS, is_transient
from ..wire.http import JSON, Request
from ..wire.uuids import is_same_uuid
from ..wire.vfolder_requests import ChangeOptions, Cloned, CloneVFolder
from ..wire.vfolder_sharing import Permission
from ..wire.vfolders import VFolderInfo
from .listing import info, list_vfolders
from .reference import VFolderReference, call_since, path_of, unsupported
from .trash import refuse_name_in_trash

__all__ = ["CopyWatch", "clone", "update_options"]

_COPIES = frozenset({"performing", "cloning"})
_FAILED = "error"


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
        ServerError: the server could not copy the files, or has not listed the new folder for a
            minute.
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
    copy = CopyWatch(client, name, reply.folder_id, source.folder_id, str(sent))
    await wait_for_task(client, reply.task_id, is_done=copy.is_done)
    return name


class CopyWatch:
    """A clone on its way, as the list of folders shows it.

    Args:
        client: of the server.
        name: of the new folder.
        folder_id: of the new folder; empty if the server does not tell.
        source_id: of the folder that is copied.
        request: that for the clone, for errors.
        unlisted_seconds: for how long the folder may not be listed, or the list not be given.
    """

    def __init__(
        self,
        client: Client,
        name: str,
        folder_id: str,
        source_id: str,
        request: str,
        *,
        unlisted_seconds: float = 60.0,
    ) -> None:
        self._client = client
        self._name = name
        self._folder_id = folder_id
        self._source_id = source_id
        self._request = request
        self._unlisted_seconds = unlisted_seconds
        self._was_listed = False
        self._unlisted_since: float | None = None

    async def is_done(self) -> bool:
        """Whether the new folder is there, and nothing is copied any more.

        Raises:
            ServerError: the server could not copy the files, or does not list the folder.
            ApiError, ConnectionFailed: it does not give the list.
        """
        if self._unlisted_since is None:
            self._unlisted_since = trio.current_time()
        is_late = trio.current_time() > self._unlisted_since + self._unlisted_seconds
        try:
            rows = await list_vfolders(self._client)
        except BackendError as exc:
            if is_late or not is_transient(exc, also=TWO_TRANSACTIONS):
                raise
            return False
        copy = self._found_in(rows)
        if copy is None:
            if self._was_listed or is_late:
                raise self._failure("the server does not list it")
            return False
        if copy.status == _FAILED or not copy.is_usable:
            raise self._failure(f"its state is {copy.status}")
        self._was_listed, self._unlisted_since = True, None
        # The state of a copy in progress is that of the source up to 23.09.
        return not any(
            row.status in _COPIES
            and any(_is_same(row.folder_id, known) for known in (copy.folder_id, self._source_id))
            for row in rows
        )

    def _found_in(self, rows: Sequence[VFolderInfo]) -> VFolderInfo | None:
        for row in rows:
            if _is_same(row.folder_id, self._folder_id):
                return row
        # Other users may share folders of the name, and the trash may have some.
        named = (row for row in rows if row.name == self._name)
        return next((row for row in named if row.is_usable and row.is_owner), None)

    def _failure(self, reason: str) -> ServerError:
        return ServerError(
            500,
            title=f"the files could not be copied to the folder {self._name!r}: {reason}",
            request=self._request,
        )


def _is_same(one: str, other: str) -> bool:
    return one == other or is_same_uuid(one, other)


async def _check_proxy_era(folder: VFolderReference, action: str) -> None:
    if folder.client.era.folder_transfer != "proxy":
        await trio.lowlevel.checkpoint()
        raise unsupported(folder, action, "20.09")
