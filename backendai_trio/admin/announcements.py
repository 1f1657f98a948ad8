"""What the administrators of a cluster announce."""

from __future__ import annotations

from ..transport.client import Client
from ..wire.announcements import ANNOUNCEMENT_PATH, announce_request, decode_announcement
from ..wire.http import Request
from .releases import check_release

__all__ = ["announce", "get_announcement"]

_SINCE = "v4.20190615"


async def get_announcement(client: Client) -> str:
    """Get the announcement of the cluster's administrators.

    Args:
        client: of the server.

    Returns:
        Its text; empty if there is none.

    Raises:
        LocalProtocolError: the server is older than 19.09.
        ApiError: it refuses.
        ConnectionFailed: it cannot be reached.

    Endpoint: ``GET /manager/announcement`` (docs/protocol.md, section 9.3).
    """
    await _check(client)
    # Signed: managers ask for it from 26.x on.
    return decode_announcement((await client.call(Request("GET", ANNOUNCEMENT_PATH))).body)


async def announce(client: Client, text: str) -> None:
    """Change the announcement. It takes the key pair of a super-administrator.

    Args:
        client: of the server.
        text: of the announcement; empty to take it back.

    Raises:
        LocalProtocolError: the server is older than 19.09.
        AuthError: the key pair is not a super-administrator's.
        ApiError: the server refuses.
        ConnectionFailed: it cannot be reached.

    Endpoint: ``POST /manager/announcement`` (docs/protocol.md, section 9.3).
    """
    await _check(client)
    await client.call(announce_request(text))


async def _check(client: Client) -> None:
    await check_release(client, _SINCE, "announcements", "19.09")
