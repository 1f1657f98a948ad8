"""Queries of the admin API and the envelopes their answers come in.

Source: contract section 8. A field that an older schema lacks makes the whole query fail there, so
each era asks for the least it needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import RemoteProtocolError, api_error
from .fields import Fields, encode_json
from .versions import Era

__all__ = ["GraphQLQuery", "SessionRow", "decode_answer", "encode_answer", "list_sessions"]


@dataclass(frozen=True, slots=True)
class GraphQLQuery:
    """A query and its variables."""

    text: str
    variables: Mapping[str, Any]

    def encode(self) -> bytes:
        """JSON body of the request."""
        return encode_json({"query": self.text, "variables": dict(self.variables)})

    @classmethod
    def decode(cls, body: bytes) -> GraphQLQuery:
        """Read the body of a request."""
        top = Fields.parse(body, "GraphQL request")
        variables = top.raw("variables")
        if variables is not None and not isinstance(variables, dict):
            raise RemoteProtocolError("GraphQL request: variables must be an object")
        return cls(top.text("query"), variables or {})


def encode_answer(data: object, era: Era) -> bytes:
    """The body of a successful answer."""
    return encode_json({"data": data} if era.graphql_enveloped else data)


def decode_answer(body: bytes, request: str) -> Mapping[str, Any]:
    """The data of an answer, bare or in its envelope (told apart by shape: section 8.1).

    Raises:
        ApiError: the envelope holds errors.
        RemoteProtocolError: it is neither.
    """
    top = Fields.parse(body, "GraphQL answer")
    errors = top.items("errors")
    if errors:
        texts = [
            str(item.get("message", item)) if isinstance(item, dict) else str(item)
            for item in errors
        ]
        raise api_error(400, kind="graphql-error", title="; ".join(texts), request=request)
    everything = top.everything()
    # The bare form never has a root field called `data`; the envelope always has it.
    if "data" not in everything:
        return everything
    return top.nested("data").everything()


@dataclass(frozen=True, slots=True)
class SessionRow:
    """One line of ``ps``."""

    token: str
    runtime: str
    status: str
    created_at: str
    """ISO 8601, as the server wrote it."""
    terminated_at: str = ""
    slots: str = ""
    """Resources in use, as the server wrote them."""

    @classmethod
    def decode(cls, row: object) -> SessionRow:
        """Read a row of any era."""
        fields = Fields(row, "session row")
        slots = fields.raw("occupying_slots", "occupied_slots")
        return cls(
            fields.text("name", "sess_id", "id", default=""),
            fields.text("image", "lang", default=""),
            fields.text("status", default=""),
            fields.text("created_at", default=""),
            fields.text("terminated_at", default=""),
            slots if isinstance(slots, str) else "",
        )


def list_sessions(
    era: Era, *, status: str | None, offset: int = 0, limit: int = 100
) -> tuple[GraphQLQuery, str]:
    """The query for a page of sessions, and the name of the field that holds them.

    Args:
        era: whose schema to ask.
        status: one of the status names (a comma list from 20.03 on), None for all.
        offset: rows to skip; seed servers give all rows at once.
        limit: rows at most, 1-100.
    """
    if era.prefix:
        return (
            GraphQLQuery(
                "query($status:String) { compute_sessions(status:$status) "
                "{ sess_id lang status created_at terminated_at } }",
                {"status": status},
            ),
            "compute_sessions",
        )
    names = "name image" if era.names_session else "sess_id lang"
    text = (
        "query($limit:Int!, $offset:Int!, $status:String) "
        "{ compute_session_list(limit:$limit, offset:$offset, status:$status) "
        f"{{ items {{ {names} status created_at }} total_count }} }}"
    )
    return (
        GraphQLQuery(text, {"limit": limit, "offset": offset, "status": status}),
        "compute_session_list",
    )
