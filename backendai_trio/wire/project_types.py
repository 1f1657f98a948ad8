"""The types of projects that a release has.

Source: docs/protocol.md, section 8.3.
"""

from __future__ import annotations

__all__ = ["project_types"]

_TYPES_SINCE = (24, 3)
_PERSONAL_SINCE = (26, 9, 6)


def project_types(release: tuple[int, ...]) -> list[str]:
    """The types to ask for to see every project; a query that names no type gets the first.

    Args:
        release: of the server, as `Hello.release`.

    Returns:
        Their names; none where projects have no type.
    """
    if release < _TYPES_SINCE:
        return []
    personal = ["PERSONAL"] if release >= _PERSONAL_SINCE else []
    return ["GENERAL", "MODEL_STORE", *personal]
