"""Sessions by their names (``GET /session/_/match``; docs/protocol.md, section 3.1)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .json_fields import Fields, encode_json

__all__ = ["KernelMatch", "decode_matches", "encode_matches"]


@dataclass(frozen=True, slots=True)
class KernelMatch:
    """A session whose id or name begins with what was searched for."""

    kernel_id: str
    """UUID."""
    token: str
    """The session's name."""
    status: str

    def is_named(self, name: str) -> bool:
        """Whether this is its whole id or name.

        Args:
            name: what was searched for.
        """
        return name in (self.kernel_id, self.token)


def encode_matches(matches: Iterable[KernelMatch]) -> bytes:
    """The JSON body of the reply.

    Args:
        matches: the sessions.
    """
    rows = [{"id": m.kernel_id, "name": m.token, "status": m.status} for m in matches]
    return encode_json({"matches": rows})


def decode_matches(body: bytes) -> list[KernelMatch]:
    """Read the reply.

    Args:
        body: JSON.

    Raises:
        RemoteProtocolError: it is malformed.
    """
    found = []
    for item in Fields.parse(body, "matching sessions").items("matches"):
        row = Fields(item, "matching session")
        found.append(
            KernelMatch(row.text("id"), row.text("name"), row.text("status", default="RUNNING"))
        )
    return found
