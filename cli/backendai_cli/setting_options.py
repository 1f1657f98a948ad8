"""Options for the settings of what administrators change, made from the table of kinds."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import Any

import click

from backendai_trio.admin import HIDDEN, Action, ManagedKind, Setting, release_text

from .keyboard import ask_secret
from .parameters import STREAM
from .secret_files import SECRET_FILE, secret_lines

__all__ = ["Decorator", "read_values", "setting_options"]

# Names that the official client has, or that are shorter; by kind, or for all.
_NAMES: Mapping[tuple[str, str], Sequence[str]] = {
    ("", "allowed_client_ip"): ("--allowed-ip",),
    ("", "allowed_vfolder_hosts"): (
        "--vfolder-host-perms",
        "--vfhost-perms",
        "--vfolder-host-permissions",
        "--allowed-vfolder-hosts",
    ),
    ("", "container_gids"): ("--cgids", "--container-gids"),
    ("", "container_main_gid"): ("--cgid", "--container-main-gid"),
    ("", "container_uid"): ("--cuid", "--container-uid"),
    ("", "description"): ("-d", "--description", "--desc"),
    ("users", "description"): ("--description", "--desc"),
    ("", "domain_name"): ("-d", "--domain-name", "--domain"),
    ("projects", "domain_name"): ("--domain", "--domain-name"),
    ("", "full_name"): ("-n", "--full-name"),
    ("", "group_ids"): ("-g", "--group", "--groups"),
    ("", "is_active"): ("--is-active", "--active"),
    ("scaling-groups", "is_active"): ("-a", "--active", "--is-active"),
    ("", "is_public"): ("--private",),
    ("", "name"): ("-n", "--name"),
    ("domains", "name"): ("-n", "--new-name"),
    ("", "password"): ("-p", "--password"),
    ("", "rate_limit"): ("-r", "--rate-limit"),
    ("", "role"): ("-r", "--role"),
    ("", "scaling_group_name"): ("--scaling-group", "--resource-group"),
    ("", "shared_memory"): ("--shared-memory", "--shmem"),
    ("", "status"): ("-s", "--status"),
    ("", "username"): ("-u", "--username"),
}
# Of a create, flags that say the opposite of the default: their names, and what they mean.
_FLAGS: Mapping[str, tuple[Sequence[str], str]] = {
    "is_active": (("-i", "--inactive"), "Make it inactive."),
    "is_admin": (("-a", "--admin"), ""),
    "is_public": (("--private",), "Let users not choose it for sessions."),
}
_OPPOSITES = frozenset({"is_public"})
"""Settings whose option says the opposite."""
_SHOWN_NAMES = 2
_WITHOUT_OPTION = frozenset({"user_update_mode", "user_uuids"})
_METAVARS: Mapping[str, str] = {
    "text": "TEXT",
    "flag": "BOOL",
    "number": "N",
    "large": "N",
    "object": "JSON",
    "hosts": "JSON",
    "texts": "TEXT,...",
    "numbers": "N,...",
}

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]
"""What `click.option` makes."""


def setting_options(kind: ManagedKind, action: Action) -> list[Decorator]:
    """The options of an action. `read_values` takes what they give.

    Args:
        kind: of the objects.
        action: what is done with them.
    """
    options: list[Decorator] = []
    for setting in _settings(kind, action):
        if setting.secret:
            options += _secret_options(setting, _names(kind, setting), action)
        elif setting.type == "flag" and action != "update":
            options.append(_flag(setting, _names(kind, setting), action))
        else:
            options.append(_option(setting, _names(kind, setting), action))
        if setting.clears and action == "update":
            options.append(_unset(setting, _names(kind, setting)))
    return options


def read_values(
    kind: ManagedKind, action: Action, parameters: Mapping[str, Any], *, dry_run: bool
) -> dict[str, Any]:
    """The values of settings that the options of a command line gave.

    Secrets are asked for at the terminal, or read from a file or standard input; not for a dry run.

    Args:
        kind: of the objects.
        action: what is done with them.
        parameters: of the command, by the names that `setting_options` gave them.
        dry_run: whether nothing is sent.

    Raises:
        click.UsageError: an option and its opposite were given, or a secret is missing.
    """
    values: dict[str, Any] = {}
    for setting in _settings(kind, action):
        name = setting.name
        if setting.secret:
            secret = _secret(setting, action, parameters, dry_run)
            if secret is not None:
                values[name] = secret
            continue
        if (value := parameters[name]) is not None:
            values[name] = not value if name in _OPPOSITES else value
        if parameters.get(f"unset_{name}"):
            if name in values:
                option = next(o for o in _names(kind, setting) if o.startswith("--"))
                raise click.UsageError(f"give either {option} or --unset-{option[2:]}, not both")
            values[name] = None
    return values


def _settings(kind: ManagedKind, action: Action) -> list[Setting]:
    taken = [setting for setting in kind.settings if action in setting.actions]
    return [setting for setting in taken if setting.name not in _WITHOUT_OPTION]


def _names(kind: ManagedKind, setting: Setting) -> Sequence[str]:
    usual = (f"--{setting.name.replace('_', '-')}",)
    return _NAMES.get((kind.name, setting.name)) or _NAMES.get(("", setting.name), usual)


def _help(setting: Setting, action: Action, about: str = "") -> str:
    about = about or setting.about
    if action == "create" and setting.default and not isinstance(setting.default, bool):
        about = f"{about} [default: {setting.default}]"
    if setting.since:
        about = f"{about} [from {release_text(setting.since)}]"
    return f"{about} [before {release_text(setting.until)}]" if setting.until else about


def _option(setting: Setting, names: Sequence[str], action: Action) -> Decorator:
    about = "Whether users may not choose it." if setting.name in _OPPOSITES else ""
    return click.option(
        setting.name,
        *names,
        cls=_Option,
        type=_Value(setting),
        metavar=_METAVARS[setting.type],
        help=_help(setting, action, about),
    )


def _flag(setting: Setting, names: Sequence[str], action: Action) -> Decorator:
    names, about = _FLAGS.get(setting.name, (names, ""))
    # What `read_values` turns around has the value that the option says.
    value = (not setting.default) is not (setting.name in _OPPOSITES)
    about = _help(setting, action, about)
    return click.option(setting.name, *names, flag_value=value, default=None, help=about)


def _unset(setting: Setting, names: Sequence[str]) -> Decorator:
    unset = [f"--unset-{name[2:]}" for name in names if name.startswith("--")]
    return click.option(
        f"unset_{setting.name}", *unset, is_flag=True, help=f"Have no {setting.name}."
    )


def _secret_options(setting: Setting, names: Sequence[str], action: Action) -> list[Decorator]:
    *_, name = names
    what = setting.about.rstrip(".").lower()
    file = click.option(
        f"{setting.name}_file",
        f"{name}-file",
        type=SECRET_FILE,
        metavar="FILE",
        help=f"File with the {what} in its first line; - for standard input.",
    )
    if setting.required and action == "create":
        return [file]
    asked = click.option(
        setting.name, *names, is_flag=True, help=f"Ask for the {what}, at the terminal."
    )
    return [asked, file]


def _secret(
    setting: Setting, action: Action, parameters: Mapping[str, Any], dry_run: bool
) -> str | None:
    file = parameters[f"{setting.name}_file"]
    needed = setting.required and action == "create"
    if file is None and not needed and not parameters.get(setting.name):
        return None
    if dry_run:
        return HIDDEN
    label = setting.about.rstrip(".")
    if not isinstance(file, Path) and sys.stdin.isatty():
        secret = ask_secret(label)
        if ask_secret(f"{label} again") != secret:
            raise click.UsageError("these were two different ones")
        return secret
    option = f"--{setting.name.replace('_', '-')}-file"
    secret = next(secret_lines(file or STREAM, option), "")
    if not secret:
        raise click.UsageError(
            f"a {label.lower()} is needed; give it with {option} or on standard input"
        )
    return secret


class _Option(click.Option):
    """An option whose help shows no more names than fit a line."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        shown = copy(self)
        shown.opts = self.opts[:_SHOWN_NAMES]
        return click.Option.get_help_record(shown, ctx)


class _Value(click.types.StringParamType):
    """The text of an option, as the value of a setting."""

    name = "value"

    def __init__(self, setting: Setting) -> None:
        self._setting = setting

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        read = getattr(self, f"_{self._setting.type}", None)
        try:
            return value if read is None else read(value)
        except (ValueError, RecursionError) as exc:
            self.fail(f"{value!r}: {exc}", param, ctx)

    def _flag(self, text: str) -> bool:
        return bool(click.BOOL.convert(text, None, None))

    def _number(self, text: str) -> int:
        return int(text)

    _large = _number

    def _texts(self, text: str) -> list[str]:
        return [part.strip() for part in text.split(",") if part.strip()]

    def _numbers(self, text: str) -> list[int]:
        return [int(part) for part in self._texts(text)]

    def _object(self, text: str) -> dict[str, Any]:
        found = json.loads(text)
        if not isinstance(found, dict):
            raise ValueError("it must be a JSON object")
        return found

    _hosts = _object
