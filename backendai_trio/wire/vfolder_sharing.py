"""Permissions of virtual folders, and requests and replies about other users' access.

Source: docs/protocol.md, section 7.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from ..errors import RemoteProtocolError
from .json_fields import Fields, encode_json

__all__ = ["Invitation", "Invite", "Permission", "parse_permission"]


Permission = Literal["ro", "rw", "wd"]
"""Read only; read and write; also delete."""


def parse_permission(text: str) -> Permission:
    """Check a permission that was received.

    Raises:
        RemoteProtocolError: there is no such permission.
    """
    for known in get_args(Permission):
        if text == known:
            return known  # type: ignore[no-any-return]
    raise RemoteProtocolError(f"{text[:40]!r} is not a permission: use 'ro', 'rw' or 'wd'")


@dataclass(frozen=True, slots=True)
class Invite:
    """Offer a folder to other users (``invite``), or give them access at once (``share``)."""

    users: tuple[str, ...]
    permission: Permission = "rw"

    def encode(self, *, at_once: bool) -> bytes:
        """JSON body; the two requests name the same things differently."""
        if at_once:
            return encode_json({"emails": list(self.users), "permission": self.permission})
        return encode_json({"user_ids": list(self.users), "perm": self.permission})

    @classmethod
    def decode(cls, body: bytes) -> Invite:
        """Read the body of either request, or of ``unshare``."""
        top = Fields.parse(body, "invite")
        permission = parse_permission(top.text("perm", "permission", default="rw"))
        return cls(top.texts("user_ids", "emails"), permission)


@dataclass(frozen=True, slots=True, kw_only=True)
class Invitation:
    """A folder that another user offers."""

    invitation_id: str
    folder_id: str
    folder_name: str = ""
    inviter: str = ""
    invitee: str = ""
    permission: str = "rw"
    created_at: str = ""

    def encode(self) -> dict[str, object]:
        """A JSON object."""
        return {
            "id": self.invitation_id,
            "vfolder_id": self.folder_id,
            "vfolder_name": self.folder_name,
            "inviter": self.inviter,
            "invitee": self.invitee,
            "perm": self.permission,
            "mount_permission": self.permission,
            "state": "pending",
            "status": "pending",
            "created_at": self.created_at,
        }

    @classmethod
    def decode(cls, value: object) -> Invitation:
        """Read the object of any era.

        Args:
            value: decoded JSON.

        Raises:
            RemoteProtocolError: it is malformed.
        """
        top = Fields(value, "invitation")
        return cls(
            invitation_id=top.text("id"),
            folder_id=top.text("vfolder_id", default=""),
            folder_name=top.text("vfolder_name", default=""),
            inviter=top.text("inviter", default=""),
            invitee=top.text("invitee", default=""),
            permission=top.text("perm", "mount_permission", default="rw"),
            created_at=top.text("created_at", default=""),
        )
