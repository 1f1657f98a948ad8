"""What requests about virtual folders do.

One set of handlers for all eras: those of the seed era, of managers that take files themselves
(until 20.03), and of those with a storage proxy, which this gateway is as well.
"""

from __future__ import annotations

from contextlib import aclosing
from functools import partial
from pathlib import Path, PurePosixPath

from starlette.responses import Response

from ...wire.http import OCTETS
from ...wire.json_fields import Fields, encode_json
from ...wire.storage_proxy import TUS_CONTENT_TYPE, TUS_VERSION, PatchHead
from ...wire.versions import Era
from ...wire.vfolders import (
    CreateVFolder,
    FileRequest,
    Invite,
    MakeDirectory,
    MoveFile,
    RemoveFiles,
    Ticket,
    parse_permission,
)
from ..refusals import Refused
from ..storage import vfolder_files
from ..storage.downloads import archive_response, file_response
from ..storage.index import Folder
from ..storage.multipart import UploadLimits, receive_files
from ..storage.vfolders import HOST
from ..storage.workspace import Workspace
from .handlers import NO_CONTENT, Answer, Call, Handler

__all__ = ["folder_routes", "storage_routes"]

_STORAGE = "/storage"


def folder_routes(era: Era) -> list[tuple[str, str, Handler]]:
    """Method, path and handler of everything that is signed."""
    base = f"{era.prefix}/folders"
    one = f"{base}/{{name}}"
    routes: list[tuple[str, str, Handler]] = [
        ("GET", era.folders_path, list_folders),
        ("POST", era.folders_path, create),
        ("POST", f"{one}/upload", upload_form),
    ]
    if not era.prefix:
        tus = f"{base}/_/tus/upload/{{token}}"
        routes += [
            ("DELETE", base, delete_by_id),
            ("GET", f"{base}/_/id", look_up),
            ("GET", f"{base}/_/hosts", hosts),
            ("GET", f"{base}/_/all-hosts", hosts),
            ("GET", f"{base}/_/all_hosts", hosts),
            ("GET", f"{base}/_/allowed-types", allowed_types),
            ("GET", f"{base}/_/allowed_types", allowed_types),
            ("GET", f"{base}/invitations/list", partial(invitations, sent=False)),
            ("GET", f"{base}/invitations/list-sent", partial(invitations, sent=True)),
            ("POST", f"{base}/invitations/accept", accept),
            ("DELETE", f"{base}/invitations/delete", decline),
            ("POST", f"{base}/invitations/delete", decline),
            ("POST", f"{one}/rename", rename),
            ("POST", f"{one}/update-options", update_options),
            ("POST", f"{one}/mkdir", make_directory),
            ("GET", f"{one}/files", list_files),
            ("POST", f"{one}/move-file", move_file),
            ("POST", f"{one}/rename-file", move_file),
            ("POST", f"{one}/rename_file", move_file),
            ("DELETE", f"{one}/delete-files", delete_files),
            ("DELETE", f"{one}/delete_files", delete_files),
            ("POST", f"{one}/delete-files", delete_files),
            ("POST", f"{one}/invite", partial(share, at_once=False)),
            ("POST", f"{one}/share", partial(share, at_once=True)),
            ("DELETE", f"{one}/unshare", unshare),
            ("POST", f"{one}/unshare", unshare),
            ("POST", f"{one}/leave", leave),
            ("POST", f"{one}/request-upload", partial(request_upload, proxied=True)),
            ("POST", f"{one}/request-download", partial(request_download, proxied=True)),
            # Until 20.03 (section 7.2).
            ("POST", f"{one}/request_download", partial(request_download, proxied=False)),
            ("GET", f"{one}/download_single", download_single),
            ("GET", f"{base}/_/download_with_token", download),
            ("OPTIONS", tus, tus_options),
            ("HEAD", tus, tus_state),
            ("PATCH", tus, tus_patch),
        ]
    if era.names_session:  # 19.09.14 and later, as told by no version
        begin = f"{one}/create_upload_session"
        routes.append(("POST", begin, partial(request_upload, proxied=False)))
    # Last, as they fit all paths of two parts.
    return [*routes, ("GET", one, info), ("DELETE", one, delete)]


