"""Requests and replies about a virtual folder's options, its clones, and storage hosts.

Source: docs/protocol.md, section 7.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..errors import LocalProtocolError, RemoteProtocolError
from .json_fields import Fields, decode_json, encode_json
from .vfolder_sharing import Permission, parse_permission
from .vfolders import USAGE_MODES, check_folder_name

__all__ = [
    "ChangeOptions",
    "CloneVFolder",
    "Cloned",
    "StorageHosts",
    "decode_types",
    "encode_types",
]


@dataclass(frozen=True, slots=True)
class ChangeOptions:
    """Change a folder's options; None leaves one as it is."""

    permission: Permission | None = None
    cloneable: bool | None = None

    def encode(self) -> bytes:
        """JSON body."""
        given = {"permission": self.permission, "cloneable": self.cloneable}
        return encode_json({name: value for name, value in given.items() if value is not None})

    @classmethod
    def decode(cls, body: bytes) -> ChangeOptions:
        """Read the body.

        Args:
            body: of ``POST /folders/{name}/update-options``.

        Returns:
            The request.

        Raises:
            RemoteProtocolError: it is malformed.
        """
        top = Fields.parse(body, "update options")
        permission = top.text("permission", default="")
        return cls(
            parse_permission(permission) if permission else None,
            None if top.raw("cloneable") is None else top.flag("cloneable"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CloneVFolder:
    """Copy a folder to a new one of the user's own."""

    name: str
    """Of the new folder."""
    host: str
    """Storage host of the new folder. Managers of 23.09 fail without one."""
    usage_mode: str = "general"
    permission: Permission = "rw"
    cloneable: bool = False

    def encode(self) -> bytes:
        """JSON body.

        Raises:
            LocalProtocolError: servers refuse the name, or there is no such usage mode.
        """
        if self.usage_mode not in USAGE_MODES:
            raise LocalProtocolError(
                f"{self.usage_mode!r} is not a usage mode: use one of {', '.join(USAGE_MODES)}"
            )
        return encode_json(
            {
                "target_name": check_folder_name(self.name),
                "target_host": self.host,
                "usage_mode": self.usage_mode,
                "permission": self.permission,
                "cloneable": self.cloneable,
            }
        )

    @classmethod
    def decode(cls, body: bytes) -> CloneVFolder:
        """Read the body.

        Args:
            body: of ``POST /folders/{name}/clone``.

        Returns:
            The request.

        Raises:
            RemoteProtocolError: it is malformed.
        """
        top = Fields.parse(body, "clone")
        mode = top.text("usage_mode", default="general")
        if mode not in USAGE_MODES:
            raise RemoteProtocolError(f"clone: {mode[:40]!r} is not a usage mode")
        try:
            name = check_folder_name(top.text("target_name"))
        except LocalProtocolError as exc:
            raise RemoteProtocolError(str(exc)) from None
        return cls(
            name=name,
            host=top.text("target_host", "folder_host", default=""),
            usage_mode=mode,
            permission=parse_permission(top.text("permission", default="rw")),
            cloneable=top.flag("cloneable", default=False),
        )


@dataclass(frozen=True, slots=True)
class Cloned:
    """The reply to clone: the new folder, and the task that copies the files."""

    folder_id: str
    name: str
    task_id: str = ""
    """Empty where the copy is complete already."""

    def encode(self) -> bytes:
        """JSON body."""
        task = {"bgtask_id": self.task_id} if self.task_id else {}
        return encode_json({"id": self.folder_id, "name": self.name, **task})

    @classmethod
    def decode(cls, body: bytes) -> Cloned:
        """Read the body.

        Args:
            body: of the reply to ``POST /folders/{name}/clone``.

        Returns:
            The reply, without what the server does not tell.

        Raises:
            RemoteProtocolError: it is malformed.
        """
        top = Fields.parse(body, "reply to clone")
        return cls(
            top.text("id", default=""),
            top.text("name", default=""),
            top.text("bgtask_id", default=""),
        )


@dataclass(frozen=True, slots=True)
class StorageHosts:
    """The storage hosts that a user may make folders on."""

    default: str = ""
    """Of folders that name no host; empty if there is none."""
    allowed: tuple[str, ...] = ()
    usage: Mapping[str, float] = field(default_factory=dict)
    """How full they are, in percent, where the server tells."""

    def encode(self) -> bytes:
        """JSON body."""
        volumes = {
            name: {"usage": {"percentage": percent}, "capabilities": [], "backend": "vfs"}
            for name, percent in self.usage.items()
        }
        return encode_json(
            {
                "default": self.default or None,
                "allowed": list(self.allowed),
                "volume_info": volumes,
            }
        )

    @classmethod
    def decode(cls, body: bytes) -> StorageHosts:
        """Read the body. Managers before 22.03 tell nothing of volumes.

        Args:
            body: of the reply to ``GET /folders/_/hosts``.

        Returns:
            The hosts.

        Raises:
            RemoteProtocolError: it is malformed.
        """
        top = Fields.parse(body, "storage hosts")
        usage: dict[str, float] = {}
        for name, value in top.nested("volume_info").everything().items():
            percent = Fields(value, "volume").nested("usage").raw("percentage")
            if isinstance(percent, int | float) and not isinstance(percent, bool):
                usage[name] = float(percent)
        return cls(top.text("default", default=""), top.texts("allowed"), usage)


def encode_types(types: tuple[str, ...]) -> bytes:
    """The body of the reply to ``GET /folders/_/allowed-types``.

    Args:
        types: whose folders there are: ``user``, ``group`` or both.
    """
    return encode_json(list(types))


def decode_types(body: bytes) -> tuple[str, ...]:
    """Read that body.

    Args:
        body: of the reply.

    Returns:
        The types, as for `encode_types`.

    Raises:
        RemoteProtocolError: it is malformed.
    """
    return Fields({"types": decode_json(body, "types of folders")}, "types of folders").texts(
        "types"
    )
