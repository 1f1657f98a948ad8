"""Routes of virtual folders, and handlers of requests about folders and their users.

One set of handlers serves all API versions. Those about files are in `vfolder_files.py`.
"""

from __future__ import annotations

from functools import partial
from uuid import uuid4

from ...wire.background_tasks import TaskEvent
from ...wire.events import CONTENT_TYPE, SERVER_CLOSE, Message, encode_message
from ...wire.json_fields import Fields, encode_json
from ...wire.versions import Era
from ...wire.vfolder_requests import (
    ChangeOptions,
    Cloned,
    CloneVFolder,
    StorageHosts,
    encode_types,
)
from ...wire.vfolder_sharing import Invite
from ...wire.vfolders import CreateVFolder
from ..refusals import Refused
from ..storage.folder_refusals import HOST
from ..storage.folder_sharing import accept_invitation, find_invitation, share_folder
from ..storage.index import Folder
from . import vfolder_files as files
from .handlers import NO_CONTENT, Answer, Call, Handler
from .vfolder_files import folder_of, parameter

__all__ = ["folder_routes", "storage_routes"]


def folder_routes(era: Era) -> list[tuple[str, str, Handler]]:
    """Method, path and handler of the signed requests."""
    base = f"{era.prefix}/folders"
    one = f"{base}/{{name}}"
    routes: list[tuple[str, str, Handler]] = [
        ("GET", era.folders_path, list_folders),
        ("POST", era.folders_path, create),
        ("POST", f"{one}/upload", files.upload_form),
    ]
    if not era.prefix:
        routes += [
            ("GET", f"{base}/invitations/list", partial(invitations, sent=False)),
            ("POST", f"{base}/invitations/accept", accept),
            ("DELETE", f"{base}/invitations/delete", decline),
            ("POST", f"{one}/mkdir", files.make_directory),
            ("GET", f"{one}/files", files.list_files),
            ("DELETE", f"{one}/delete_files", files.delete_files),
            ("POST", f"{one}/invite", partial(share, at_once=False)),
        ]
    if era.folder_files_in_parts:  # 18.12 has no more than these
        routes.append(("GET", f"{one}/download", files.download_parts))
    elif not era.prefix:
        tus = f"{base}/_/tus/upload/{{token}}"
        routes += [
            ("DELETE", base, delete_by_id),
            ("POST", f"{base}/restore-from-trash-bin", restore),
            ("POST", f"{base}/delete-from-trash-bin", purge),
            ("GET", f"{base}/_/id", look_up),
            ("GET", f"{base}/_/hosts", hosts),
            ("GET", f"{base}/_/all-hosts", hosts),
            ("GET", f"{base}/_/all_hosts", hosts),
            ("GET", f"{base}/_/allowed-types", allowed_types),
            ("GET", f"{base}/_/allowed_types", allowed_types),
            ("GET", era.path("events", "background-task"), task_events),
            ("GET", f"{base}/invitations/list-sent", partial(invitations, sent=True)),
            ("POST", f"{base}/invitations/delete", decline),
            ("POST", f"{one}/rename", rename),
            ("POST", f"{one}/update-options", update_options),
            ("POST", f"{one}/move-file", files.move_file),
            ("POST", f"{one}/rename-file", files.move_file),
            ("POST", f"{one}/rename_file", files.move_file),
            ("DELETE", f"{one}/delete-files", files.delete_files),
            ("POST", f"{one}/delete-files", files.delete_files),
            ("POST", f"{one}/share", partial(share, at_once=True)),
            ("DELETE", f"{one}/unshare", unshare),
            ("POST", f"{one}/unshare", unshare),
            ("POST", f"{one}/leave", leave),
            ("POST", f"{one}/request-upload", partial(files.request_upload, proxied=True)),
            ("POST", f"{one}/request-download", partial(files.request_download, proxied=True)),
            # Until 20.03 (docs/protocol.md, section 7.2).
            ("POST", f"{one}/request_download", partial(files.request_download, proxied=False)),
            ("GET", f"{one}/download_single", files.download_single),
            ("GET", f"{base}/_/download_with_token", files.download),
            ("OPTIONS", tus, files.tus_options),
            ("HEAD", tus, files.tus_state),
            ("PATCH", tus, files.tus_patch),
        ]
    if era.folder_transfer == "proxy":
        routes += [
            ("POST", f"{one}/clone", clone),
            ("POST", f"{one}/request-download-archive", files.request_archive),
        ]
    if era.names_session:  # 19.09.14 and later, which no version number says
        begin = f"{one}/create_upload_session"
        routes.append(("POST", begin, partial(files.request_upload, proxied=False)))
    # Last, because they match all paths with two parts.
    return [*routes, ("GET", one, info), ("DELETE", one, delete)]