def storage_routes() -> list[tuple[str, str, Handler]]:
    """Method, path and handler of what a token in the query lets in (section 7.4)."""
    return [
        ("OPTIONS", f"{_STORAGE}/upload", tus_options),
        ("HEAD", f"{_STORAGE}/upload", tus_state),
        ("PATCH", f"{_STORAGE}/upload", tus_patch),
        ("GET", f"{_STORAGE}/download", download),
        ("HEAD", f"{_STORAGE}/download", download),
    ]


# -- folders --------------------------------------------------------------------------------------


async def list_folders(call: Call) -> Answer:
    """``GET /folders``."""
    folders = call.sessions.folders
    found = [
        (await folders.describe(folder, measured=False)).encode(call.era)
        for folder in folders.of_user(call.access_key)
    ]
    return Answer(encode_json(found))


async def create(call: Call) -> Answer:
    """``POST /folders``."""
    folders = call.sessions.folders
    folder = folders.create(CreateVFolder.decode(call.body), call.access_key)
    info = await folders.describe(folder, measured=False)
    return Answer(encode_json(info.encode(call.era)), 201)


async def info(call: Call) -> Answer:
    """``GET /folders/{name}``."""
    told = await call.sessions.folders.describe(_folder(call), measured=True)
    return Answer(encode_json(told.encode(call.era)))


async def delete(call: Call) -> Answer:
    """``DELETE /folders/{name}``."""
    await call.sessions.folders.delete(_folder(call, own=True))
    return NO_CONTENT


async def delete_by_id(call: Call) -> Answer:
    """``DELETE /folders``."""
    folder_id = Fields.parse(call.body, "delete folder").text("id")
    folders = call.sessions.folders
    await folders.delete(folders.find(call.access_key, folder_id, own=True))
    return NO_CONTENT


def look_up(call: Call) -> Answer:
    """``GET /folders/_/id``."""
    name = _wish(call, "name", "vfolder_name")
    folder = call.sessions.folders.find(call.access_key, name)
    return Answer(encode_json({"id": folder.folder_id, "name": folder.name}))


def hosts(call: Call) -> Answer:
    """``GET /folders/_/hosts``."""
    return Answer(encode_json({"default": HOST, "allowed": [HOST], "volume_info": {}}))


def allowed_types(call: Call) -> Answer:
    """``GET /folders/_/allowed-types``."""
    return Answer(encode_json(["user"]))


def rename(call: Call) -> Answer:
    """``POST /folders/{name}/rename``."""
    name = Fields.parse(call.body, "rename").text("new_name")
    call.sessions.folders.rename(_folder(call, own=True), name)
    return Answer(encode_json({}), 201)


def update_options(call: Call) -> Answer:
    """``POST /folders/{name}/update-options``."""
    folder = _folder(call, own=True)
    top = Fields.parse(call.body, "update options")
    call.sessions.folders.index.change(
        folder,
        parse_permission(top.text("permission", default=folder.permission)),
        cloneable=top.flag("cloneable", default=folder.cloneable),
    )
    return Answer(encode_json({}), 201)


# -- what is in them ------------------------------------------------------------------------------


async def list_files(call: Call) -> Answer:
    """``GET /folders/{name}/files``."""
    path = _wish(call, "path", default=".")
    listing = await call.sessions.folders.within(
        _folder(call), lambda root: vfolder_files.list_entries(root, path)
    )
    return Answer(listing.encode_items())


async def make_directory(call: Call) -> Answer:
    """``POST /folders/{name}/mkdir``."""
    wanted = MakeDirectory.decode(call.body, call.era)
    await call.sessions.folders.within(
        _folder(call, write=True), lambda root: vfolder_files.make_directory(root, wanted)
    )
    return Answer(encode_json({}), 201)


async def move_file(call: Call) -> Answer:
    """``POST /folders/{name}/move-file`` and ``rename-file``."""
    wanted = MoveFile.decode(call.body)
    await call.sessions.folders.within(
        _folder(call, write=True), lambda root: vfolder_files.move(root, wanted)
    )
    return Answer(encode_json({}), 201)


