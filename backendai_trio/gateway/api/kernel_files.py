"""Handlers of requests about files in kernels."""

from __future__ import annotations

from contextlib import aclosing
from functools import partial

import trio
from starlette.responses import Response

from ...files.thread_writer import feed_in_thread
from ...wire.archives import TAR
from ...wire.files import PathsRequest, encode_digests
from ...wire.json_fields import Fields
from ..bodies import StreamedResponse
from ..cleanup import clean_up_in_thread
from ..shares import Share
from ..storage.multipart import UploadLimits, receive_form
from ..storage.workspace import Workspace
from .handlers import NO_CONTENT, Answer, Call

__all__ = ["download", "download_archive", "download_single", "list_files", "upload"]

run_sync = trio.to_thread.run_sync


async def upload(call: Call) -> Answer:
    """``POST /session/{name}/upload``: a form."""
    content_type = call.request.headers.get("content-type", "")
    limits = UploadLimits.of(call.era) if call.sessions.manager_limits else UploadLimits()
    async with aclosing(call.request.stream()) as body:
        await receive_form(content_type, body, _workspace(call), limits)
    return NO_CONTENT


async def upload_archive(call: Call) -> Answer:
    """``PUT /session/{name}/archive?path=&preserve=``: a sealed archive of any size."""
    query = call.request.query_params
    receive = partial(_workspace(call).receive, preserve=query.get("preserve") == "1")
    receiver = await run_sync(receive, query.get("path", "."))
    await run_sync(receiver.__enter__)
    try:
        async with aclosing(call.request.stream()) as body:
            await feed_in_thread(body, receiver.feed)
        await run_sync(receiver.complete)
    finally:
        await clean_up_in_thread(receiver.__exit__)  # noqa: ASYNC102 (bounded there)
    return NO_CONTENT


async def download_archive(call: Call) -> Response:
    """``POST /session/{name}/archive``: a sealed archive of any size."""
    names = _paths(call)
    return StreamedResponse(await run_sync(_workspace(call).archive, names), TAR)


async def download(call: Call) -> Response:
    """``GET`` and ``POST /session/{name}/download``: an archive for each path."""
    limited = call.sessions.manager_limits
    make = partial(_workspace(call).multipart, _paths(call), limited=limited)
    media_type, chunks = await run_sync(make)
    return StreamedResponse(chunks, media_type)


async def download_single(call: Call) -> Response:
    """``GET`` and ``POST /session/{name}/download_single``: the content of one file."""
    limited = call.sessions.manager_limits
    size, chunks = await run_sync(partial(_workspace(call).file, _paths(call)[0], limited=limited))
    return StreamedResponse(chunks, "application/octet-stream", size)


async def list_files(call: Call) -> Answer:
    """``GET /session/{name}/files``."""
    return Answer((await run_sync(_workspace(call).listing, _paths(call)[0])).encode())


async def digests(call: Call) -> Answer:
    """``POST /session/{name}/files/digests``."""
    return Answer(encode_digests(await run_sync(_workspace(call).digests, _paths(call)[0])))


async def remove(call: Call) -> Answer:
    """``POST /session/{name}/files/remove``."""
    recursive = Fields.parse(call.body, "remove").flag("recursive", default=False)
    await run_sync(partial(_workspace(call).remove, _paths(call), recursive=recursive))
    return NO_CONTENT


async def mkdir(call: Call) -> Answer:
    """``POST /session/{name}/files/mkdir``."""
    for path in _paths(call):
        await run_sync(_workspace(call).mkdir, path)
    return NO_CONTENT


def _paths(call: Call) -> tuple[str, ...]:
    return PathsRequest.decode(call.body, call.request.query_params.multi_items()).paths


def _workspace(call: Call) -> Workspace:
    session = call.session
    files_of = call.sessions.folders.files_of
    mounts = [Share(files_of(item.folder), item.writable) for item in session.mount_points]
    return Workspace(session.host.work, session.host.staging, mounts)