def storage_routes() -> list[tuple[str, str, Handler]]:
    """Requests with a token in the query: docs/protocol.md, section 7.4."""
    return [
        ("OPTIONS", f"{files.STORAGE}/upload", files.tus_options),
        ("HEAD", f"{files.STORAGE}/upload", files.tus_state),
        ("PATCH", f"{files.STORAGE}/upload", files.tus_patch),
        ("GET", f"{files.STORAGE}/download", files.download),
        ("HEAD", f"{files.STORAGE}/download", files.download),
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
    """``GET /folders/{name}``, also for one in the trash (docs/protocol.md, section 7.5)."""
    folder = folder_of(call, in_trash=None)
    described = await call.sessions.folders.describe(folder, measured=True)
    return Answer(encode_json(described.encode(call.era)))


async def delete(call: Call) -> Answer:
    """``DELETE /folders/{name}``."""
    folder = folder_of(call, own=True)
    await call.sessions.folders.delete(folder, to_trash=call.sessions.faults.trash)
    return NO_CONTENT


async def delete_by_id(call: Call) -> Answer:
    """``DELETE /folders``."""
    folder_id = Fields.parse(call.body, "delete folder").text("id")
    folders = call.sessions.folders
    folder = folders.find(call.access_key, folder_id, own=True)
    await folders.delete(folder, to_trash=call.sessions.faults.trash)
    return NO_CONTENT


def restore(call: Call) -> Answer:
    """``POST /folders/restore-from-trash-bin``."""
    call.sessions.folders.trash.discard(_trashed(call).folder_id)
    return NO_CONTENT


async def purge(call: Call) -> Answer:
    """``POST /folders/delete-from-trash-bin``."""
    await call.sessions.folders.delete(_trashed(call))
    return NO_CONTENT


def _trashed(call: Call) -> Folder:
    folder_id = Fields.parse(call.body, "folder in the trash").text("id")
    return call.sessions.folders.find(call.access_key, folder_id, own=True, in_trash=True)


def look_up(call: Call) -> Answer:
    """``GET /folders/_/id``, also for one in the trash (docs/protocol.md, section 7.5)."""
    name = parameter(call, "name", "vfolder_name")
    folder = call.sessions.folders.find(call.access_key, name, in_trash=None)
    return Answer(encode_json({"id": folder.folder_id, "name": folder.name}))


def hosts(call: Call) -> Answer:
    """``GET /folders/_/hosts``."""
    return Answer(StorageHosts(HOST, (HOST,)).encode())


def allowed_types(call: Call) -> Answer:
    """``GET /folders/_/allowed-types``."""
    return Answer(encode_types(("user",)))


async def clone(call: Call) -> Answer:
    """``POST /folders/{name}/clone``. The copy is complete when this is answered; the task that
    managers copy in has ended then."""
    folder, request = folder_of(call), CloneVFolder.decode(call.body)
    folders = call.sessions.folders
    made = await folders.clone(folder, request, call.access_key)
    task_id = str(uuid4())
    end = TaskEvent("done", task_id, f"cloned {folder.name}")
    if call.sessions.faults.clone_fails:
        await folders.delete(made)
        end = TaskEvent("failed", task_id, "no space left on the volume")
    folders.tasks.add(call.access_key, end)
    return Answer(Cloned(made.folder_id, made.name, task_id).encode(), 201)


def task_events(call: Call) -> Answer:
    """``GET /events/background-task``: of a task that has ended, as all tasks here."""
    task_id = call.request.query_params.get("taskId") or call.request.query_params.get("task_id")
    event = call.sessions.folders.tasks.find(call.access_key, task_id or "")
    last = Message(SERVER_CLOSE, "{}")
    body = encode_message(event.encode()) + encode_message(last)
    return Answer(body, content_type=CONTENT_TYPE)


def rename(call: Call) -> Answer:
    """``POST /folders/{name}/rename``."""
    name = Fields.parse(call.body, "rename").text("new_name")
    call.sessions.folders.rename(folder_of(call, own=True), name)
    return Answer(encode_json({}), 201)


def update_options(call: Call) -> Answer:
    """``POST /folders/{name}/update-options``."""
    folder = folder_of(call, own=True)
    change = ChangeOptions.decode(call.body)
    call.sessions.folders.index.change(
        folder,
        change.permission or folder.permission,
        cloneable=folder.cloneable if change.cloneable is None else change.cloneable,
    )
    return Answer(encode_json({}), 201)


# -- other users ----------------------------------------------------------------------------------


def share(call: Call, *, at_once: bool) -> Answer:
    """``POST /folders/{name}/invite`` and ``share``."""
    users = share_folder(
        call.sessions.folders.index,
        folder_of(call, own=True),
        Invite.decode(call.body),
        at_once=at_once,
        known=lambda user: call.sessions.store.secret_key_of(user) is not None,
    )
    return Answer(encode_json({"shared_emails" if at_once else "invited_ids": users}), 201)


def unshare(call: Call) -> Answer:
    """``DELETE /folders/{name}/unshare``."""
    folder = folder_of(call, own=True)
    users = [user.strip().upper() for user in Invite.decode(call.body).users]
    index = call.sessions.folders.index
    done = [user for user in users if index.unshare(folder.folder_id, user)]
    return Answer(encode_json({"unshared_emails": done}))


def leave(call: Call) -> Answer:
    """``POST /folders/{name}/leave``."""
    folder = folder_of(call)
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
    accepted = accept_invitation(call.sessions.folders.index, call.access_key, _invitation_id(call))
    return Answer(encode_json({"msg": f"you can use {accepted.folder_name} now"}))


def decline(call: Call) -> Answer:
    """``DELETE /folders/invitations/delete``: by its recipient or its sender."""
    index = call.sessions.folders.index
    found = find_invitation(index, call.access_key, _invitation_id(call), sent=True)
    index.withdraw(found.invitation_id)
    return Answer(encode_json({"msg": f"the invitation to {found.folder_name} is withdrawn"}))


def _invitation_id(call: Call) -> str:
    return Fields.parse(call.body, "invitation").text("inv_id")