async def delete_files(call: Call) -> Answer:
    """``DELETE /folders/{name}/delete-files``."""
    wanted = RemoveFiles.decode(call.body)
    await call.sessions.folders.within(
        _folder(call, write=True), lambda root: vfolder_files.remove(root, wanted)
    )
    return Answer(encode_json({}))


async def upload_form(call: Call) -> Answer:
    """``POST /folders/{name}/upload``."""
    folders = call.sessions.folders
    folder = _folder(call, write=True)
    limits = UploadLimits(room_bytes=await folders.room_in(folder))
    workspace = Workspace(folders.files_of(folder), folders.staging_of(folder.folder_id))
    content_type = call.request.headers.get("content-type", "")
    async with aclosing(call.request.stream()) as body:
        await receive_files(content_type, body, workspace, limits)
    return Answer(status=201)


async def request_upload(call: Call, *, proxied: bool) -> Answer:
    """``POST /folders/{name}/request-upload``."""
    wanted = FileRequest.decode(call.body)
    if wanted.size is None:
        raise Refused(400, "invalid-api-params", "The size is missing")
    folder = _folder(call, write=True)
    if not proxied:  # managers of that time make no folders, and fail when all of it has come
        await call.sessions.folders.within(
            folder, lambda root: vfolder_files.check_parent(root, wanted.path)
        )
    token = await call.sessions.tus.begin(folder, wanted.path, wanted.size)
    return Answer(_ticket(call, token, "upload", proxied=proxied).encode())


async def request_download(call: Call, *, proxied: bool) -> Answer:
    """``POST /folders/{name}/request-download``."""
    folder, wanted = _folder(call), FileRequest.decode(call.body)
    # What cannot be read is refused now, and not when a client expects a file.
    await call.sessions.folders.within(folder, lambda root: _check_readable(root, wanted))
    token = call.sessions.tickets.issue(
        call.access_key, folder.folder_id, wanted.path, archive=wanted.archive
    )
    return Answer(_ticket(call, token, "download", proxied=proxied).encode())


async def download_single(call: Call) -> Response:
    """``GET /folders/{name}/download_single``."""
    return await _send(call, _folder(call), _wish(call, "file", "path"), archive=False)


# -- storage --------------------------------------------------------------------------------------


async def download(call: Call) -> Response:
    """``GET /storage/download``; ``GET /folders/_/download_with_token`` until 20.03."""
    ticket = call.sessions.tickets.find(call.request.query_params.get("token", ""))
    folder = call.sessions.folders.find(ticket.user, ticket.folder_id)
    asked = call.request.query_params.get("archive", "").lower() in ("1", "true", "yes")
    return await _send(call, folder, ticket.path, archive=ticket.archive or asked)


def tus_options(call: Call) -> Answer:
    """``OPTIONS /storage/upload``."""
    return Answer(
        status=204,
        content_type=OCTETS,
        headers={
            "Tus-Resumable": TUS_VERSION,
            "Tus-Version": TUS_VERSION,
            "Tus-Max-Size": str(1 << 62),
            "Tus-Extension": "checksum",
            "Tus-Checksum-Algorithm": "sha256",
        },
    )


def tus_state(call: Call) -> Answer:
    """``HEAD /storage/upload``."""
    state = call.sessions.tus.state(_token(call))
    return Answer(status=200, content_type=OCTETS, headers=state.encode())


async def tus_patch(call: Call) -> Answer:
    """``PATCH /storage/upload``."""
    headers = call.request.headers
    if headers.get("content-type", "") != TUS_CONTENT_TYPE:
        raise Refused(415, "invalid-api-params", f"The content type must be {TUS_CONTENT_TYPE}")
    head = PatchHead.decode(headers)
    async with aclosing(call.request.stream()) as body:
        state = await call.sessions.tus.receive(_token(call), head, body, _folder_within(call))
    return Answer(status=204, content_type=OCTETS, headers=state.encode())


# -- others ---------------------------------------------------------------------------------------


