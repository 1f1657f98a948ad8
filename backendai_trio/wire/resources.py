"""What a cluster offers a key pair: resource groups, presets, limits, and what is free.

Source: docs/protocol.md, sections 8.3 (policies) and 9.2. Amounts are decimal text; no limit is
``Infinity``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .graphql import GraphQLQuery
from .http import Request
from .json_fields import Fields, decode_json, encode_json

__all__ = [
    "CHECKS_PRESETS_SINCE",
    "KEY_PAIR_QUERY",
    "CheckPresets",
    "ClusterResources",
    "KeyPairLimits",
    "Preset",
    "Quota",
    "ResourceGroup",
    "resource_groups_request",
]

CHECKS_PRESETS_SINCE = "v4.20190315"
"""The version that managers announce from 19.03 on."""
_HIDDEN = "NaN"
Slots = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Quota:
    """Limits of a key pair or project, by the names of slots such as ``cpu`` and ``mem``."""

    limits: Slots
    using: Slots
    remaining: Slots

    @classmethod
    def _decode(cls, top: Fields, owner: str) -> Quota | None:
        kinds = ("limits", "using", "remaining")
        quota = cls(*(top.mapping(f"{owner}_{kind}") for kind in kinds))
        amounts = {*quota.limits.values(), *quota.using.values()}
        return None if amounts <= {_HIDDEN} else quota

    def _encode(self, owner: str) -> dict[str, Any]:
        return {
            f"{owner}_limits": dict(self.limits),
            f"{owner}_using": dict(self.using),
            f"{owner}_remaining": dict(self.remaining),
        }


@dataclass(frozen=True, slots=True)
class ResourceGroup:
    """A group of machines."""

    name: str
    using: Slots
    """What the user's own sessions use there."""
    remaining: Slots
    """What the user may still have there."""


@dataclass(frozen=True, slots=True)
class Preset:
    """A named set of resources."""

    name: str
    slots: Slots
    shared_memory: str = ""
    """Bytes as text; empty if the preset says nothing of it."""
    allocatable: bool = True
    """Whether a session of that size could start now."""


@dataclass(frozen=True, slots=True)
class CheckPresets:
    """A request for presets, limits and what is free."""

    project: str
    resource_group: str = ""
    """Empty for all."""

    def request(self) -> Request:
        """The request."""
        body = {"group": self.project}
        if self.resource_group:
            body["scaling_group"] = self.resource_group
        return Request.of_json("POST", "/resource/check-presets", body)

    @classmethod
    def decode(cls, body: bytes) -> CheckPresets:
        """Read the body of a request.

        Args:
            body: as it came; an empty one asks for the defaults.

        Returns:
            The request; for the project ``default`` if none is named.

        Raises:
            RemoteProtocolError: it is malformed.
        """
        top = Fields.parse(body or b"{}", "check presets")
        return cls(top.text("group", default="default"), top.text("scaling_group", default=""))


@dataclass(frozen=True, slots=True)
class ClusterResources:
    """What a key pair has, may have, and could have now."""

    key_pair: Quota | None
    project: Quota | None
    """None where the server hides it."""
    remaining: Slots
    """What the user may still have in all resource groups together."""
    resource_groups: Sequence[ResourceGroup] = ()
    presets: Sequence[Preset] = ()

    def encode(self) -> bytes:
        """The body of the reply."""
        hidden = Quota({}, {}, {})
        return encode_json(
            {
                **(self.key_pair or hidden)._encode("keypair"),
                **(self.project or hidden)._encode("group"),
                "scaling_group_remaining": dict(self.remaining),
                "scaling_groups": {
                    item.name: {"using": dict(item.using), "remaining": dict(item.remaining)}
                    for item in self.resource_groups
                },
                "presets": [
                    {
                        "name": item.name,
                        "resource_slots": dict(item.slots),
                        "shared_memory": item.shared_memory or None,
                        "allocatable": item.allocatable,
                    }
                    for item in self.presets
                ],
            }
        )

    @classmethod
    def decode(cls, body: bytes) -> ClusterResources:
        """Read the reply.

        Args:
            body: JSON.

        Raises:
            RemoteProtocolError: it is malformed.
        """
        what = "reply to check presets"
        top = Fields.parse(body, what)
        groups = top.nested("scaling_groups")
        found = [(name, groups.nested(name)) for name in groups.everything()]
        presets = [Fields(item, f"{what}, preset") for item in top.items("presets")]
        return cls(
            Quota._decode(top, "keypair"),
            Quota._decode(top, "group"),
            top.mapping("scaling_group_remaining"),
            [
                ResourceGroup(name, item.mapping("using"), item.mapping("remaining"))
                for name, item in found
            ],
            [
                Preset(
                    item.text("name"),
                    item.mapping("resource_slots"),
                    str(item.raw("shared_memory") or ""),
                    item.flag("allocatable", default=False),
                )
                for item in presets
            ],
        )


def resource_groups_request(project: str) -> Request:
    """The request for the names of the resource groups that a project may use.

    Args:
        project: its name.
    """
    return Request("GET", "/scaling-groups", (("group", project),))


KEY_PAIR_QUERY = GraphQLQuery(
    "{ keypair { access_key resource_policy is_admin rate_limit concurrency_used } "
    "keypair_resource_policy { max_concurrent_sessions max_containers_per_session idle_timeout "
    "total_resource_slots } }",
    {},
)
"""The query for the own key pair and its policy, 19.03 and later."""


@dataclass(frozen=True, slots=True)
class KeyPairLimits:
    """A key pair, and what its resource policy allows."""

    access_key: str
    resource_policy: str
    is_admin: bool
    rate_limit: int
    """Requests in 15 minutes; 0 for no limit."""
    sessions: int
    """Sessions that it has now."""
    max_sessions: int
    max_containers: int
    """Containers of a session."""
    idle_seconds: int
    """After which idle sessions are ended; 0 for never."""
    slots: Slots = field(default_factory=dict)
    """Resources of all sessions together. What is not named, the policy does not limit, or does
    not give, as the server is set up."""

    @classmethod
    def decode(cls, answer: Mapping[str, Any]) -> KeyPairLimits:
        """Read the data of the answer to `KEY_PAIR_QUERY`.

        Args:
            answer: the data, without its envelope.

        Raises:
            RemoteProtocolError: it is malformed.
        """
        top = Fields(answer, "own key pair")
        pair, policy = top.nested("keypair"), top.nested("keypair_resource_policy")
        slots = policy.raw("total_resource_slots")
        if isinstance(slots, str):
            slots = decode_json(slots.encode("utf-8", "replace"), "total_resource_slots")
        return cls(
            pair.text("access_key"),
            pair.text("resource_policy", default=""),
            pair.flag("is_admin", default=False),
            pair.integer("rate_limit", default=0),
            pair.integer("concurrency_used", default=0),
            policy.integer("max_concurrent_sessions", default=0),
            policy.integer("max_containers_per_session", default=0),
            policy.integer("idle_timeout", default=0),
            Fields({"slots": slots}, "total_resource_slots").mapping("slots"),
        )
