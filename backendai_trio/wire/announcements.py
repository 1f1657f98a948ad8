"""The announcement of a cluster's administrators (docs/protocol.md, section 9.3)."""

from __future__ import annotations

from .http import Request
from .json_fields import Fields, encode_json

__all__ = ["ANNOUNCEMENT_PATH", "announce_request", "decode_announcement", "encode_announcement"]

ANNOUNCEMENT_PATH = "/manager/announcement"


def announce_request(text: str) -> Request:
    """The request that changes the announcement.

    Args:
        text: of the announcement; empty to take it back.
    """
    body = {"enabled": True, "message": text} if text else {"enabled": False}
    return Request.of_json("POST", ANNOUNCEMENT_PATH, body)


def encode_announcement(text: str) -> bytes:
    """The body of a reply.

    Args:
        text: of the announcement; empty for none.
    """
    return encode_json({"enabled": bool(text), "message": text})


def decode_announcement(body: bytes) -> str:
    """Read a reply, or the body of a request that changes it; empty for no announcement.

    Args:
        body: JSON.

    Raises:
        RemoteProtocolError: it is malformed.
    """
    fields = Fields.parse(body, "announcement")
    return fields.text("message", default="") if fields.flag("enabled", default=False) else ""
