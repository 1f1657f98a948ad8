"""The projects of the user who asks: a query of the admin API.

Source: docs/protocol.md, section 8.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .graphql import GraphQLQuery
from .json_fields import Fields

__all__ = ["OWN_PROJECTS", "OwnProjects"]

OWN_PROJECTS = GraphQLQuery("query { user { domain_name groups { name } } }", {})
"""Without an argument it is the user who asks, whatever the role."""


@dataclass(frozen=True, slots=True)
class OwnProjects:
    """A user's domain, and the projects there."""

    domain: str
    names: tuple[str, ...]

    def encode(self) -> dict[str, object]:
        """The answer that tells it."""
        groups = [{"name": name} for name in self.names]
        return {"user": {"domain_name": self.domain, "groups": groups}}

    @classmethod
    def decode(cls, answer: Mapping[str, Any]) -> OwnProjects:
        """Read that answer.

        Args:
            answer: what `graphql.decode_answer` returns.

        Raises:
            RemoteProtocolError: it is malformed.
        """
        user = Fields(answer, "own projects").nested("user")
        names = [Fields(item, "project").text("name") for item in user.items("groups")]
        return cls(user.text("domain_name", default=""), tuple(names))
