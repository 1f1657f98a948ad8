"""Ways to destroy a session (docs/protocol.md, sections 3.1 and 3.6)."""

from __future__ import annotations

from typing import TypeAlias

from ..errors import LocalProtocolError
from .versions import Era, Hello

__all__ = ["Query", "destroy_query"]

Query: TypeAlias = tuple[tuple[str, str], ...]

_RECURSIVE_SINCE = (23, 3, 1)


def destroy_query(hello: Hello, era: Era, *, force: bool = False, recursive: bool = False) -> Query:
    """The query of a request that destroys a session.

    Args:
        hello: what the server says of itself.
        era: of the server.
        force: whether it is destroyed in any state.
        recursive: whether the sessions that depend on it are destroyed, too.

    Raises:
        LocalProtocolError: the server does not know that; says from which release on others do.
    """
    if force and not era.names_session:
        raise LocalProtocolError(
            f"{hello.name} cannot destroy a session by force; managers can from 20.03 on"
        )
    if recursive and not hello.features and hello.release < _RECURSIVE_SINCE:
        raise LocalProtocolError(
            f"{hello.name} cannot destroy the sessions that depend on another; "
            "managers can from 23.03.1 on"
        )
    given = {"forced": force, "recursive": recursive}
    return tuple((name, "true") for name, is_set in given.items() if is_set)
