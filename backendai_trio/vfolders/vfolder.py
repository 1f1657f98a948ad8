"""Virtual folders: files on a server that outlive kernels, and that kernels mount by name.

    folder = await create_vfolder(client, "data")
    await folder.upload(["train.csv"])
    async with open_kernel(client, KernelSpec(runtime="python", mounts=("data",))) as kernel: ...

A `TrioVFolder` is a name and a client; making one asks nothing of the server.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import trio

from ..errors import LocalProtocolError
from ..files.progress import Meter, Progress
from ..files.sources import Upload, plan_items
from ..transport.client import Client
from ..wire.files import FileInfo, Listing, PathsRequest
from ..wire.http import JSON, Request
from ..wire.json_fields import Fields, decode_json, encode_json
from ..wire.multipart import check_names
from ..wire.storage_proxy import TUS_CHECKSUM
from ..wire.vfolders import (
    CreateVFolder,
    Invitation,
    Invite,
    MoveFile,
    Permission,
    RemoveFiles,
    VFolderInfo,
)
from .download import download_files
from .upload import make_folder, send_files

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
"""Managers of 22.03; before, they could but give a file another name."""
_QUOTAS_UNTIL = (8, "20240315")
"""Managers of 24.03, which refuse to be told one."""


class TrioVFolder:
    """A virtual folder on a server.

    Attributes:
        client: the client to ask with.
        name: of the folder; its id works too on managers from 24.03 on, and on our gateway.
    """

    def __init__(self, client: Client, name: str) -> None:
        self.client = client
        self.name = name

    def __repr__(self) -> str:
        return f"<virtual folder {self.name} at {self.client.config.endpoint.url}>"

    async def info(self) -> VFolderInfo:
        """What the server tells of it.

        Raises:
            NotFound: there is no such folder.

        Endpoint: ``GET /folders/{name}`` (manager 1.0.3).
        """
        reply = await self.client.call(self._request("GET"))
        return VFolderInfo.decode(decode_json(reply.body, "virtual folder"))

    async def delete(self) -> None:
        """Delete it with all that is in it. Managers from 23.09 on keep it in a trash bin.

        Raises:
            InvalidRequest: a kernel has it mounted.

        Endpoint: ``DELETE /folders/{name}`` (manager 1.0.3).
        """
        await self.client.call(self._request("DELETE"))

    async def rename(self, name: str) -> None:
        """Give it another name.

        Endpoint: ``POST /folders/{name}/rename`` (manager 19.03).
        """
        self._later("rename a folder", "19.03")
        await self._post("rename", encode_json({"new_name": name}))
        self.name = name

    # -- what is in it ----------------------------------------------------------------------------

    async def list_files(self, path: str = ".") -> list[FileInfo]:
        """What is in a folder of it, by name.

        Endpoint: ``GET /folders/{name}/files`` (manager 1.4).
        """
        self._later("list files", "1.4")
        where = self._path("files")
        reply = await self.client.call(PathsRequest((path,)).request("GET", where, "path"))
        return sorted(Listing.decode(reply.body).files, key=lambda file: file.name)

    async def mkdir(self, path: str, *, parents: bool = True, exist_ok: bool = False) -> None:
        """Make a folder in it.

        Args:
            path: of the folder.
            parents: whether those above it are made; managers before 20.09 always make them.
            exist_ok: whether it may exist; managers before 20.03 never mind.

        Endpoint: ``POST /folders/{name}/mkdir`` (manager 1.4).
        """
        self._later("make folders", "1.4")
        await make_folder(self.client, self.name, path, parents=parents, exist_ok=exist_ok)

    async def move(self, source: str, target: str) -> None:
        """Rename a file or folder of it; into the target, if that is a folder.

        A file of the target's name is replaced.

        Endpoint: ``POST /folders/{name}/move-file`` (manager 22.03).
        """
        if not (self.client.hello.key >= _MOVES_SINCE or self.client.has(TUS_CHECKSUM)):
            raise self._unknown("move files", "22.03")
        await self._post("move-file", MoveFile(source, target).encode())

    async def remove(self, paths: Sequence[str], *, recursive: bool = False) -> None:
        """Remove files; on our gateway all of them or none.

        Args:
            paths: relative to the folder.
            recursive: whether folders are removed, with all that is in them.

        Endpoint: ``DELETE /folders/{name}/delete-files`` (manager 1.4).
        """
        self._later("remove files", "1.4")
        proxied = self.client.era.folder_transfer == "proxy"
        where = self._path("delete-files" if proxied else "delete_files")
        body = RemoveFiles(tuple(check_names(paths)), recursive).encode()
        await self.client.call(Request("DELETE", where, (), body, JSON))

    async def upload(
        self,
        files: Iterable[str | os.PathLike[str] | Upload],
        *,
        to: str = "",
        base: Path | None = None,
        progress: trio.MemorySendChannel[Progress] | None = None,
    ) -> None:
        """Put files into it, several at a time.

        Each appears under its name when all of it has arrived, and replaces a file of that name.
        A connection that breaks is made anew, and the file goes on where it stopped (20.09 and
        later; tus). The first failure ends the others.

        Args:
            files: paths, folders with all that is in them (see `plan_uploads` for names and
                links), and planned uploads.
            to: a folder of it to put them in; it is made.
            base: folder that the names of paths are relative to; default: the current one.
            progress: where to tell how far it is; stays open.

        Raises:
            UploadError: a file cannot be read, and nothing was sent; or it did not arrive, and
                others may have. It names the path.
            QuotaExceeded: the folder has no room.

        Cancellation:
            Files that were complete are there, others are not.

        Endpoint: ``POST /folders/{name}/request-upload`` and the storage proxy's ``/upload``
        (20.09); a form to ``/folders/{name}/upload`` in the seed era.
        """
        planned = await plan_items(files, base=base)
        uploads = [item for item in planned if isinstance(item, Upload)]
        if len(uploads) < len(planned):
            raise LocalProtocolError(
                "virtual folders take no streams; write it to a file, and upload that"
            )
        await send_files(self.client, self.name, uploads, to=to, meter=Meter(progress))

    async def download(
        self,
        paths: Sequence[str],
        into: str | os.PathLike[str] = ".",
        *,
        overwrite: bool = False,
        progress: trio.MemorySendChannel[Progress] | None = None,
    ) -> list[Path]:
        """Get files and folders out of it, several files at a time.

        What is in the way is looked for before anything is written. Each file appears under its
        name when all of it has come; a connection that breaks is made anew, and the file goes on
        where it stopped. No name that the server sends leads out of `into`.

        Args:
            paths: relative to the folder; ``.`` for all that is in it.
            into: local folder, made if it is missing. Each path goes by its last component.
            overwrite: whether files that are there are replaced.
            progress: where to tell how far it is; stays open.

        Returns:
            The files that were written.

        Raises:
            DownloadError: a file could not be had, or is there already; it names its path.

        Endpoint: ``POST /folders/{name}/request-download`` and the storage proxy's ``/download``
        (20.09); managers from 19.03 on likewise.
        """
        self._later("download from a folder", "19.03")
        return await download_files(
            self.client,
            self.name,
            self.list_files,
            check_names(paths),
            Path(into),
            overwrite=overwrite,
            meter=Meter(progress),
        )

    # -- others -----------------------------------------------------------------------------------

    async def invite(self, users: Sequence[str], *, permission: Permission = "rw") -> list[str]:
        """Offer it to others; gives those who were asked, as the server names them.

        Endpoint: ``POST /folders/{name}/invite`` (manager 1.4).
        """
        self._later("share folders", "1.4")
        body = Invite(tuple(check_names(users)), permission).encode(at_once=False)
        return await self._told("POST", "invite", body, "invited_ids")

    async def share(self, users: Sequence[str], *, permission: Permission = "rw") -> list[str]:
        """Give it to others at once; managers do that for folders of projects alone.

        Endpoint: ``POST /folders/{name}/share`` (manager 20.09).
        """
        self._later("share folders", "20.09")
        body = Invite(tuple(check_names(users)), permission).encode(at_once=True)
        return await self._told("POST", "share", body, "shared_emails")

    async def unshare(self, users: Sequence[str]) -> list[str]:
        """Take it back; gives those who had it.

        Endpoint: ``DELETE /folders/{name}/unshare`` (manager 20.09).
        """
        self._later("share folders", "20.09")
        body = encode_json({"emails": check_names(users)})
        return await self._told("DELETE", "unshare", body, "unshared_emails")

    async def leave(self) -> None:
        """Give up a folder that somebody has shared.

        Endpoint: ``POST /folders/{name}/leave`` (manager 20.09).
        """
        self._later("leave folders", "20.09")
        await self._post("leave", encode_json({}))

    # ---------------------------------------------------------------------------------------------

    async def _told(self, method: str, tail: str, body: bytes, key: str) -> list[str]:
        reply = await self.client.call(Request(method, self._path(tail), (), body, JSON))
        return list(Fields.parse(reply.body, f"reply to {tail}").texts(key))

    async def _post(self, tail: str, body: bytes) -> None:
        await self.client.call(Request("POST", self._path(tail), (), body, JSON))

    def _request(self, method: str) -> Request:
        return Request(method, self._path())

    def _path(self, *tail: str) -> str:
        return self.client.era.folder_path(self.name, *tail)

    def _later(self, what: str, release: str) -> None:
        if self.client.era.prefix:
            raise self._unknown(what, release)

    def _unknown(self, what: str, release: str) -> LocalProtocolError:
        return LocalProtocolError(
            f"this server cannot {what} (that came with {release}); mount {self.name!r} in a "
            "kernel, and do it there"
        )


async def list_vfolders(client: Client) -> list[VFolderInfo]:
    """The folders that the key pair may use.

    Endpoint: ``GET /folders`` (manager 1.0.3).
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
    """Make a folder.

    Args:
        client: where to make it.
        name: 1 to 64 letters, digits, ``.``, ``_`` and ``-``, from a letter or digit to another.
        host: storage host; None for the server's default.
        group: name or id of the project that shall own it; None for the user.
        usage_mode: ``general``, ``data`` or ``model``.
        permission: what others may do, where the folder is a project's.
        cloneable: whether it may be cloned.
        max_bytes: quota, 0 for the server's own; 23.03.8 to 23.09 pass it over.

    Raises:
        LocalProtocolError: the name has other characters, or the server takes no quota.
        InvalidRequest: there is one of this name.
        QuotaExceeded: the key pair may have no more.

    Cancellation:
        The folder may have been made.

    Endpoint: ``POST /folders`` (manager 1.0.3).
    """
    wanted = CreateVFolder(
        name=name,
        host=host,
        group=group,
        usage_mode=usage_mode,
        permission=permission,
        cloneable=cloneable,
        max_bytes=max_bytes,
    )
    body = wanted.encode(client.era)
    if max_bytes and not (
        client.era.folder_transfer == "proxy" and client.hello.key < _QUOTAS_UNTIL
    ):
        raise LocalProtocolError(
            "a folder's quota cannot be set on this server (managers from 20.09 to 23.09 take it); "
            "leave it out, and ask an administrator for one"
        )
    await client.call(Request("POST", client.era.folders_path, (), body, JSON))
    return TrioVFolder(client, name)


