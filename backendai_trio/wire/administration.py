"""What administrators change: the mutations, and their replies (docs/protocol.md, section 8.4)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import LocalProtocolError, RemoteProtocolError, api_error
from .admin_kinds import MANAGED_KINDS, kind_of
from .admin_settings import ACTIONS, Action, ManagedKind, Release, Setting, release_text
from .admin_values import check_value, decode_value, encode_value
from .graphql import GraphQLQuery, status_of
from .json_fields import Fields
from .project_types import project_types
from .versions import Hello

__all__ = [
    "HIDDEN",
    "Mutation",
    "SettingChange",
    "changes_between",
    "decode_outcome",
    "decode_row",
    "encode_outcome",
    "release_of",
    "row_query",
    "rows_query",
]

HIDDEN = "***"
"""Stands for the value of a secret."""
_VERBS: Mapping[Action, str] = {
    "create": "create",
    "update": "modify",
    "delete": "delete",
    "purge": "purge",
}
_NAME = re.compile(r"\{\s*(\w+)")
_STATEMENT = re.compile(r"\n\[SQL: ")


def release_of(hello: Hello, what: str, since: Release) -> Release:
    """The release of a server that is about to be changed.

    Args:
        hello: what the server says of itself.
        what: begins the error: ``"administration of users"``.
        since: the first release that has it.

    Returns:
        The release; empty if it is unknown, or if the server is our gateway, which has all.

    Raises:
        LocalProtocolError: the server is older.
    """
    if hello.features:
        return ()
    release = hello.release
    if release >= since or (not release and hello.key >= _KNOWN_BY_VERSION):
        return release
    raise LocalProtocolError(
        f"{hello.name} has no {what}; managers have that from {release_text(since)} on"
    )


_KNOWN_BY_VERSION = Hello("v4.20190615").key
"""Managers from 19.09 on announce this version, or a later one."""


@dataclass(frozen=True, slots=True)
class Mutation:
    """A change of one object."""

    kind: ManagedKind
    action: Action
    key: str
    """Which object: an email address, an access key, an id or a name."""
    values: Mapping[str, Any]
    """Values of settings, by name: texts, numbers, flags, lists, mappings; None takes one away."""

    def __repr__(self) -> str:
        return f"<Mutation {self.name} {self.key} {', '.join(self.values)}>"

    @property
    def name(self) -> str:
        """The mutation: ``create_user``."""
        return f"{_VERBS[self.action]}_{self.kind.suffix}"

    def check(self, release: Release) -> Mutation:
        """The mutation with the defaults of a create.

        Args:
            release: of the server, from `release_of`.

        Raises:
            LocalProtocolError: the release does not have the mutation or a setting, a value has the
                wrong type, or one is missing.
        """
        kind, action = self.kind, self.action
        if not self.key:
            raise LocalProtocolError(f"which {kind.noun}? The {kind.key} is empty")
        since = kind.purge_since if action == "purge" else kind.since
        if since is None:
            raise LocalProtocolError(f"a {kind.noun} cannot be purged; delete it")
        if release and release < since:
            raise LocalProtocolError(
                f"this server ({release_text(release)}) does not {action} a {kind.noun}; managers "
                f"do from {release_text(since)} on"
            )
        for name, value in self.values.items():
            setting = kind.setting(name)
            if action not in setting.actions:
                raise LocalProtocolError(f"{action} of a {kind.noun} takes no {name}")
            if not setting.exists(release):
                raise LocalProtocolError(_missing(setting, kind, release))
            check_value(setting, value)
        if action == "update" and not self.values:
            raise LocalProtocolError(f"nothing of the {kind.noun} {self.key} is to be changed")
        if action != "create":
            return self
        values: dict[str, Any] = {}
        for setting in kind.settings_of(action, release):
            if setting.name in self.values:
                values[setting.name] = self.values[setting.name]
            elif setting.required:
                raise LocalProtocolError(f"a new {kind.noun} needs {setting.name}")
            elif setting.named:
                values[setting.name] = self.key
            elif setting.default is not None:
                values[setting.name] = setting.default
        return Mutation(kind, action, self.key, values)

    def query(self, release: Release) -> GraphQLQuery:
        """The request of a mutation that was checked.

        Args:
            release: of the server; empty if unknown.
        """
        kind, action = self.kind, self.action
        key, key_type = kind.key, kind.key_type_of(action, release)
        if action == "create":
            key, key_type = kind.create_key or key, "String!"
        declared, passed = f"$key: {key_type}", f"{key}: $key"
        variables: dict[str, Any] = {"key": self.key}
        if action in kind.inputs:
            declared += f", $props: {kind.input_of(action, release)}!"
            passed += ", props: $props"
            variables["props"] = {
                name: encode_value(kind.setting(name), value, release)
                for name, value in self.values.items()
            }
        item = f" {kind.item} {{ {' '.join(self._fields(release))} }}" if action == "create" else ""
        text = f"mutation({declared}) {{ {self.name}({passed}) {{ ok msg{item} }} }}"
        return GraphQLQuery(text, variables)

    def _fields(self, release: Release) -> list[str]:
        return [*_fields_of(self.kind, release), *self.kind.told_once]

    @classmethod
    def decode(cls, query: GraphQLQuery, release: Release = ()) -> Mutation:
        """Read what `query` has written.

        Args:
            query: the request.
            release: of the server.

        Raises:
            RemoteProtocolError: it is something else.
        """
        match = _NAME.search(query.text)
        verb, _, suffix = (match[1] if match else "").partition("_")
        action = next((action for action in ACTIONS if _VERBS[action] == verb), None)
        kind = _KINDS_BY_SUFFIX.get(suffix)
        if action is None or kind is None:
            raise RemoteProtocolError(f"{query.text[:60]!r} is no mutation of an object")
        given = Fields(query.variables, verb)
        values = {
            key: decode_value(kind.setting(key), value, release)
            for key, value in given.nested("props").everything().items()
        }
        return cls(kind, action, given.text("key"), values)


_KINDS_BY_SUFFIX: Mapping[str, ManagedKind] = {
    kind.suffix: kind for kind in map(kind_of, MANAGED_KINDS)
}


def row_query(kind: ManagedKind, key: str, release: Release) -> GraphQLQuery:
    """The query for one object as it is.

    Args:
        kind: of the object.
        key: which one.
        release: of the server.
    """
    fields = " ".join(_fields_of(kind, release))
    variables: dict[str, object] = {"key": key}
    declared, passed = f"$key: {kind.key_type_of('read', release)}", f"{kind.root_key}: $key"
    if kind.name == "projects" and (types := project_types(release)):
        variables["type"] = types
        declared, passed = f"{declared}, $type: [String]", f"{passed}, type: $type"
    found = f"{kind.root}({passed}) {{ {fields} }}"
    return GraphQLQuery(f"query({declared}) {{ {found} }}", variables)


def rows_query(kind: ManagedKind, release: Release) -> GraphQLQuery:
    """The query for all objects of a kind that has one.

    Args:
        kind: of the objects.
        release: of the server.
    """
    fields = " ".join(_fields_of(kind, release))
    return GraphQLQuery(f"query {{ {kind.list_root} {{ {fields} }} }}", {})


def decode_row(kind: ManagedKind, item: object, release: Release) -> dict[str, Any]:
    """An object as the server tells it, with JSON in strings read, and without secrets.

    Args:
        kind: of the object.
        item: decoded JSON.
        release: of the server.

    Raises:
        RemoteProtocolError: it is malformed.
    """
    found = Fields(item, kind.noun).everything()
    types = {setting.name: setting for setting in kind.settings}
    return {
        name: decode_value(types[name], value, release) if name in types else value
        for name, value in found.items()
        if name not in types or not types[name].secret
    }


def _fields_of(kind: ManagedKind, release: Release) -> list[str]:
    told = [setting.name for setting in kind.settings if setting.is_told(release)]
    return list(dict.fromkeys([*kind.identity, *told]))


def encode_outcome(mutation: str, ok: bool, message: str = "", **more: object) -> dict[str, Any]:
    """The data of the reply to a mutation.

    Args:
        mutation: its name.
        ok: whether it was done.
        message: why not.
        more: further fields of the reply, such as the new object.
    """
    return {mutation: {"ok": ok, "msg": message, **more}}


def decode_outcome(data: Mapping[str, Any], mutation: str) -> Fields:
    """The reply to a mutation that was done.

    Args:
        data: of the reply.
        mutation: its name.

    Raises:
        ApiError: the server refuses: `AuthError` without the permission, `NotFound` without the
            object.
        RemoteProtocolError: the reply is malformed.
    """
    reply = Fields(data, mutation).nested(mutation)
    if reply.flag("ok", default=False):
        return reply
    # Some managers add the statement of their database, with its values.
    message = _STATEMENT.split(reply.text("msg", default=""), maxsplit=1)[0].strip()
    message = message or "the server gave no reason"
    raise api_error(status_of(message), title=message, request=mutation)


@dataclass(frozen=True, slots=True)
class SettingChange:
    """What happens to one setting."""

    name: str
    old: Any
    """Its value; None for none, or if the server does not tell it."""
    new: Any
    """The value to come. A secret is `HIDDEN`."""


def changes_between(
    kind: ManagedKind, row: Mapping[str, Any], values: Mapping[str, Any]
) -> list[SettingChange]:
    """What an update changes, or what a create makes of nothing.

    Args:
        kind: of the object.
        row: the object as it is; empty for none.
        values: of the settings to come.
    """
    found = []
    for name, value in values.items():
        setting = kind.setting(name)
        new = HIDDEN if setting.secret and value is not None else _plain(value)
        old = None if setting.secret else _plain(row.get(name))
        if setting.secret or not row or old != new:
            found.append(SettingChange(name, old, new))
    return found


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _missing(setting: Setting, kind: ManagedKind, release: Release) -> str:
    if setting.until and (not release or release >= setting.until):
        return f"a {kind.noun} has no {setting.name} from {release_text(setting.until)} on"
    return (
        f"a {kind.noun} has no {setting.name} on this server ({release_text(release)}); managers "
        f"have it from {release_text(setting.since)} on"
    )
