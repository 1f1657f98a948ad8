"""Mutations of administrators that are not about one object's settings: images, and who may use a
resource group (docs/protocol.md, section 8.4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..errors import LocalProtocolError
from .admin_settings import Release, release_text
from .graphql import GraphQLQuery

__all__ = ["CALLS", "AdminCall"]


@dataclass(frozen=True, slots=True)
class AdminCall:
    """A mutation with plain arguments."""

    name: str
    about: str
    """What it does, for errors: ``forget images``."""
    arguments: Mapping[str, str]
    """Types by name."""
    since: Release = (19, 9)
    arguments_since: Mapping[str, Release] | None = None
    """Releases of arguments that came later."""
    early_types: Mapping[str, tuple[Release, str]] | None = None
    """Other types of arguments, before a release."""
    fields: Mapping[str, Release] | None = None
    """Fields of the reply besides ``ok`` and ``msg``, and their first releases."""

    def query(self, values: Mapping[str, str], release: Release) -> GraphQLQuery:
        """The request.

        Args:
            values: of the arguments; an empty one is left out.
            release: of the server; empty if unknown.

        Returns:
            The query, whose variables are those values.

        Raises:
            LocalProtocolError: the release has no such mutation, or no such argument of it.
        """
        given = {name: value for name, value in values.items() if value}
        if release and release < self.since:
            raise LocalProtocolError(self._missing("", release, self.since))
        for name in given:
            since = (self.arguments_since or {}).get(name, ())
            if release and release < since:
                raise LocalProtocolError(self._missing(f" by {name}", release, since))
        for name, kind in self.arguments.items():
            if kind.endswith("!") and name not in given:
                raise LocalProtocolError(f"to {self.about}, {name} is needed")
        declared = ", ".join(f"${name}: {self.type_of(name, release)}" for name in given)
        passed = ", ".join(f"{name}: ${name}" for name in given)
        fields = " ".join(["ok", "msg", *self.told(release)])
        if not given:
            return GraphQLQuery(f"mutation {{ {self.name} {{ {fields} }} }}", {})
        text = f"mutation({declared}) {{ {self.name}({passed}) {{ {fields} }} }}"
        return GraphQLQuery(text, given)

    def type_of(self, name: str, release: Release) -> str:
        """The type of an argument on a release.

        Args:
            name: of the argument.
            release: of the server; empty if unknown.

        Returns:
            The type in GraphQL, such as ``String!``.
        """
        early = (self.early_types or {}).get(name)
        usual = self.arguments[name]
        return early[1] if early is not None and release and release < early[0] else usual

    def taken(self, release: Release) -> Sequence[str]:
        """The names of the arguments that a release takes.

        Args:
            release: of the server; empty if unknown.
        """
        return _had(dict.fromkeys(self.arguments, ()) | dict(self.arguments_since or {}), release)

    def told(self, release: Release) -> Sequence[str]:
        """The names of the fields of a release's reply besides ``ok`` and ``msg``.

        Args:
            release: of the server; empty if unknown.
        """
        return _had(self.fields or {}, release)

    def _missing(self, what: str, release: Release, since: Release) -> str:
        return (
            f"this server ({release_text(release)}) does not {self.about}{what}; managers do from "
            f"{release_text(since)} on"
        )


def _had(since: Mapping[str, Release], release: Release) -> Sequence[str]:
    return [name for name, first in since.items() if not release or release >= first]


_ARCHITECTURES_SINCE: Mapping[str, Release] = {"architecture": (22, 3)}


def _association(verb: str, whom: str, argument: str, kind: str, about: str) -> AdminCall:
    early = {argument: ((20, 9, 11), "String!")} if kind == "UUID!" else None
    return AdminCall(
        f"{verb}_scaling_group_with_{whom}",
        about,
        {"scaling_group": "String!", argument: kind},
        early_types=early,
    )


_WHOM = (
    ("domain", "domain", "String!"),
    ("user_group", "user_group", "UUID!"),
    ("keypair", "access_key", "String!"),
)
CALLS: Mapping[str, AdminCall] = {
    call.name: call
    for call in (
        AdminCall(
            "rescan_images",
            "rescan registries",
            {"registry": "String", "project": "String"},
            arguments_since={"project": (25, 1)},
            fields={"task_id": (20, 3)},
        ),
        AdminCall(
            "alias_image",
            "give images aliases",
            {"alias": "String!", "target": "String!", "architecture": "String"},
            arguments_since=_ARCHITECTURES_SINCE,
        ),
        AdminCall("dealias_image", "take aliases away", {"alias": "String!"}),
        AdminCall(
            "forget_image",
            "forget images",
            {"reference": "String!", "architecture": "String"},
            since=(19, 9, 19),
            arguments_since=_ARCHITECTURES_SINCE,
        ),
        *(_association("associate", *whom, "open resource groups") for whom in _WHOM),
        *(_association("disassociate", *whom, "close resource groups") for whom in _WHOM),
    )
}
"""By the name of the mutation."""
