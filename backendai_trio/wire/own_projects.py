"""The projects of the user who asks: a query of the admin API.

Source: docs/protocol.md, section 8.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .graphql import GraphQLQuery
from .json_fields import Fields
from .project_types import project_types
from .versions import Hello

__all__ = ["DEFAULT_PROJECT", "OwnProjects", "own_projects_query"]

DEFAULT_PROJECT = "default"
"""What managers take a project, or a domain, for that is not named."""

# Without an argument, `user` is the one who asks, whatever the role.
_USER = "user { domain_name groups { id name } }"


def own_projects_query(hello: Hello) -> GraphQLQuery:
    """The query for the projects that a user makes sessions in.

    Args:
        hello: what the server says of itself. Where projects have types, those of a user have
            all of them, and no type; the list of projects, without an argument, has only general
            ones, which an administrator need not be a member of.
    """
    general = " groups { id }" if project_types(hello.release) else ""
    return GraphQLQuery(f"query {{ {_USER}{general} }}", {})


@dataclass(frozen=True, slots=True)
class OwnProjects:
    """A user's domain, and the projects there."""

    domain: str
    names: tuple[str, ...]

    def encode(self) -> dict[str, object]:
        """The answer that tells it."""
        groups = [{"id": name, "name": name} for name in self.names]
        user = {"domain_name": self.domain, "groups": groups}
        return {"user": user, "groups": [{"id": name} for name in self.names]}

    @classmethod
    def decode(cls, answer: Mapping[str, Any]) -> OwnProjects:
        """Read the data of the answer to `own_projects_query`.

        Args:
            answer: what `graphql.decode_answer` returns.

        Raises:
            RemoteProtocolError: it is malformed.
        """
        top = Fields(answer, "own projects")
        if "user" in answer and answer["user"] is None:
            return cls("", ())  # it tells nothing of this user
        user = top.nested("user")
        own = [Fields(item, "project") for item in user.items("groups")]
        if "groups" in answer:
            general = {Fields(item, "project").text("id") for item in top.items("groups")}
            own = [item for item in own if item.text("id") in general]
        names = [item.text("name") for item in own]
        return cls(user.text("domain_name", default=""), tuple(names))
