"""UUIDs in texts: ids of sessions, containers, projects and users."""

from __future__ import annotations

import re
from uuid import UUID

__all__ = ["is_dashed_uuid", "is_same_uuid", "is_uuid"]

_DASHED = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def is_uuid(text: str) -> bool:
    """Whether a text reads as a UUID, in any of the forms that Python's parser takes. Managers read
    the names in their paths and arguments like that (docs/protocol.md, section 3.9).

    Args:
        text: any.
    """
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def is_dashed_uuid(text: str) -> bool:
    """Whether a text is a UUID in the form in which managers write ids; names may have other forms.

    Args:
        text: any.
    """
    return _DASHED.fullmatch(text) is not None


def is_same_uuid(one: str, other: str) -> bool:
    """Whether two texts are the same UUID, with dashes or without.

    Args:
        one: a UUID, or any text.
        other: likewise.
    """
    return is_uuid(one) and is_uuid(other) and UUID(one) == UUID(other)
