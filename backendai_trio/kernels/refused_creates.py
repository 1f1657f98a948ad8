"""What a caller can do about a create that was refused."""

from __future__ import annotations

import re

from ..errors import ApiError
from ..wire.kernel_spec import KernelSpec

__all__ = ["advice_for", "is_refused_place"]

_OF_KINDS = {
    "scaling-group-not-found": "resource group",
    "vfolder-not-found": "folder",
    "folder-not-found": "folder",
    "domain-not-found": "domain",
    "group-not-found": "project",
    "project-not-found": "project",
}
# The longer names come first: "scaling group" is no group.
_NAMES = (
    ("resource group", r"(?:scaling|resource)[ -]groups?"),
    ("folder", r"vfolders?|virtual folders?"),
    ("domain", r"domain"),
    ("project", r"group|project"),
)
_TAKEN = ("session-already-exists", "kernel-already-exists")
_SCOPE = re.compile(r"\bon session at scopes \[(project|domain)id")
"""Where a user may not make sessions, in the detail of a 403 of managers from 26.9 on."""
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"|\([^)]*\)|\{.*\}", re.DOTALL)
"""What may hold names that the user has given."""


def advice_for(error: ApiError, spec: KernelSpec) -> str:
    """What to do about a create that was refused for what it names; ``""`` where that is unknown.

    Args:
        error: the refusal. Managers from 22.03 to 25.6 have one kind for all that is not there, and
            name it in the title; for a project or a domain that is not the user's, all managers up
            to 26.2 have the kind of malformed parameters, and 26.9 refuses permission
            (docs/protocol.md, section 10).
        spec: what was to be created.
    """
    if error.kind in _TAKEN:
        return "use another token (-t), or end that kernel first ('backend.ai rm')"
    match _refused(error):
        case "resource group":
            return "name one that you may use with --resource-group (KernelSpec.resource_group)"
        case "folder":
            return "'backend.ai vfolder list' lists yours"
        case "domain":
            return "name yours with -d, BACKEND_DOMAIN or KernelSpec.domain"
        case "project":
            which = f"{spec.project!r} is no project of yours" if spec.project else "none was named"
            return f"{which}: name one with -g, BACKEND_GROUP or KernelSpec.project"
    return ""


def is_refused_place(error: ApiError) -> bool:
    """Whether a create was refused for its project or its domain.

    Args:
        error: what the server has answered to the create.
    """
    return _refused(error) in ("project", "domain")


def _refused(error: ApiError) -> str:
    """The name in the request that the server did not take: one of `_NAMES`, or ``""``."""
    if error.status == 403 and (scope := _SCOPE.search(error.detail.lower())):
        return scope[1]
    if error.status not in (400, 404) or error.is_unknown_image:
        return ""
    if error.kind in _OF_KINDS:
        return _OF_KINDS[error.kind]
    title, detail = (_QUOTED.sub("", text.lower()) for text in (error.title, error.detail))
    for what, names in _NAMES:
        if error.status == 404 and re.search(rf"\b(?:{names})\b", title):
            return what
        refused = rf"\b(?:invalid|unknown|no such) (?:{names})\b|\bset the (?:{names}) to\b"
        if error.status == 400 and (re.search(refused, title) or re.search(refused, detail)):
            return what
    return ""
