"""Handlers of requests about files in virtual folders.

They cover managers that take files themselves (until 20.03) and those with a storage proxy, which
the gateway is as well.
"""

from __future__ import annotations

from contextlib import ExitStack, aclosing
from pathlib import Path, PurePosixPath

from starlette.responses import Response

from ...wire.files import PathsRequest
from ...wire.http import OCTETS
from ...wire.json_fields import Fields, encode_json
from ...wire.storage_proxy import TUS_CONTENT_TYPE, TUS_VERSION, PatchHead
from ...wire.vfolder_files import (
    ArchiveRequest,
    FileRequest,
    MakeDirectory,
    MoveFile,
    RemoveFiles,
    Ticket,
)
from ..refusals import Refused
from ..releases import OURS
from ..storage import vfolder_archives as archives
from ..storage import vfolder_files as disk
from ..storage.downloads import archive_response, file_response, parts_response
from ..storage.index import Folder
from ..storage.multipart import UploadLimits, receive_form
from ..storage.workspace import Workspace
from .handlers import Answer, Call

__all__ = ["STORAGE", "folder_of", "parameter"]

STORAGE = "/storage"
"""Path of the storage proxy."""


def folder_of(
    call: Call, *, write: bool = False, own: bool = False, in_trash: bool | None = False
) -> Folder:
    """The folder in a request's path; see `VFolders.find`."""
    name = call.request.path_params["name"]
    return call.sessions.folders.find(
        call.access_key, name, write=write, own=own, in_trash=in_trash
    )


def parameter(call: Call, *names: str, default: str | None = None) -> str:
    """A parameter from the query, or from the JSON body, which GETs have as well.

    Source: docs/protocol.md, section 12, item 17.
    """
    for name in names:
        if (value := call.request.query_params.get(name)) is not None:
            return value
    body = Fields.parse(call.body, "request") if call.body else Fields({}, "request")
    return body.text(*names, default=default)


# -- files ---------------------------------------------------------------------------------------


async def list_files(call: Call) -> Answer:
    """``GET /folders/{name}/files``."""
    path = parameter(call, "path", default=".")
    listing = await call.sessions.folders.within(
        folder_of(call), lambda root: disk.list_entries(root, path)
    )
    return Answer(listing.encode_items(numeric_modes=call.sessions.release.numeric_modes))


async def make_directory(call: Call) -> Answer:
    """``POST /folders/{name}/mkdir``."""
    request = MakeDirectory.decode(call.body, call.era)
    await call.sessions.folders.within(
        folder_of(call, write=True), lambda root: disk.make_directory(root, request)
    )
    return Answer(encode_json({}), 201)


async def move_file(call: Call) -> Answer:
    """``POST /folders/{name}/move-file`` and ``rename-file``."""
    request = MoveFile.decode(call.body)
    await call.sessions.folders.within(
        folder_of(call, write=True), lambda root: disk.move(root, request)
    )
    return Answer(encode_json({}), 201)


async def delete_files(call: Call) -> Answer:
    """``DELETE /folders/{name}/delete-files``."""
    request = RemoveFiles.decode(call.body)
    await call.sessions.folders.within(
        folder_of(call, write=True), lambda root: disk.remove(root, request)
    )
    return Answer(encode_json({}))


async def upload_form(call: Call) -> Answer:
    """``POST /folders/{name}/upload``."""
    folders = call.sessions.folders
    folder = folder_of(call, write=True)
    limits = UploadLimits(room_bytes=await folders.room_in(folder))
    staging = folders.disk.staging_of(folder.folder_id)
    workspace = Workspace(folders.files_of(folder), staging, is_lasting=True)
    content_type = call.request.headers.get("content-type", "")
    async with aclosing(call.request.stream()) as body:
        await receive_form(content_type, body, workspace, limits)
    return Answer(status=201)


async def request_upload(call: Call, *, proxied: bool) -> Answer:
    """``POST /folders/{name}/request-upload``."""
    request = FileRequest.decode(call.body)
    if request.size is None:
        raise Refused(400, "invalid-api-params", "The size is missing")
    folder = folder_of(call, write=True)
    if not proxied:  # these managers do not make folders, and fail after the whole upload
        await call.sessions.folders.within(
            folder, lambda root: disk.check_parent(root, request.path)
        )
    token = await call.sessions.tus.begin(folder, request.path, request.size)
    return Answer(_ticket(call, token, "upload", proxied=proxied).encode())


