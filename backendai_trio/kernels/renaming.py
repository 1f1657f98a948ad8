"""Giving a kernel another token."""

from __future__ import annotations

import trio

from ..errors import InvalidRequest, LocalProtocolError, NotFound
from ..transport.client import Client
from ..wire.http import UNKNOWN_ROUTE, Request
from ..wire.kernels import check_name
from ..wire.resumable import RESUMABLE_STREAMS
from .lookup import kernel_info

__all__ = ["rename_kernel"]


async def rename_kernel(client: Client, address: str, token: str, new_token: str) -> None:
    """Give a kernel another token.

    Args:
        client: of the kernel's server.
        address: the kernel's token or id in paths.
        token: its token.
        new_token: its next one; see `TrioKernel.rename`.

    Raises:
        LocalProtocolError: the new token is malformed, or a manager before 21.09.3, which cannot
            rename kernels.
        NotFound: the kernel is gone.
        InvalidRequest: another kernel has the new token.
        ApiError, ConnectionFailed: the server refused or failed, or could not be reached.

    Endpoint: ``POST /session/{name}/rename`` (docs/protocol.md, section 3.1).
    """
    if not client.era.names_session:
        await trio.lowlevel.checkpoint()
        raise _too_old(token)
    body = {"name": check_name(client.hello, new_token)}
    path = client.era.session_path(address, "rename")
    # In both places: servers have looked in the one and in the other (docs/protocol.md,
    # section 3.8).
    request = Request.of_json("POST", path, body, query=tuple(body.items()))
    if new_token != token:
        await _refuse_taken(client, new_token, f"POST {path}")
    try:
        await client.call(request)
    except NotFound as exc:
        if exc.kind in UNKNOWN_ROUTE and not client.era.takes_ids:
            raise _too_old(token) from exc
        raise


async def _refuse_taken(client: Client, token: str, request: str) -> None:
    """Refuse another kernel's token, where the server gives it to both (managers up to 23.09 at
    least)."""
    if client.has(RESUMABLE_STREAMS):
        await trio.lowlevel.checkpoint()
        return
    try:
        await kernel_info(client, token)
    except NotFound:
        return
    raise InvalidRequest(
        400,
        kind="session-already-exists",
        title=f"The token is taken: a kernel {token!r} exists; use another token",
        request=request,
    )


def _too_old(token: str) -> LocalProtocolError:
    return LocalProtocolError(f"kernel {token!r} cannot be renamed: managers can from 21.09.3 on")
