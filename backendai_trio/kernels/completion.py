"""Completing code: how it may go on from the cursor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import ApiError
from ..transport.client import Client
from ..wire.http import Request
from ..wire.json_fields import Fields

__all__ = ["complete_code"]


async def complete_code(
    client: Client, address: str, code: str, *, row: int, col: int, line: str, post: str
) -> list[str]:
    """Candidates to go on with after `code`.

    Args:
        client: of the kernel's server.
        address: the kernel's token or id in paths.
        code: the text up to the cursor.
        row: the cursor's line, from 0.
        col: the cursor's column, from 0.
        line: the text of its line.
        post: the text behind it.

    Returns:
        The candidates; an empty list where the server fails to complete.

    Raises:
        ApiError: the server refused.
        ConnectionFailed: it could not be reached.

    Endpoint: ``POST /session/{name}/complete`` (docs/protocol.md, section 4.6).
    """
    options = {"row": row, "col": col, "line": line, "post": post}
    body = {"code": code, "options": options}
    path = client.era.session_path(address, "complete")
    try:
        reply = await client.call(Request.of_json("POST", path, body))
    except ApiError as exc:
        if exc.status >= 500:
            return []
        raise
    return _candidates(Fields.parse(reply.body, "reply to complete").raw("result"))


def _candidates(result: Any) -> list[str]:
    """Candidates in any of the forms that servers have used (docs/protocol.md, section 4.6)."""
    while isinstance(result, Mapping):
        for name in ("completions", "suggestions", "result"):
            if result.get(name) is not None:
                result = result[name]
                break
        else:
            return []
    return [item for item in result if isinstance(item, str)] if isinstance(result, list) else []