async def request_download(call: Call, *, proxied: bool) -> Answer:
    """``POST /folders/{name}/request-download``."""
    folder, request = folder_of(call), FileRequest.decode(call.body)
    # A file that cannot be read is refused now, and not when the client downloads it.
    await call.sessions.folders.within(folder, lambda root: _check_readable(root, request))
    token = call.sessions.tickets.issue(
        call.access_key, folder.folder_id, request.path, archive=request.archive
    )
    return Answer(_ticket(call, token, "download", proxied=proxied).encode())


async def request_archive(call: Call) -> Answer:
    """``POST /folders/{name}/request-download-archive``."""
    release = call.sessions.release
    if not (release is OURS or release.hello.archives_folders):
        raise Refused(404, "generic-not-found", "Unknown URL path")
    folder, request = folder_of(call), ArchiveRequest.decode(call.body)
    files = archives.outermost(request.files)
    # What cannot be read is refused now, and not when the client downloads it.
    await call.sessions.folders.within(folder, lambda root: archives.zip_paths(root, files))
    token = call.sessions.tickets.issue(
        call.access_key,
        folder.folder_id,
        request.name.removesuffix(".zip") or folder.name,
        archive=True,
        files=files,
    )
    return Answer(_ticket(call, token, "download", proxied=True).encode())


async def download_single(call: Call) -> Response:
    """``GET /folders/{name}/download_single``."""
    return await _send_file(call, folder_of(call), parameter(call, "file", "path"), archive=False)


async def download_parts(call: Call) -> Response:
    """``GET /folders/{name}/download`` until 18.12."""
    paths = PathsRequest.decode(call.body, call.request.query_params.multi_items()).paths

    def open_all(root: Path) -> Response:
        files = []
        with ExitStack() as opened:
            for path in paths:
                file, state = disk.open_file(root, path)
                files.append((opened.enter_context(file), state))
            opened.pop_all()
        return parts_response(files)

    return await call.sessions.folders.within(folder_of(call), open_all)


# -- storage --------------------------------------------------------------------------------------


async def download(call: Call) -> Response:
    """``GET /storage/download``; ``GET /folders/_/download_with_token`` until 20.03."""
    ticket = call.sessions.tickets.find(call.request.query_params.get("token", ""))
    folder = call.sessions.folders.find(ticket.user, ticket.folder_id)
    if ticket.files:
        chunks = await call.sessions.folders.within(
            folder, lambda root: archives.zip_paths(root, ticket.files)
        )
        return archive_response(chunks, ticket.path)
    archive = call.request.query_params.get("archive", "").lower() in ("1", "true", "yes")
    return await _send_file(call, folder, ticket.path, archive=ticket.archive or archive)


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


def _ticket(call: Call, token: str, kind: str, *, proxied: bool) -> Ticket:
    if not proxied:
        return Ticket(token)
    # The address by which the client reaches the gateway.
    url = call.request.url
    return Ticket(token, f"{url.scheme}://{url.netloc}{STORAGE}/{kind}")


def _token(call: Call) -> str:
    found: str = call.request.path_params.get("token") or call.request.query_params.get("token", "")
    return found


def _folder_within(call: Call) -> str:
    return call.request.query_params.get("dst_dir", "")


def _check_readable(root: Path, request: FileRequest) -> None:
    if request.archive:
        archives.zip_chunks(root, request.path)
    else:
        disk.open_file(root, request.path)[0].close()


async def _send_file(call: Call, folder: Folder, path: str, *, archive: bool) -> Response:
    name = PurePosixPath(path).name or folder.name
    if archive:
        chunks = await call.sessions.folders.within(
            folder, lambda root: archives.zip_chunks(root, path)
        )
        return archive_response(chunks, name)
    file, state = await call.sessions.folders.within(
        folder, lambda root: disk.open_file(root, path)
    )
    headers = call.request.headers
    return file_response(
        file,
        state,
        name,
        range_header=headers.get("range"),
        if_range=headers.get("if-range"),
        head_only=call.request.method == "HEAD",
    )
