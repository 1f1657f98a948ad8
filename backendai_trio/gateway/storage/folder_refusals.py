"""How requests for new virtual folders, or more files in them, are refused."""

from __future__ import annotations

from ...wire.vfolders import CreateVFolder
from ..refusals import Refused

__all__ = ["HOST", "check_supported", "name_is_taken", "no_room"]

HOST = "local"
"""Name of the only storage host."""


def check_supported(request: CreateVFolder) -> None:
    """Refuse what a gateway does not have.

    Raises:
        Refused: 400, the request names another storage host, or a group.
    """
    if request.host not in (None, HOST):
        detail = f"{request.host!r} is unknown; the only storage host here is {HOST!r}"
        raise Refused(400, "invalid-api-params", "No such storage host", detail)
    if request.group is not None:
        detail = "folders belong to users here; leave out the group (--group)"
        raise Refused(400, "invalid-api-params", "This gateway has no groups", detail)


def name_is_taken(name: str) -> Refused:
    """The answer when a user would have two folders of a name."""
    detail = f"you have a folder named {name!r}; use another name"
    return Refused(400, "vfolder-already-exists", "The name is taken", detail)


def no_room(quota: int, name: str) -> Refused:
    """The answer when files do not fit into a folder.

    Args:
        quota: how many bytes the folder may hold.
        name: the folder's name.
    """
    detail = f"{name!r} may hold {quota:,} bytes; remove files first"
    return Refused(412, "quota-exceeded", "The folder's quota is exceeded", detail)
