"""Virtual folders: files on a server that outlive kernels, and that kernels mount by name.

    folder = await create_vfolder(client, "data")
    await folder.upload(["train.csv"])
    async with open_kernel(client, KernelSpec(runtime="python", mounts=("data",))) as kernel: ...

A `TrioVFolder` is a name and a client; creating one sends no request. Its methods are functions of
modules with one subject each: `listing`, `files`, `archive`, `options`, `sharing` and `trash`.
"""

from __future__ import annotations

from ..errors import InvalidRequest, LocalProtocolError
from ..transport.client import Client
from ..wire.http import JSON, Request
from ..wire.vfolder_sharing import Permission
from ..wire.vfolders import CreateVFolder
from . import archive, files, listing, options, sharing, trash
from .listing import list_vfolders
from .projects import project_key
from .reference import VFolderReference, call_since, path_of

__all__ = ["TrioVFolder", "create_vfolder", "find_vfolder"]

_QUOTAS_UNTIL = (8, "20240315")
"""API version of managers 24.03, which refuse a quota."""


class TrioVFolder(VFolderReference):
    """A virtual folder on a server.

    Requests are described in docs/protocol.md, section 7. Every method raises `NotFound` if there
    is no such folder, `AuthError` if the key may not do this, and `ConnectionFailed` if the server
    cannot be reached.

    Attributes:
        client: the client that sends the requests.
        name: of the folder. An id works as well on managers 24.09.6 and later, and on our gateway.
    """

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
        request = Request.of_json("POST", path_of(self, "rename"), {"new_name": name})
        try:
            await call_since(self, request, "rename a folder", "19.03")
        except InvalidRequest as exc:
            await trash.refuse_name_in_trash(self.client, name, exc)  # noqa: ASYNC120
            raise
        self.name = name

    info = listing.info

    delete = trash.delete
    restore = trash.restore
    purge = trash.purge

    list_files = files.list_files
    mkdir = files.mkdir
    move = files.move
    rename_file = files.rename_file
    remove = files.remove
    upload = files.upload
    download = files.download
    download_archive = archive.download_archive

    update_options = options.update_options
    clone = options.clone

    invite = sharing.invite
    share = sharing.share
    unshare = sharing.unshare
    leave = sharing.leave


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
        group: name or id of the project that owns the folder; None for the user.
        usage_mode: ``general``, ``data`` or ``model``.
        permission: what other members of the project may do.
        cloneable: whether the folder may be cloned.
        max_bytes: quota in bytes, 0 for the server's default. Managers 23.03.8 to 23.09 ignore it.

    Returns:
        The folder.

    Raises:
        LocalProtocolError: the name has other characters, the server takes no quota, or several
            projects have that name.
        NotFound: there is no such project.
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
        group=None if group is None else await project_key(client, group),
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
    # Managers up to 18.12 make a second folder of the same name, which no request could tell apart.
    checks = client.era.prefix or client.era.folder_files_in_parts
    if checks and any(row.name == name for row in await list_vfolders(client)):
        raise InvalidRequest(
            400,
            kind="vfolder-already-exists",
            title=f"the name is taken: there is a virtual folder {name!r} already",
            request=f"GET {client.era.folders_path}",
        )
    request = Request("POST", client.era.folders_path, (), body, JSON)
    try:
        await client.call(request)
    except InvalidRequest as exc:
        await trash.refuse_name_in_trash(client, name, exc)  # noqa: ASYNC120 (as it should)
        raise
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
