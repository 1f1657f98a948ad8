"""`backend.ai config`."""

from __future__ import annotations

import json
import math
import sys

import click

from backendai_trio import Config, ConfigError
from backendai_trio.config import (
    API_VERSIONS,
    DEFAULT_PROFILE,
    SETTINGS,
    check_setting,
    profiles_file,
    read_profile_name,
    read_profiles,
    read_settings,
    save_setting,
)

from ..configuration import chosen_profile, command_config
from ..console import Status
from ..groups import Group
from ..keyboard import ask, ask_secret
from ..parameters import STREAM
from ..secret_files import secret_lines

__all__ = ["command"]

_SECRET = "secret_key"  # noqa: S105


@click.group("config", cls=Group, invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """Show the settings in use, with the secret key masked, or change a profile.

    Settings come from BACKEND_* variables, then SORNA_* variables, then a .env file in the current
    folder, then the profile that BACKEND_PROFILE names, or the profile 'default'. With --profile,
    that profile comes first, and is the only source of server and key pair.

    They are endpoint, endpoint_type, access_key, secret_key, ca_file, skip_sslcert_validation,
    connection_timeout, read_timeout, domain, group, vfolder_mounts and override_storage_proxy.

    \b
    Examples:
      backend.ai config
      backend.ai --profile lab config set endpoint https://manager.example.com
      backend.ai --profile lab config set access_key AKIA0123456789ABCDEF
      backend.ai --profile lab config set secret_key     # asks for the key
      backend.ai --profile lab ps
    """
    if ctx.invoked_subcommand is not None:
        return
    try:
        config = command_config()
    except ConfigError:
        if not as_json:
            _show_found()
        raise
    if config is None:
        if as_json:
            click.echo(json.dumps({"endpoint": None}))
        else:
            click.echo(
                "No server is configured: kernels run on this machine.\n"
                "Set BACKEND_ENDPOINT, BACKEND_ACCESS_KEY and BACKEND_SECRET_KEY to use one."
            )
        return
    oldest, newest = API_VERSIONS[0], API_VERSIONS[-1]
    shown = {
        "endpoint": ("API endpoint", config.endpoint.url),
        "version": ("API version", f"{oldest} to {newest}, as the server has it"),
    }
    if config.endpoint_type == "session":
        shown |= {
            "endpoint_type": ("Endpoint type", config.endpoint_type),
            "user": ("Logged in as", config.user),
        }
    else:
        shown |= {
            "access_key": ("Access key", config.access_key),
            _SECRET: ("Secret key", config.masked_secret_key),
            "hash_type": ("Signature hash type", config.hash_name),
        }
    if as_json:
        click.echo(json.dumps({key: value for key, (_, value) in shown.items()}))
        return
    for name, value in shown.values():
        click.echo(f'{name}: "{value}"')


_name = click.argument("name", metavar="NAME", type=click.Choice(SETTINGS))


@command.command("get")
@_name
def get(name: str) -> None:
    """Print the value of the setting NAME that is in use. The secret key is masked.

    \b
    Examples:
      backend.ai config get endpoint
      backend.ai --profile lab config get connection_timeout
    """
    found = read_settings(chosen_profile())
    try:
        config = command_config()
    except ConfigError:
        if name not in found:
            raise
        click.echo(_shown(name, found[name].text))
        return
    if config is None:
        raise click.ClickException(
            f"cannot get {name}: no server is configured; see 'backend.ai config --help'"
        )
    click.echo(_values(config)[name])


@command.command("set")
@_name
@click.argument("value", required=False)
def set_(name: str, value: str | None) -> None:
    """Set NAME in the profile. The profile is made if it does not exist.

    Without VALUE, the value is asked for, or read from standard input. The secret key is never an
    argument, since other users could see it.

    \b
    Examples:
      backend.ai config set endpoint https://manager.example.com
      backend.ai config set secret_key            # asks for the key
      backend.ai config set secret_key <key.txt
    """
    if name == _SECRET and value is not None:
        raise click.UsageError(
            "the secret key cannot be an argument, since other users could see it; leave it out to "
            "be asked for it, or send it to standard input"
        )
    if value is None and sys.stdin.isatty():
        value = ask_secret(name) if name == _SECRET else ask(name)
    elif value is None:
        value = next(secret_lines(STREAM, name), "")
    profile = _profile()
    save_setting(profile, name, value)
    Status().done(f"Set {name} in the profile {profile!r} ({profiles_file()}).")


@command.command("unset")
@_name
def unset(name: str) -> None:
    """Remove the setting NAME from the profile.

    \b
    Examples:
      backend.ai config unset ca_file
    """
    profile = _profile()
    save_setting(profile, name, None)
    Status().done(f"Removed {name} from the profile {profile!r}.")


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def list_(as_json: bool) -> None:
    """List the profiles and their settings, secret keys masked.

    The profile in use is marked with '*'.

    \b
    Examples:
      backend.ai config list
      backend.ai config list --json
    """
    profiles = read_profiles()
    used = _profile()
    shown = {
        name: {key: _shown(key, value) for key, value in settings.items()}
        for name, settings in profiles.items()
    }
    if as_json:
        listed = {"file": str(profiles_file()), "in_use": used, "profiles": shown}
        click.echo(json.dumps(listed))
        return
    if not shown:
        click.echo("There are no profiles. 'backend.ai config set endpoint URL' makes one.")
    for name, settings in sorted(shown.items()):
        click.echo(f"{'*' if name == used else ' '} {name}")
        for key, value in settings.items():
            click.echo(f"    {key} = {value}")


def _profile() -> str:
    """The profile in use."""
    return chosen_profile() or read_profile_name() or DEFAULT_PROFILE


def _show_found() -> None:
    """Say which settings are set, and where, though they are not all or not all right."""
    for name, setting in read_settings(chosen_profile()).items():
        Status().info(f"{setting.where}: {_shown(name, setting.text)}")


def _values(config: Config) -> dict[str, str]:
    proxies = (f"{given.url}={reached.url}" for given, reached in config.storage_proxies)
    return {
        "endpoint": ",".join(endpoint.url for endpoint in config.endpoints),
        "endpoint_type": config.endpoint_type,
        "access_key": config.access_key,
        _SECRET: config.masked_secret_key,
        "ca_file": config.ca_file or "",
        "skip_sslcert_validation": "0" if config.verify_tls else "1",
        "connection_timeout": _seconds(config.connect_seconds),
        "read_timeout": _seconds(config.answer_seconds),
        "domain": config.domain,
        "group": config.project,
        "vfolder_mounts": ",".join(config.mounts),
        "override_storage_proxy": ",".join(proxies),
    }


def _seconds(limit: float) -> str:
    """A limit as its setting has it, where 0 is none."""
    return "0" if math.isinf(limit) else f"{limit:g}"


def _shown(name: str, value: str) -> str:
    """A value to show: a secret key as `Config.masked_secret_key`, a malformed value not at all."""
    try:
        value = check_setting(name, value)
    except ConfigError:  # it may hold a password, or be a key that belongs elsewhere
        return "(malformed)"
    return f"{value[:4]}{'*' * 32}{value[-4:]}" if name == _SECRET else value
