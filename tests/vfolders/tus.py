"""The requests of an upload in parts (tus), one by one."""

from __future__ import annotations

from collections.abc import AsyncIterator

import trio

from backendai_trio import Client
from backendai_trio.wire.http import Request
from backendai_trio.wire.storage_proxy import PatchHead, TusState
from backendai_trio.wire.vfolder_files import FileRequest, Ticket


async def begun(client: Client, path: str, size: int) -> tuple[Request, Request, object]:
    """An upload that was begun: HEAD and PATCH requests for it, and where they go."""
    where = client.era.folder_path("data", "request-upload")
    body = FileRequest(path, size).encode(client.era)
    reply = await client.call(Request("POST", where, (), body, "application/json"))
    ticket = Ticket.decode(reply.body)
    address, where = ticket.place
    query = (("token", ticket.token),)
    kind = "application/offset+octet-stream"
    return (
        Request("HEAD", where, query),
        Request("PATCH", where, query, content_type=kind),
        address,
    )


async def bytes_of(data: bytes) -> AsyncIterator[bytes]:
    await trio.lowlevel.checkpoint()
    yield data


async def patch(
    client: Client, request: Request, address: object, data: bytes, head: PatchHead
) -> int:
    async with client.request(
        request,
        to=address,  # type: ignore[arg-type]
        headers=head.encode(),
        content=bytes_of(data),
        content_length=len(data),
    ) as reply:
        return TusState.decode(reply.headers).offset
