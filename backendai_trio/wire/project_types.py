"""The types of projects that a release has.

Source: docs/protocol.md, section 8.3.
"""

from __future__ import annotations

from .versions import Hello

__all__ = ["project_types"]

_TYPES_SINCE = (24, 3)
_PERSONAL_SINCE = (26, 9, 6)


def project_types(hello: Hello) -> list[str]:
    """The types to ask for to see every project; a query that names no type gets the first.

    Args:
        hello: what the server says of itself.

    Returns:
        Their names; none where projects have no type.
    """
    if hello.release < _TYPES_SINCE:
        return []
    personal = ["PERSONAL"] if hello.release >= _PERSONAL_SINCE else []
    return ["GENERAL", "MODEL_STORE", *personal]