async def find_vfolder(client: Client, name: str) -> TrioVFolder:
    """A folder that exists, by its name; by its id too on managers from 24.03 on.

    Raises:
        NotFound: there is none.
    """
    folder = TrioVFolder(client, name)
    await folder.info()
    return folder


async def list_invitations(client: Client) -> list[Invitation]:
    """Folders that others offer to the key pair's user.

    Endpoint: ``GET /folders/invitations/list`` (manager 1.4).
    """
    reply = await client.call(Request("GET", _invitations(client, "list")))
    rows = Fields.parse(reply.body, "invitations").items("invitations")
    return [Invitation.decode(row) for row in rows]


async def accept_invitation(client: Client, invitation_id: str) -> None:
    """Take a folder that somebody offers.

    Raises:
        InvalidRequest: a folder of the same name is there.

    Endpoint: ``POST /folders/invitations/accept`` (manager 1.4).
    """
    path = _invitations(client, "accept")
    await client.call(Request.of_json("POST", path, {"inv_id": invitation_id}))


async def decline_invitation(client: Client, invitation_id: str) -> None:
    """Turn an invitation down, or take an own one back.

    Endpoint: ``DELETE /folders/invitations/delete`` (manager 1.4).
    """
    path = _invitations(client, "delete")
    await client.call(Request.of_json("DELETE", path, {"inv_id": invitation_id}))


def _invitations(client: Client, what: str) -> str:
    if client.era.prefix:
        raise LocalProtocolError("this server has no invitations (they came with 1.4)")
    return client.era.path("folders", "invitations", what)


def _rows(body: bytes) -> list[object]:
    rows = decode_json(body, "list of virtual folders")
    return (
        rows if isinstance(rows, list) else Fields(rows, "list of virtual folders").items("items")
    )
