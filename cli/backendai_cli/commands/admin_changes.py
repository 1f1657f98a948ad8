"""`backend.ai admin KIND create`, `update`, `delete` and `purge`, made from the table of kinds."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import click

from backendai_trio import Client
from backendai_trio.admin import (
    Action,
    ManagedKind,
    ManagedKindName,
    SettingChange,
    create_row,
    delete_row,
    kind_of,
    preview_change,
    purge_row,
    update_row,
)

from ..confirmation import confirm, yes_option
from ..console import Status, printable
from ..groups import ListGroup
from ..options import quiet_option
from ..parameters import NAME
from ..server import call_server, configured_server
from ..setting_options import Decorator, read_values, setting_options
from ..tables import show_record, show_rows
from .admin_access import access_commands

__all__ = ["add_changes"]

_ALIASES = {"add": "create"}
"""Names of the official client."""
_KEYS = {"users": "EMAIL", "keypairs": "ACCESS_KEY", "projects": "PROJECT"}
_SUMMARIES: dict[Action, str] = {
    "create": "Make a {noun}.",
    "update": "Change settings of a {noun}.",
    "delete": "Delete a {noun}.",
    "purge": "Remove a {noun} for good.",
}
_PAST: dict[Action, str] = {
    "create": "made",
    "update": "changed",
    "delete": "deleted",
    "purge": "removed for good",
}
_EXAMPLES: dict[tuple[str, Action], Sequence[str]] = {
    ("users", "create"): (
        "me@example.com --full-name 'Ada Lovelace' --groups physics",
        "me@example.com --password-file password.txt --json",
    ),
    ("users", "update"): ("me@example.com --role admin --dry-run", "me@example.com --password"),
    ("users", "delete"): ("me@example.com",),
    ("users", "purge"): ("me@example.com --yes",),
    ("keypairs", "create"): ("me@example.com --resource-policy small --rate-limit 10000",),
    ("keypairs", "update"): ("AKIA0123456789ABCDEF --is-active false",),
    ("keypairs", "delete"): ("AKIA0123456789ABCDEF",),
    ("projects", "create"): ("physics --total-resource-slots '{\"cpu\": \"64\"}'",),
    ("projects", "update"): ("physics --description 'Particles only'",),
    ("projects", "delete"): ("physics",),
    ("projects", "purge"): ("physics --dry-run",),
    ("domains", "create"): ("lab --description 'The laboratory'",),
    ("domains", "update"): ("lab --is-active false",),
    ("domains", "delete"): ("lab",),
    ("domains", "purge"): ("lab --yes",),
    ("resource-policies", "create"): (
        "small --max-concurrent-sessions 2 --total-resource-slots '{\"cpu\": \"4\"}'",
    ),
    ("resource-policies", "update"): ("small --idle-timeout 3600 --dry-run",),
    ("resource-policies", "delete"): ("small",),
    ("resource-presets", "create"): (
        "gpu-small --resource-slots '{\"cpu\": \"4\", \"mem\": \"16g\"}' --shared-memory 1g",
    ),
    ("resource-presets", "update"): ("gpu-small --shared-memory 2g",),
    ("resource-presets", "delete"): ("gpu-small",),
    ("scaling-groups", "create"): ("gpu --description 'With GPUs' --private",),
    ("scaling-groups", "update"): ("gpu --active false",),
    ("scaling-groups", "delete"): ("gpu --yes",),
}  # fmt: skip


def add_changes(name: ManagedKindName, listing: click.Command) -> ListGroup:
    """The group of commands of a kind, which lists its objects when no command is given.

    Args:
        name: of the kind.
        listing: the command that lists them.
    """
    kind = kind_of(name)
    group = ListGroup(name, listing, aliases=_ALIASES)
    for action in kind.actions:
        group.add_command(_command(name, kind, action))
    for command in access_commands(name):
        group.add_command(command)
    return group


def _command(name: ManagedKindName, kind: ManagedKind, action: Action) -> click.Command:
    def run(key: str, dry_run: bool, as_json: bool, quiet: bool, **parameters: Any) -> None:
        yes = parameters.pop("yes", False)
        values = read_values(kind, action, parameters, dry_run=dry_run)
        change = _Change(name, action, key, values)
        _carry_out(change, dry_run=dry_run, as_json=as_json, yes=yes, quiet=quiet)

    command: Callable[..., Any] = run
    options: list[Decorator] = [
        click.option("--dry-run", is_flag=True, help="Show what would change, and send nothing."),
        click.option("--json", "as_json", is_flag=True, help="Print a JSON object."),
        quiet_option,
    ]
    if action in ("delete", "purge"):
        options.append(yes_option)
    for option in reversed([*setting_options(kind, action), *options]):
        command = option(command)
    metavar = "NAME" if action == "create" and kind.name == "projects" else _metavar(kind, action)
    command = click.argument("key", metavar=metavar, type=NAME)(command)
    return click.command(action, help=_help(kind, action))(command)


def _metavar(kind: ManagedKind, action: Action) -> str:
    return (
        "USER" if action == "create" and kind.name == "keypairs" else _KEYS.get(kind.name, "NAME")
    )


def _help(kind: ManagedKind, action: Action) -> str:
    parts = [_SUMMARIES[action].format(noun=kind.noun)]
    effect = {"delete": kind.deletes, "purge": kind.purges}.get(action, "")
    if effect:
        parts.append(effect)
    if action == "delete" and kind.purge_since is not None:
        parts.append("'purge' removes it for good.")
    if kind.name == "projects" and action != "create":
        parts.append("PROJECT is its name or id.")
    if kind.name == "keypairs" and action == "create":
        parts.append("USER is the user's email address. The secret key is shown only now.")
    if kind.name == "users" and action in ("create", "update"):
        parts.append(
            "A password is asked for, or read from --password-file or standard input. It is never "
            "an argument, since other users could see it."
        )
    lines = [f"  backend.ai admin {kind.name} {action} {text}" for text in _examples(kind, action)]
    return "\n\n".join(["\n".join(parts), "\n".join(["\b", "Examples:", *lines])])


def _examples(kind: ManagedKind, action: Action) -> Sequence[str]:
    return _EXAMPLES[kind.name, action]


@dataclass(frozen=True)
class _Change:
    """What is to become of one object."""

    name: ManagedKindName
    action: Action
    key: str
    values: dict[str, Any]

    @property
    def kind(self) -> ManagedKind:
        return kind_of(self.name)

    def __str__(self) -> str:
        return f"The {self.kind.noun} {printable(self.key)}"

    async def preview(self, client: Client) -> list[SettingChange]:
        return await preview_change(client, self.name, self.action, self.key, self.values)

    async def send(self, client: Client) -> dict[str, Any] | None:
        """Returns the new object of a create."""
        match self.action:
            case "create":
                return await create_row(client, self.name, self.key, self.values)
            case "update":
                await update_row(client, self.name, self.key, self.values)
            case "delete":
                await delete_row(client, self.name, self.key)
            case "purge":
                await purge_row(client, self.name, self.key, self.values)
        return None


def _carry_out(change: _Change, *, dry_run: bool, as_json: bool, yes: bool, quiet: bool) -> None:
    kind, action = change.kind, change.action
    config = configured_server(f"{action} a {kind.noun}")
    differences: list[SettingChange] = []
    if dry_run or action != "create":
        differences = call_server(config, change.preview)
    row = None
    if not dry_run:
        if action in ("delete", "purge"):
            effect = kind.purges if action == "purge" else kind.deletes
            confirm(f"{change} is about to be {_PAST[action]}. {effect}".rstrip(), yes=yes)
        same = action == "update" and not differences
        if not same:
            row = call_server(config, change.send)
        status = Status(quiet=quiet or as_json)
        status.done(f"{change} is {'so already' if same else _PAST[action]}.")
    if as_json:
        click.echo(json.dumps(_record(change, dry_run, differences, row)))
    elif row is not None:
        show_record(row)
    elif dry_run or (action == "update" and differences):
        titles = ("Setting", "Now", "Then") if dry_run else ("Setting", "Before", "After")
        show_rows(
            [asdict(item) for item in differences],
            dict(zip(("name", "old", "new"), titles, strict=True)),
            as_json=False,
            empty="Nothing would change.",
        )


def _record(
    change: _Change,
    dry_run: bool,
    differences: Sequence[SettingChange],
    row: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """What ``--json`` prints, the same keys for each action."""
    return {
        "kind": change.name,
        "action": change.action,
        "key": change.key,
        "dry_run": dry_run,
        "changes": [
            {"setting": item.name, "old": item.old, "new": item.new} for item in differences
        ],
        "row": row,
    }