def share(call: Call, *, at_once: bool) -> Answer:
    """``POST /folders/{name}/invite`` and ``share``."""
    reached = call.sessions.folders.share(
        _folder(call, own=True),
        Invite.decode(call.body),
        at_once=at_once,
        known=lambda user: call.sessions.store.secret_key_of(user) is not None,
    )
    return Answer(encode_json({"shared_emails" if at_once else "invited_ids": reached}), 201)


def unshare(call: Call) -> Answer:
    """``DELETE /folders/{name}/unshare``."""
    folder = _folder(call, own=True)
    users = [user.strip().upper() for user in Invite.decode(call.body).users]
    index = call.sessions.folders.index
    done = [user for user in users if index.unshare(folder.folder_id, user)]
    return Answer(encode_json({"unshared_emails": done}))


def leave(call: Call) -> Answer:
    """``POST /folders/{name}/leave``."""
    folder = _folder(call)
    if folder.is_owner:
        detail = "delete the folder instead"
        raise Refused(400, "invalid-api-params", "An owner cannot leave", detail)
    call.sessions.folders.index.unshare(folder.folder_id, call.access_key)
    return Answer(encode_json({"msg": f"left {folder.name}"}))


def invitations(call: Call, *, sent: bool) -> Answer:
    """``GET /folders/invitations/list`` and ``list-sent``."""
    user = call.access_key
    index = call.sessions.folders.index
    found = index.invitations(inviter=user) if sent else index.invitations(invitee=user)
    return Answer(encode_json({"invitations": [item.encode() for item in found]}))


def accept(call: Call) -> Answer:
    """``POST /folders/invitations/accept``."""
    taken = call.sessions.folders.accept(call.access_key, _invitation_id(call))
    return Answer(encode_json({"msg": f"you can use {taken.folder_name} now"}))


def decline(call: Call) -> Answer:
    """``DELETE /folders/invitations/delete``; who sent it may take it back so."""
    folders = call.sessions.folders
    found = folders.invitation(call.access_key, _invitation_id(call), sent=True)
    folders.index.withdraw(found.invitation_id)
    return Answer(encode_json({"msg": f"the invitation to {found.folder_name} is withdrawn"}))


# -------------------------------------------------------------------------------------------------


def _folder(call: Call, *, write: bool = False, own: bool = False) -> Folder:
    name = call.request.path_params["name"]
    return call.sessions.folders.find(call.access_key, name, write=write, own=own)


def _wish(call: Call, *names: str, default: str | None = None) -> str:
    """A parameter from the query, or the JSON body that GETs carry too (section 12, item 17)."""
    for name in names:
        if (value := call.request.query_params.get(name)) is not None:
            return value
    body = Fields.parse(call.body, "request") if call.body else Fields({}, "request")
    return body.text(*names, default=default)


def _invitation_id(call: Call) -> str:
    return Fields.parse(call.body, "invitation").text("inv_id")


def _ticket(call: Call, token: str, kind: str, *, proxied: bool) -> Ticket:
    if not proxied:
        return Ticket(token)
    # By the address under which the client reaches us.
    url = call.request.url
    return Ticket(token, f"{url.scheme}://{url.netloc}{_STORAGE}/{kind}")


def _token(call: Call) -> str:
    found: str = call.request.path_params.get("token") or call.request.query_params.get("token", "")
    return found


def _folder_within(call: Call) -> str:
    return call.request.query_params.get("dst_dir", "")


def _check_readable(root: Path, wanted: FileRequest) -> None:
    if wanted.archive:
        vfolder_files.zip_pieces(root, wanted.path)
    else:
        vfolder_files.open_file(root, wanted.path)[0].close()


async def _send(call: Call, folder: Folder, path: str, *, archive: bool) -> Response:
    name = PurePosixPath(path).name or folder.name
    if archive:
        pieces = await call.sessions.folders.within(
            folder, lambda root: vfolder_files.zip_pieces(root, path)
        )
        return archive_response(pieces, name)
    file, state = await call.sessions.folders.within(
        folder, lambda root: vfolder_files.open_file(root, path)
    )
    headers = call.request.headers
    return file_response(
        file,
        state,
        name,
        wanted=headers.get("range"),
        unchanged_since=headers.get("if-range"),
        head_only=call.request.method == "HEAD",
    )
