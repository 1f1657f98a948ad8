"""Requests and replies about virtual folders (docs/protocol.md, section 7).

Names of folders are part of the request's path (`Era.folder_path`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import LocalProtocolError, RemoteProtocolError
from .json_fields import Fields, encode_json
from .versions import Era
from .vfolder_sharing import Permission, parse_permission

__all__ = [
    "IN_USE",
    "USAGE_MODES",
    "CreateVFolder",
    "VFolderInfo",
    "check_folder_name",
]

USAGE_MODES = ("general", "model", "data")

IN_USE = "mounted"
"""What the refusal to delete a folder says that sessions have mounted."""

MAX_NAME = 64
# Names that all eras take (docs/protocol.md, section 7.1); later ones also take some that begin
# with a dot.
_NAME = re.compile(r"[a-zA-Z0-9]([a-zA-Z0-9._-]*[a-zA-Z0-9])?")
# Paths below /folders that do not name a folder.
_RESERVED = frozenset({"invitations", "purge", "restore-from-trash-bin", "delete-from-trash-bin"})


def check_folder_name(name: str) -> str:
    """Return the name if every server takes it for a new folder.

    Raises:
        LocalProtocolError: it has other characters, is too long, or is reserved.
    """
    if not _NAME.fullmatch(name) or len(name) > MAX_NAME:
        raise LocalProtocolError(
            f"{name[:80]!r} cannot name a virtual folder: use 1 to {MAX_NAME} letters, digits, "
            "'.', '_' or '-', beginning and ending with a letter or digit"
        )
    if name in _RESERVED:
        raise LocalProtocolError(f"{name!r} cannot name a virtual folder: it is reserved")
    return name


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateVFolder:
    """Create a folder."""

    name: str
    host: str | None = None
    """Storage host; None for the server's default. Servers before 19.03 have only one."""
    group: str | None = None
    """Name or id of the project that owns it; None for the user."""
    usage_mode: str = "general"
    permission: Permission = "rw"
    cloneable: bool = False
    max_bytes: int = 0
    """Quota, 0 for the server's default. Managers take it from 20.09 to 23.09."""

    def encode(self, era: Era) -> bytes:
        """JSON body for an era.

        Raises:
            LocalProtocolError: servers refuse the name.
        """
        body: dict[str, object] = {"name": check_folder_name(self.name)}
        if era.prefix:
            return encode_json(body)
        # Managers refuse keys that they do not know.
        body |= {"host": self.host, "group": self.group}
        if era.names_session:
            body |= {
                "usage_mode": self.usage_mode,
                "permission": self.permission,
                "unmanaged_path": None,
            }
        if era.folder_transfer == "proxy":
            body["cloneable"] = self.cloneable
            if self.max_bytes:
                body["quota"] = str(self.max_bytes)
        return encode_json(body)

    @classmethod
    def decode(cls, body: bytes) -> CreateVFolder:
        """Read any era's body."""
        top = Fields.parse(body, "create folder")
        if top.raw("unmanaged_path") is not None:
            raise RemoteProtocolError("create folder: unmanaged folders are for administrators")
        mode = top.text("usage_mode", default="general")
        if mode not in USAGE_MODES:
            raise RemoteProtocolError(f"create folder: {mode[:40]!r} is not a usage mode")
        try:
            name = check_folder_name(top.text("name"))
        except LocalProtocolError as exc:
            raise RemoteProtocolError(str(exc)) from None
        return cls(
            name=name,
            host=top.text("host", default="") or None,
            group=top.text("group", default="") or None,
            usage_mode=mode,
            permission=parse_permission(top.text("permission", default="rw")),
            cloneable=top.flag("cloneable", default=False),
            max_bytes=_bytes(top.raw("quota")),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class VFolderInfo:
    """A folder as its server describes it. Seed servers give only id, name, files and age."""

    folder_id: str
    name: str
    host: str = ""
    created_at: str = ""
    """As the server wrote it."""
    permission: str = "rw"
    """What the asking key pair may do."""
    is_owner: bool = True
    usage_mode: str = "general"
    cloneable: bool = False
    owner: str = ""
    """The user who created it, as the server names users."""
    status: str = "ready"
    """``ready``, ``delete-pending`` (in the trash) and others (docs/protocol.md, section 7.5)."""
    num_files: int | None = None
    """Entries; in the seed era those at the top. None in listings."""
    used_bytes: int | None = None
    max_bytes: int = 0
    """Quota, 0 for none."""
    ownership: str = "user"
    """``user``, or ``group`` for the folder of a project."""
    project: str = ""
    """Id of the project; 26.x names that of a user's own folder, too."""
    quota_scope: str = ""
    """Id of the scope whose quota counts: ``user:`` or ``project:`` and an id (23.03+)."""

    @property
    def is_in_trash(self) -> bool:
        """Whether it was deleted, and can be restored or purged."""
        return self.status in ("delete-pending", "delete-error")

    @property
    def keeps_name(self) -> bool:
        """Whether it was deleted, and is not gone: its name is not free yet."""
        return not self.is_usable and not self.status.endswith("-complete")

    @property
    def is_usable(self) -> bool:
        """Whether it was not deleted. 23.09 says ``deleting`` until it is gone, later releases
        ``delete-pending`` and others."""
        return not self.status.startswith(("deleting", "delete-", "deleted-"))

    def encode(self, era: Era) -> dict[str, object]:
        """The JSON object.

        Args:
            era: the era whose keys to use.
        """
        if era.prefix:
            body: dict[str, object] = {"name": self.name, "id": self.folder_id}
            if self.num_files is not None:
                body |= {"numFiles": self.num_files, "created": self.created_at}
            return body
        body = {
            "id": self.folder_id,
            "name": self.name,
            "host": self.host,
            "status": self.status,
            "usage_mode": self.usage_mode,
            "permission": self.permission,
            "ownership_type": self.ownership,
            "type": self.ownership,
            "user": self.owner,
            "group": self.project or None,
            "creator": self.owner,
            "is_owner": self.is_owner,
            "created_at": self.created_at,
            "created": self.created_at,
            "last_used": None,
            "cloneable": self.cloneable,
            "max_size": self.max_bytes,
            "max_files": 0,
            "quota_scope_id": self.quota_scope or None,
        }
        if self.num_files is not None:
            body |= {"numFiles": self.num_files, "num_files": self.num_files}
        if self.used_bytes is not None:
            body |= {"used_bytes": self.used_bytes, "cur_size": self.used_bytes}
        return body

    @classmethod
    def decode(cls, value: object) -> VFolderInfo:
        """Read the object of any era; only the name is always there.

        Args:
            value: decoded JSON.

        Raises:
            RemoteProtocolError: it is malformed.
        """
        top = Fields(value, "virtual folder")
        files = top.raw("num_files", "numFiles")
        used = top.raw("used_bytes", "cur_size")
        return cls(
            folder_id=top.text("id", default=""),
            name=top.text("name"),
            host=top.text("host", default=""),
            created_at=top.text("created_at", "created", default=""),
            permission=top.text("permission", default="rw"),
            is_owner=top.flag("is_owner", default=True),
            usage_mode=top.text("usage_mode", default="general"),
            cloneable=top.flag("cloneable", default=False),
            owner=top.text("creator", "user", default=""),
            status=top.text("status", default="ready"),
            num_files=files if isinstance(files, int) else None,
            used_bytes=used if isinstance(used, int) else None,
            max_bytes=_bytes(top.raw("max_size")),
            ownership=top.text("ownership_type", "type", default="user"),
            project=top.text("group", default=""),
            quota_scope=top.text("quota_scope_id", default=""),
        )


def _bytes(value: object) -> int:
    """A quota as clients and servers write it: a number, or its decimal text; 0 for others."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19:
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**18:
        return value
    return 0
