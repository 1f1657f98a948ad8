"""Virtual folders: files on a server that outlive kernels, and that kernels mount by name.

    folder = await create_vfolder(client, "data")
    await folder.upload(["train.csv"])
    async with open_kernel(client, KernelSpec(runtime="python", mounts=("data",))) as kernel: ...

A `TrioVFolder` is a name and a client; creating one sends no request.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import trio

from ..errors import InvalidRequest, LocalProtocolError, NotFound
from ..files.progress import Progress, ProgressReporter
from ..files.sources import Links, Upload, plan_items
from ..transport.client import Client
from ..wire.files import FileInfo, Listing, PathsRequest
from ..wire.http import JSON, Request, Response
from ..wire.json_fields import Fields, decode_json, encode_json
from ..wire.multipart import check_names
from ..wire.storage_proxy import TUS_CHECKSUM
from ..wire.vfolders import (
    UNKNOWN_ROUTE,
    CreateVFolder,
    Invitation,
    Invite,
    MoveFile,
    Permission,
    RemoveFiles,
    VFolderInfo,
)
from .download import download
from .upload import make_folder, upload

__all__ = [
    "TrioVFolder",
    "accept_invitation",
    "create_vfolder",
    "decline_invitation",
    "find_vfolder",
    "list_invitations",
    "list_vfolders",
]

_MOVES_SINCE = (6, "20220315")
"""API version of managers 22.03; earlier ones can only give a file another name."""
_QUOTAS_UNTIL = (8, "20240315")
"""API version of managers 24.03, which refuse a quota."""


class TrioVFolder:
    """A virtual folder on a server.

    Requests are described in docs/protocol.md, section 7. Every method raises `NotFound` if there
    is no such folder, `AuthError` if the key may not do this, and `ConnectionFailed` if the server
    cannot be reached.

    Attributes:
        client: the client that sends the requests.
        name: of the folder. An id works as well on managers 24.09.6 and later, and on our gateway.
    """

    def __init__(self, client: Client, name: str) -> None:
        """Refer to a folder; no request is sent.

        Args:
            client: of the folder's server.
            name: of the folder.
        """
        self.client = client
        self.name = name

    def __repr__(self) -> str:
        return f"<virtual folder {self.name} at {self.client.config.endpoint.url}>"

    async def info(self) -> VFolderInfo:
        """Describe the folder.

        Returns:
            Its id, size, permission and more, as far as the server tells.

        Raises:
            NotFound: there is no such folder.
            ApiError, ConnectionFailed: the request failed.

        Endpoint: ``GET /folders/{name}`` (manager 1.0.3; docs/protocol.md, section 7.3).
        """
        reply = await self.client.call(self._request("GET"))
        return VFolderInfo.decode(decode_json(reply.body, "virtual folder"))

    async def delete(self) -> None:
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
        if self.client.hello.has_trash:
            # By name, an administrator's request would search the folders of all users.
            await self._send_id("DELETE", (), await self._listed_id(in_trash=False))
        else:
            await self.client.call(self._request("DELETE"))

    async def restore(self) -> None:
        """Take the folder out of the trash.

        Raises:
            NotFound: the trash has no such folder.
            LocalProtocolError: the server has no trash.
            ApiError, ConnectionFailed: the request failed.

        Endpoint: ``POST /folders/restore-from-trash-bin`` (manager 24.03; docs/protocol.md,
        section 7.5).
        """
        await self._from_trash("restore-from-trash-bin")

    async def purge(self) -> None:
        """Remove the folder in the trash for good: its files are deleted, and its name is free.

        Raises:
            NotFound: the trash has no such folder; `delete` it first.
            LocalProtocolError: the server has no trash.
            ApiError, ConnectionFailed: the request failed.

        Endpoint: ``POST /folders/delete-from-trash-bin`` (manager 24.03; docs/protocol.md,
        section 7.5).
        """
        await self._from_trash("delete-from-trash-bin")

    async def rename(self, name: str) -> None:
        """Give the folder another name.

        Args:
            name: the new name; see `create_vfolder`.

        Raises:
            InvalidRequest: the name is in use, or cannot name a folder.
            LocalProtocolError: a manager before 19.03, which cannot rename folders.
            ApiError, ConnectionFailed: the request failed.

        Endpoint: ``POST /folders/{name}/rename`` (manager 19.03; docs/protocol.md, section 7.2).
        """
        await self._post("rename", encode_json({"new_name": name}), "rename a folder", "19.03")
        self.name = name

    # -- content ----------------------------------------------------------------------------------

    async def list_files(self, path: str = ".") -> list[FileInfo]:
        """List a folder in the virtual folder.

        Args:
            path: relative to the virtual folder.

        Returns:
            Its files and folders, by name.

        Raises:
            LocalProtocolError: a manager before 1.4, which cannot list files.
            ApiError, ConnectionFailed: the request failed; for a path that does not exist, servers
                differ in the status.

        Endpoint: ``GET /folders/{name}/files`` (manager 1.4; docs/protocol.md, section 7.3).
        """
        self._need_1_4("list files")
        endpoint = self._path("files")
        reply = await self.client.call(PathsRequest((path,)).request("GET", endpoint, "path"))
        return sorted(Listing.decode(reply.body).files, key=lambda file: file.name)

    async def mkdir(self, path: str, *, parents: bool = True, exist_ok: bool = False) -> None:
        """Make a folder in the virtual folder.

        Args:
            path: relative to the virtual folder.
            parents: whether folders above it are made; managers before 20.09 always make them.
            exist_ok: whether it may exist; managers before 20.03 never object.

        Raises:
            InvalidRequest: it exists, or the folder above it does not.
            LocalProtocolError: a manager before 1.4, which cannot make folders.
            ApiError, ConnectionFailed: the request failed.

        Endpoint: ``POST /folders/{name}/mkdir`` (manager 1.4; docs/protocol.md, section 7.3).
        """
        self._need_1_4("make folders")
        await make_folder(self.client, self.name, path, parents=parents, exist_ok=exist_ok)

    async def move(self, source: str, target: str) -> None:
        """Rename a file or folder in the virtual folder; a file of the target's name is replaced.

        Args:
            source: relative to the virtual folder.
            target: likewise; if this is a folder, `source` moves into it.

        Raises:
            LocalProtocolError: a manager before 22.03, which cannot move files.
            ApiError, ConnectionFailed: the request failed, e.g. since `source` does not exist.

        Endpoint: ``POST /folders/{name}/move-file`` (manager 22.03; docs/protocol.md,
        section 7.3).
        """
        if not (self.client.hello.key >= _MOVES_SINCE or self.client.has(TUS_CHECKSUM)):
            raise self._unsupported("move files", "22.03")
        await self._post("move-file", MoveFile(source, target).encode(), "move files", "22.03")

    async def remove(self, paths: Sequence[str], *, recursive: bool = False) -> None:
        """Remove files from the virtual folder; on our gateway all of them or none.

        Args:
            paths: relative to the virtual folder.
            recursive: whether folders may be removed, with all their content.

        Raises:
            LocalProtocolError: `paths` is a single string; or a manager before 1.4, which cannot
                remove files.
            ApiError, ConnectionFailed: the request failed, e.g. since a path does not exist.

        Endpoint: ``DELETE /folders/{name}/delete-files`` (manager 1.4; docs/protocol.md,
        section 7.3).
        """
        self._need_1_4("remove files")
        proxied = self.client.era.folder_transfer == "proxy"
        endpoint = self._path("delete-files" if proxied else "delete_files")
        body = RemoveFiles(tuple(check_names(paths)), recursive).encode()
        await self.client.call(Request("DELETE", endpoint, (), body, JSON))

    async def upload(
        self,
        files: Iterable[str | os.PathLike[str] | Upload],
        *,
        to: str = "",
        base: Path | None = None,
        links: Links = "follow",
        progress: trio.MemorySendChannel[Progress] | None = None,
    ) -> None:
        """Upload files and folders, several files at a time.

        Each file appears under its name when all of it has arrived, and replaces a file of that
        name. When a connection breaks, its file goes on where it stopped (managers 20.09 and later,
        and our gateway). The first failure ends the other uploads.

        Args:
            files: paths, folders with all their content (see `plan_uploads` for names), and
                planned uploads.
            to: folder to upload to, relative to the virtual folder; it is created.
            base: folder that the names of paths are relative to; None for the current one.
            links: ``"follow"`` or ``"skip"`` symbolic links in folders; see `plan_uploads`.
            progress: where to send progress; it stays open.

        Raises:
            UploadError: a file cannot be read, and nothing was sent; or it did not arrive, and
                others may have. It names the path.
            LocalProtocolError: one of `files` is a stream.
            QuotaExceeded: the folder has no room.
            AuthError, NotFound: the folder may not be written to, or does not exist.

        Cancellation:
            Files that were complete have arrived, others have not.

        Endpoint: ``POST /folders/{name}/request-upload`` and the storage proxy's ``PATCH /upload``
        (manager 20.09; docs/protocol.md, section 7.4); a form to ``/folders/{name}/upload`` in the
        seed era (docs/protocol.md, section 7.1).
        """
        planned = await plan_items(files, base=base, links=links)
        uploads = [item for item in planned if isinstance(item, Upload)]
        if len(uploads) < len(planned):
            raise LocalProtocolError(
                "virtual folders take no streams; write the stream to a file, and upload that"
            )
        reporter = ProgressReporter(progress)
        await upload(self.client, self.name, uploads, to=to, reporter=reporter)

    async def download(
        self,
        paths: Sequence[str],
        into: str | os.PathLike[str] = ".",
        *,
        overwrite: bool = False,
        progress: trio.MemorySendChannel[Progress] | None = None,
    ) -> list[Path]:
        """Download files and folders, several files at a time.

        Conflicts with local files are found before anything is written. Each file appears under
        its name when all of it has arrived. When a connection breaks, its file goes on where it
        stopped. No name that the server sends leads out of `into`.

        Args:
            paths: relative to the virtual folder; ``.`` for all its content.
            into: local folder, created if it is missing. Each path arrives under its last
                component.
            overwrite: whether existing files may be replaced. They keep their permissions.
            progress: where to send progress; it stays open.

        Returns:
            The files that were written.

        Raises:
            DownloadError: a file does not exist, exists already on this side, or could not be
                received; it names the path.
            LocalProtocolError: a manager before 1.4, which cannot send files.
            AuthError, NotFound: the folder may not be read, or does not exist.

        Cancellation:
            Files that were complete have arrived, others have not.

        Endpoint: ``POST /folders/{name}/request-download`` and the storage proxy's
        ``GET /download`` (manager 20.09; docs/protocol.md, section 7.4); managers from 1.4 on
        likewise (docs/protocol.md, section 7.2).
        """
        self._need_1_4("send the files of a folder")
        return await download(
            self.client,
            self.name,
            self.list_files,
            check_names(paths),
            Path(into),
            overwrite=overwrite,
            reporter=ProgressReporter(progress),
        )

    # -- other users ------------------------------------------------------------------------------

    async def invite(self, users: Sequence[str], *, permission: Permission = "rw") -> list[str]:
        """Offer the folder to other users, who may accept.

        Args:
            users: their e-mail addresses.
            permission: what they may do.

        Returns:
            The users who were invited, as the server names them.

        Raises:
            LocalProtocolError: a manager before 1.4, which has no invitations.
            InvalidRequest: a user was invited before, or does not exist.
            ApiError, ConnectionFailed: the request failed.

        Endpoint: ``POST /folders/{name}/invite`` (manager 1.4; docs/protocol.md, section 7.3).
        """
        body = Invite(tuple(check_names(users)), permission).encode(at_once=False)
        request = Request("POST", self._path("invite"), (), body, JSON)
        return await self._users(request, "invited_ids", "1.4")

    async def share(self, users: Sequence[str], *, permission: Permission = "rw") -> list[str]:
        """Give other users access at once. Managers do that only for folders of projects.

        Args:
            users: their e-mail addresses.
            permission: what they may do.

        Returns:
            The users who have access now, as the server names them.

        Raises:
            LocalProtocolError: a manager before 21.03, which cannot share folders.
            ApiError, ConnectionFailed: the request failed.

        Endpoint: ``POST /folders/{name}/share`` (manager 21.03; docs/protocol.md, section 7.3).
        """
        body = Invite(tuple(check_names(users)), permission).encode(at_once=True)
        request = Request("POST", self._path("share"), (), body, JSON)
        return await self._users(request, "shared_emails", "21.03")

    async def unshare(self, users: Sequence[str]) -> list[str]:
        """End other users' access.

        Args:
            users: their e-mail addresses.

        Returns:
            The users who had access, as the server names them.

        Raises:
            LocalProtocolError: a manager before 21.03, which cannot share folders.
            ApiError, ConnectionFailed: the request failed.

        Endpoint: ``DELETE /folders/{name}/unshare`` (manager 21.03; docs/protocol.md, section 7.3).
        """
        body = encode_json({"emails": check_names(users)})
        request = Request("DELETE", self._path("unshare"), (), body, JSON)
        return await self._users(request, "unshared_emails", "21.03")

    async def leave(self) -> None:
        """Give up the access to a folder that another user has shared.

        Raises:
            LocalProtocolError: a manager before 20.03, which cannot do that.
            ApiError, ConnectionFailed: the request failed, e.g. since the folder is one's own.

        Endpoint: ``POST /folders/{name}/leave`` (manager 20.03; docs/protocol.md, section 7.2).
        """
        await self._post("leave", encode_json({}), "leave folders", "20.03")

    # ---------------------------------------------------------------------------------------------

    async def _from_trash(self, action: str) -> None:
        if not self.client.hello.has_trash:
            raise LocalProtocolError(
                "this server has no trash (managers have from 24.03 on): a deleted folder is gone"
            )
        await self._send_id("POST", (action,), await self._listed_id(in_trash=True))

    async def _listed_id(self, *, in_trash: bool) -> str:
        """The folder's id, looked up in the key pair's own listing."""
        rows = [
            row
            for row in await list_vfolders(self.client)
            if self.name in (row.name, row.folder_id)
            and (row.is_in_trash if in_trash else row.is_usable)
        ]
        if not rows:
            where = "the trash has no" if in_trash else "there is no"
            raise NotFound(
                404, title=f"{where} virtual folder {self.name!r}", request="GET /folders"
            )
        # Another user's folder of the same name, which is shared, comes second.
        return max(rows, key=lambda row: row.is_owner).folder_id

    async def _send_id(self, method: str, tail: tuple[str, ...], folder_id: str) -> None:
        path = self.client.era.path("folders", *tail)
        await self.client.call(Request.of_json(method, path, {"id": folder_id}))

    async def _users(self, request: Request, key: str, release: str) -> list[str]:
        reply = await self._call(request, "share folders", release)
        return list(Fields.parse(reply.body, f"reply to {request}").texts(key))

    async def _post(self, tail: str, body: bytes, action: str, release: str) -> None:
        await self._call(Request("POST", self._path(tail), (), body, JSON), action, release)

    async def _call(self, request: Request, action: str, release: str) -> Response:
        """Send a request that not all releases know."""
        self._need_1_4(action, release)
        try:
            return await self.client.call(request)
        except NotFound as exc:
            if exc.kind in UNKNOWN_ROUTE and not self.client.hello.features:
                raise self._unsupported(action, release) from exc
            raise

    def _request(self, method: str) -> Request:
        return Request(method, self._path())

    def _path(self, *tail: str) -> str:
        return self.client.era.folder_path(self.name, *tail)

    def _need_1_4(self, action: str, release: str = "1.4") -> None:
        if self.client.era.prefix:
            raise self._unsupported(action, release)

    def _unsupported(self, action: str, release: str) -> LocalProtocolError:
        return LocalProtocolError(
            f"this server cannot {action} (managers can from {release} on); mount {self.name!r} in "
            "a kernel, and do it there"
        )


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


async def create_vfolder(
    client: Client,
    name: str,
    *,
    host: str | None = None,
    group: str | None = None,
    usage_mode: str = "general",
    permission: Permission = "rw",
    cloneable: bool = False,
    max_bytes: int = 0,
) -> TrioVFolder:
    """Create a folder.

    Args:
        client: of the server.
        name: 1 to 64 letters, digits, ``.``, ``_`` and ``-``, beginning and ending with a letter or
            digit.
        host: storage host; None for the server's default.
        group: name or id of the project that owns the folder; None for the user. Managers from 26.3
            on take only ids.
        usage_mode: ``general``, ``data`` or ``model``.
        permission: what other members of the project may do.
        cloneable: whether the folder may be cloned.
        max_bytes: quota in bytes, 0 for the server's default. Managers 23.03.8 to 23.09 ignore it.

    Returns:
        The folder.

    Raises:
        LocalProtocolError: the name has other characters, or the server takes no quota.
        InvalidRequest: the name is in use. A folder in the trash still uses its name.
        QuotaExceeded: the key pair may have no more folders.
        ApiError, ConnectionFailed: the request failed.

    Cancellation:
        The folder may have been created.

    Endpoint: ``POST /folders`` (manager 1.0.3; docs/protocol.md, section 7.3).
    """
    spec = CreateVFolder(
        name=name,
        host=host,
        group=group,
        usage_mode=usage_mode,
        permission=permission,
        cloneable=cloneable,
        max_bytes=max_bytes,
    )
    body = spec.encode(client.era)
    if max_bytes and not (
        client.era.folder_transfer == "proxy" and client.hello.key < _QUOTAS_UNTIL
    ):
        raise LocalProtocolError(
            "a folder's quota cannot be set on this server (managers from 20.09 to 23.09 take it); "
            "leave it out, and ask an administrator for one"
        )
    # Managers 1.x make a second folder of the same name, which no request could tell apart.
    if client.era.prefix and any(row.name == name for row in await list_vfolders(client)):
        raise InvalidRequest(
            400,
            kind="vfolder-already-exists",
            title=f"the name is taken: there is a virtual folder {name!r} already",
            request=f"GET {client.era.folders_path}",
        )
    await client.call(Request("POST", client.era.folders_path, (), body, JSON))
    return TrioVFolder(client, name)


async def find_vfolder(client: Client, name: str) -> TrioVFolder:
    """Refer to a folder that exists.

    Args:
        client: of the server.
        name: of the folder. An id works as well on managers 24.09.6 and later, and on our gateway.

    Returns:
        The folder.

    Raises:
        NotFound: there is no such folder.
        ApiError, ConnectionFailed: the request failed.

    Endpoint: ``GET /folders/{name}`` (manager 1.0.3; docs/protocol.md, section 7.3).
    """
    folder = TrioVFolder(client, name)
    await folder.info()
    return folder


async def list_invitations(client: Client) -> list[Invitation]:
    """List the folders that other users offer to the key pair's user.

    Args:
        client: of the server.

    Returns:
        Invitations that were neither accepted nor declined.

    Raises:
        LocalProtocolError: a manager before 1.4, which has no invitations.
        ApiError, ConnectionFailed: the request failed.

    Endpoint: ``GET /folders/invitations/list`` (manager 1.4; docs/protocol.md, section 7.3).
    """
    reply = await client.call(Request("GET", _invitations_path(client, "list")))
    rows = Fields.parse(reply.body, "invitations").items("invitations")
    return [Invitation.decode(row) for row in rows]


async def accept_invitation(client: Client, invitation_id: str) -> None:
    """Accept an invitation: the folder appears among one's own.

    Args:
        client: of the server.
        invitation_id: `Invitation.invitation_id`.

    Raises:
        InvalidRequest: one has a folder of the same name.
        NotFound: there is no such invitation.
        LocalProtocolError: a manager before 1.4, which has no invitations.
        ApiError, ConnectionFailed: the request failed.

    Endpoint: ``POST /folders/invitations/accept`` (manager 1.4; docs/protocol.md, section 7.3).
    """
    path = _invitations_path(client, "accept")
    await client.call(Request.of_json("POST", path, {"inv_id": invitation_id}))


async def decline_invitation(client: Client, invitation_id: str) -> None:
    """Decline an invitation, or withdraw one that you sent.

    Args:
        client: of the server.
        invitation_id: `Invitation.invitation_id`.

    Raises:
        NotFound: there is no such invitation.
        LocalProtocolError: a manager before 1.4, which has no invitations.
        ApiError, ConnectionFailed: the request failed.

    Endpoint: ``DELETE /folders/invitations/delete`` (manager 1.4; docs/protocol.md, section 7.3).
    """
    path = _invitations_path(client, "delete")
    await client.call(Request.of_json("DELETE", path, {"inv_id": invitation_id}))


def _invitations_path(client: Client, tail: str) -> str:
    if client.era.prefix:
        raise LocalProtocolError("this server has no invitations (managers have them from 1.4 on)")
    return client.era.path("folders", "invitations", tail)


def _rows(body: bytes) -> list[object]:
    rows = decode_json(body, "list of virtual folders")
    return (
        rows if isinstance(rows, list) else Fields(rows, "list of virtual folders").items("items")
    )
