"""The mutations of administrators: a gateway has them in its schema, and refuses each.

Its one key pair is an ordinary user's, and managers answer such a user the same way
(docs/protocol.md, section 8.4).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...wire.admin_calls import CALLS, AdminCall
from ...wire.admin_kinds import MANAGED_KINDS, kind_of
from ...wire.admin_settings import Action, ManagedKind, Release
from ...wire.admin_values import graphql_type
from ...wire.administration import Mutation, encode_outcome

__all__ = ["mutations_schema", "refusals"]

_SINCE: Release = (19, 9)
_ITEMS = {
    "user": "User",
    "keypair": "KeyPair",
    "group": "Group",
    "domain": "Domain",
    "resource_policy": "ResourcePolicy",
    "resource_preset": "ResourcePreset",
    "scaling_group": "ScalingGroup",
}
"""The types of the fields that hold a new object."""


def mutations_schema(release: Release) -> str:
    """The part of the schema with the mutations; empty for releases that have none of them.

    Args:
        release: whose schema it is; empty for the gateway's own.
    """
    if release and release < _SINCE:
        return ""
    fields, types = [], []
    for kind, action in _changes(release):
        name = Mutation(kind, action, "", {}).name
        arguments = [f"{kind.key}: {kind.key_type_of(action, release)}"]
        if action == "create":
            arguments = [f"{kind.create_key or kind.key}: String!"]
        if action in kind.inputs:
            arguments.append(f"props: {kind.input_of(action, release)}!")
            types.append(_input(kind, action, release))
        fields.append(f"{name}({', '.join(arguments)}): {_payload(name)}")
        item = f", {kind.item}: {_ITEMS[kind.item]}" if action == "create" else ""
        types.append(f"type {_payload(name)} {{ ok: Boolean, msg: String{item} }}")
    for call in _calls(release):
        arguments = [f"{name}: {call.type_of(name, release)}" for name in call.taken(release)]
        fields.append(f"{call.name}({', '.join(arguments)}): {_payload(call.name)}")
        more = "".join(f", {name}: UUID" for name in call.told(release))
        types.append(f"type {_payload(call.name)} {{ ok: Boolean, msg: String{more} }}")
    return "\n".join(["", "type Mutation {", *fields, "}", *types])


def refusals() -> dict[str, Callable[..., dict[str, Any]]]:
    """The root fields of all mutations, by name."""
    names = [Mutation(kind, action, "", {}).name for kind, action in _changes(())]
    return {name: _refusal(name) for name in [*names, *CALLS]}


def _refusal(name: str) -> Callable[..., dict[str, Any]]:
    answer = encode_outcome(name, False, f"no permission to execute {name}")[name]
    return lambda _info, **_arguments: answer


def _changes(release: Release) -> list[tuple[ManagedKind, Action]]:
    kinds = [kind for kind in map(kind_of, MANAGED_KINDS) if not release or release >= kind.since]
    return [
        (kind, action)
        for kind in kinds
        for action in kind.actions
        if action != "purge" or not release or release >= (kind.purge_since or release)
    ]


def _calls(release: Release) -> list[AdminCall]:
    return [call for call in CALLS.values() if not release or release >= call.since]


def _input(kind: ManagedKind, action: Action, release: Release) -> str:
    settings = kind.settings_of(action, release)
    fields = ", ".join(f"{item.name}: {graphql_type(item, release)}" for item in settings)
    return f"input {kind.input_of(action, release)} {{ {fields} }}"


def _payload(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))
