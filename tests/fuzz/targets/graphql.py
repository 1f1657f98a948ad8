"""Queries of the admin API: bounded work, whatever is asked."""

from __future__ import annotations

from typing import Any

from backendai_trio.errors import RemoteProtocolError
from backendai_trio.gateway.api.graphql_filters import filtered, ordered

from ..choices import Choices

ROWS: list[dict[str, Any]] = [
    {"name": "lab" * 20, "status": "RUNNING", "num": number, "created_at": None}
    for number in range(3)
]


def graphql_filter(data: bytes) -> None:
    """A filter or order gives some of the rows, or is refused."""
    choices = Choices(data)
    is_order = choices.flag()
    text = choices.rest().decode("utf-8", "replace")
    try:
        found = ordered(ROWS, text) if is_order else filtered(ROWS, text)
    except RemoteProtocolError as exc:
        assert str(exc)
        return
    assert all(row in ROWS for row in found)
    assert not is_order or len(found) == len(ROWS)
