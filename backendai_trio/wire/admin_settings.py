"""What an entry of the table of `admin_kinds` says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from ..errors import LocalProtocolError

__all__ = [
    "ACTIONS",
    "Action",
    "ManagedKind",
    "Release",
    "Setting",
    "release_text",
]

Action = Literal["create", "update", "delete", "purge"]
ACTIONS: tuple[Action, ...] = get_args(Action)
Release = tuple[int, ...]
"""Of a manager, in a form to compare: ``(22, 9, 5)``."""
ValueType = Literal["text", "flag", "number", "large", "object", "texts", "numbers", "hosts"]
"""Of a setting: ``object`` is JSON in a string on the wire, ``large`` a number that 32 bits may not
hold, and ``hosts`` maps names of storage hosts to permissions."""

_PLAIN_MONTHS_SINCE = 25


@dataclass(frozen=True, slots=True)
class Setting:
    """Something about an object that an administrator sets."""

    name: str
    """As the server calls it."""
    type: ValueType
    about: str
    """What it is, in a few words."""
    actions: Sequence[Action] = ("create", "update")
    """The actions that take it."""
    required: bool = False
    """Whether a create needs it."""
    named: bool = False
    """Whether a create without it sends the object's key."""
    default: Any = None
    """What a create sends if no value is given, since old managers take a missing one for null;
    None for nothing."""
    since: Release = ()
    """The first release that has it."""
    until: Release = ()
    """The first release that has it no more; empty for none."""
    shown: bool = True
    """Whether the server tells its value."""
    shown_since: Release = ()
    secret: bool = False
    """Whether its value is never shown."""
    kept: bool = False
    """Whether an update without it sends the value that the object has: some releases change it
    otherwise."""
    clears: bool = False
    """Whether null is a value."""

    def exists(self, release: Release) -> bool:
        """Whether a release has it.

        Args:
            release: of the server; empty if unknown, for all.
        """
        if not release:
            return not self.until
        return self.since <= release and not (self.until and release >= self.until)

    def is_told(self, release: Release) -> bool:
        """Whether a release tells its value.

        Args:
            release: likewise.
        """
        told = self.shown and not self.secret and list(self.actions) != ["purge"]
        return told and self.exists(release) and (not release or release >= self.shown_since)


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagedKind:
    """One kind of object."""

    name: str
    noun: str
    """For a person: ``key pair``."""
    suffix: str
    """End of the names of its mutations: ``user`` for ``create_user``."""
    key: str
    """The argument that says which object: ``email``."""
    create_key: str = ""
    """The same of a create, where it is another one."""
    key_type: str = "String!"
    early_key_types: Mapping[str, tuple[Release, str]] = field(default_factory=dict)
    """Other types of the key, before a release, by action; ``read`` for the query."""
    item: str
    """The field of the reply to a create that holds the new object."""
    inputs: Mapping[str, str]
    """Names of the input types, by action."""
    early_input: tuple[Release, str] | None = None
    """Another name of that for a create, before a release."""
    root: str
    """The query for one object."""
    root_key: str
    """The argument of that query."""
    list_root: str = ""
    """The query for all objects, where that for one does not find each of them."""
    identity: Sequence[str]
    """Fields that tell which object it is."""
    since: Release = (19, 9)
    purge_since: Release | None = None
    """The release from which on there is a purge beside the delete; None for no purge."""
    deletes: str = ""
    """What a delete does, where it is not for good."""
    purges: str = ""
    """What a purge does."""
    told_once: Sequence[str] = ()
    """Fields of a new object that the server tells only when it is made."""
    settings: Sequence[Setting]

    @property
    def actions(self) -> tuple[Action, ...]:
        """What can be done with it."""
        return ACTIONS if self.purge_since is not None else ACTIONS[:-1]

    def key_type_of(self, action: Action | Literal["read"], release: Release) -> str:
        """The type of the key, but for a create, which takes a String.

        Args:
            action: what is done with the object; ``"read"`` for the query.
            release: of the server; empty if unknown.
        """
        return _of_release(self.early_key_types.get(action), self.key_type, release)

    def input_of(self, action: Action, release: Release) -> str:
        """The name of the input type of an action.

        Args:
            action: what is done with the object.
            release: of the server; empty if unknown.
        """
        early = self.early_input if action == "create" else None
        return _of_release(early, self.inputs[action], release)

    def setting(self, name: str) -> Setting:
        """The setting of this name.

        Args:
            name: as the server calls it.

        Raises:
            LocalProtocolError: there is none.
        """
        for setting in self.settings:
            if setting.name == name:
                return setting
        known = ", ".join(setting.name for setting in self.settings)
        raise LocalProtocolError(f"a {self.noun} has no {name!r}; there are {known}")

    def settings_of(self, action: Action, release: Release) -> list[Setting]:
        """The settings that an action takes on a release.

        Args:
            action: what is done with the object.
            release: of the server; empty if unknown.
        """
        return [
            setting
            for setting in self.settings
            if action in setting.actions and setting.exists(release)
        ]


def _of_release(early: tuple[Release, str] | None, usual: str, release: Release) -> str:
    return early[1] if early is not None and release and release < early[0] else usual


def release_text(release: Release) -> str:
    """A release as managers write it: ``22.09.5``, and ``25.4`` from 2025 on.

    Args:
        release: its numbers.
    """
    year, *rest = release
    months = f"{rest[0]:02}" if year < _PLAIN_MONTHS_SINCE else str(rest[0])
    return ".".join([str(year), months, *map(str, rest[1:])])
