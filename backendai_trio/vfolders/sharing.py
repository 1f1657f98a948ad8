"""Other users' access to virtual folders: methods of `TrioVFolder`, and invitations."""

from __future__ import annotations

from collections.abc import Sequence

import trio

from ..errors import LocalProtocolError
from ..transport.client import Client
from ..wire.http import JSON, Request
from ..wire.json_fields import Fields
from ..wire.multipart import check_names
from ..wire.vfolder_sharing import Invitation, Invite, Permission
from .reference import VFolderReference, call_since, path_of

__all__ = [
    "accept_invitation",
    "decline_invitation",
    "invite",
    "leave",
    "list_invitations",
    "share",
    "unshare",
]


async def invite(
    folder: VFolderReference, users: Sequence[str], *, permission: Permission = "rw"
) -> list[str]:
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
    request = Request("POST", path_of(folder, "invite"), (), body, JSON)
    return await _users(folder, request, "invited_ids", "1.4")


async def share(
    folder: VFolderReference, users: Sequence[str], *, permission: Permission = "rw"
) -> list[str]:
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
    request = Request("POST", path_of(folder, "share"), (), body, JSON)
    return await _users(folder, request, "shared_emails", "21.03")


async def unshare(folder: VFolderReference, users: Sequence[str]) -> list[str]:
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
    path = path_of(folder, "unshare")
    request = Request.of_json("DELETE", path, {"emails": check_names(users)})
    return await _users(folder, request, "unshared_emails", "21.03")


async def leave(folder: VFolderReference) -> None:
    """Give up the access to a folder that another user has shared.

    Raises:
        LocalProtocolError: a manager before 20.03, which cannot do that.
        ApiError, ConnectionFailed: the request failed, e.g. since the folder is your own.

    Endpoint: ``POST /folders/{name}/leave`` (manager 20.03; docs/protocol.md, section 7.2).
    """
    request = Request.of_json("POST", path_of(folder, "leave"), {})
    await call_since(folder, request, "leave folders", "20.03")


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
    reply = await client.call(Request("GET", await _invitations_path(client, "list")))
    rows = Fields.parse(reply.body, "invitations").items("invitations")
    return [Invitation.decode(row) for row in rows]


async def accept_invitation(client: Client, invitation_id: str) -> None:
    """Accept an invitation: the folder appears among your own.

    Args:
        client: of the server.
        invitation_id: `Invitation.invitation_id`.

    Raises:
        InvalidRequest: you have a folder of the same name.
        NotFound: there is no such invitation.
        LocalProtocolError: a manager before 1.4, which has no invitations.
        ApiError, ConnectionFailed: the request failed.

    Endpoint: ``POST /folders/invitations/accept`` (manager 1.4; docs/protocol.md, section 7.3).
    """
    path = await _invitations_path(client, "accept")
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
    path = await _invitations_path(client, "delete")
    await client.call(Request.of_json("DELETE", path, {"inv_id": invitation_id}))


async def _users(folder: VFolderReference, request: Request, key: str, release: str) -> list[str]:
    reply = await call_since(folder, request, "share folders", release)
    return list(Fields.parse(reply.body, f"reply to {request}").texts(key))


async def _invitations_path(client: Client, tail: str) -> str:
    await trio.lowlevel.checkpoint()
    if client.era.prefix:
        raise LocalProtocolError("this server has no invitations (managers have them from 1.4 on)")
    return client.era.path("folders", "invitations", tail)
