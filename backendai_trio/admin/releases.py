"""What releases of the manager have which parts of the API."""

from __future__ import annotations

import trio

from ..errors import LocalProtocolError
from ..transport.client import Client
from ..wire.versions import Hello

__all__ = ["check_release"]


async def check_release(client: Client, version: str, what: str, since: str) -> None:
    """Refuse to ask a server for what it cannot have. Our own gateway has all of it.

    Args:
        client: of the server.
        version: the API version that managers announce from that release on.
        what: begins the error: ``"dotfiles"``.
        since: the release.

    Raises:
        LocalProtocolError: the server is older.
    """
    await trio.lowlevel.checkpoint()
    if not client.hello.features and client.hello.key < Hello(version).key:
        raise LocalProtocolError(
            f"{client.hello.name} has no {what}; managers have that from {since} on"
        )
