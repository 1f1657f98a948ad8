"""Queries of the admin API, and the envelopes of their replies (docs/protocol.md, section 8.1)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import RemoteProtocolError, api_error
from .json_fields import Fields, encode_json
from .versions import Era

__all__ = ["GraphQLQuery", "decode_answer", "encode_answer", "status_of"]

# Rejections that managers tell in words, and the status that would fit.
_STATUSES = (
    (re.compile(r"no permission", re.I), 403),
    (re.compile(r"no matching|not found|no such", re.I), 404),
)
_FAILED = 400


@dataclass(frozen=True, slots=True)
class GraphQLQuery:
    """A query and its variables."""

    text: str
    variables: Mapping[str, Any] = field(repr=False)

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
    """The body of a successful reply."""
    return encode_json({"data": data} if era.graphql_enveloped else data)


def decode_answer(body: bytes, request: str) -> Mapping[str, Any]:
    """The data of a reply, bare or in its envelope: the shape says which (docs/protocol.md,
    section 8.1).

    Args:
        body: JSON.
        request: the request, for the error's text.

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
    # No query has a root field named `data`, and every envelope has that key.
    if "data" not in everything:
        return everything
    return top.nested("data").everything()


def status_of(message: str) -> int:
    """The HTTP status that fits what a server says of a mutation or query that it refuses.

    Managers tell it in words only, in a reply of status 200 or 400.

    Args:
        message: of the server.
    """
    return next((status for text, status in _STATUSES if text.search(message)), _FAILED)
