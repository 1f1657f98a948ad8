"""Dotfiles of the own key pair: small text files that each new session gets."""

from __future__ import annotations

from ..errors import NotFound
from ..transport.client import Client
from ..wire.dotfiles import DOTFILES_SINCE, Dotfile, decode_dotfiles, dotfile_request
from ..wire.json_fields import decode_json
from .releases import check_release

__all__ = ["delete_dotfile", "get_dotfile", "list_dotfiles", "put_dotfile"]


async def list_dotfiles(client: Client) -> list[Dotfile]:
    """List the dotfiles of the own key pair, with what is in them.

    Args:
        client: of the server.

    Returns:
        The dotfiles.

    Raises:
        LocalProtocolError: the server is older than 19.09.
        ApiError: it refuses.
        ConnectionFailed: it cannot be reached.

    Endpoint: ``GET /user-config/dotfiles`` (docs/protocol.md, section 9.3).
    """
    await _check(client)
    return decode_dotfiles((await client.call(dotfile_request("GET"))).body)


async def get_dotfile(client: Client, path: str) -> Dotfile:
    """Get a dotfile of the own key pair.

    Args:
        client: of the server.
        path: such as ``.bashrc``.

    Returns:
        The dotfile.

    Raises:
        NotFound: there is no such dotfile.
        LocalProtocolError: the server is older than 19.09.
        ApiError: it refuses.
        ConnectionFailed: it cannot be reached.

    Endpoint: ``GET /user-config/dotfiles?path=`` (docs/protocol.md, section 9.3).
    """
    await _check(client)
    # Without a path, all of them would be given.
    request = dotfile_request("GET", Dotfile(path, "").path)
    reply = await client.call(request)
    return Dotfile.decode(decode_json(reply.body, "dotfile"))


async def put_dotfile(client: Client, dotfile: Dotfile) -> bool:
    """Create a dotfile of the own key pair, or replace the one at its path.

    Sessions that exist already keep theirs.

    Args:
        client: of the server.
        dotfile: what each new session gets. Servers keep 100, of 64 KiB in all.

    Returns:
        Whether it was created; else it was replaced.

    Raises:
        LocalProtocolError: the server is older than 19.09.
        ApiError: the path is reserved or that of a virtual folder, or there is no room.
        ConnectionFailed: the server cannot be reached.

    Cancellation:
        The dotfile may be there or not.

    Endpoint: ``PATCH`` and ``POST /user-config/dotfiles`` (docs/protocol.md, section 9.3).
    """
    await _check(client)
    try:
        await client.call(dotfile.request("PATCH"))
    except NotFound:
        await client.call(dotfile.request("POST"))
        return True
    return False


async def delete_dotfile(client: Client, path: str) -> None:
    """Delete a dotfile of the own key pair. Sessions that exist keep theirs.

    Args:
        client: of the server.
        path: such as ``.bashrc``.

    Raises:
        NotFound: there is no such dotfile.
        LocalProtocolError: the server is older than 19.09.
        ApiError: it refuses.
        ConnectionFailed: it cannot be reached.

    Endpoint: ``DELETE /user-config/dotfiles?path=`` (docs/protocol.md, section 9.3).
    """
    await _check(client)
    await client.call(dotfile_request("DELETE", Dotfile(path, "").path))


async def _check(client: Client) -> None:
    await check_release(client, DOTFILES_SINCE, "dotfiles", "19.09")
