"""`backend.ai admin`: members of projects, who may use resource groups, and key pairs that are
switched on or off."""

from __future__ import annotations

from functools import partial

import click

from backendai_trio.admin import (
    Whom,
    allow_resource_group,
    change_members,
    forbid_resource_group,
    update_row,
)

from ..console import Status, printable
from ..options import quiet_option
from ..parameters import NAME
from ..server import call_server, configured_server

__all__ = ["access_commands"]


def access_commands(kind: str) -> list[click.Command]:
    """Further commands of a kind.

    Args:
        kind: its name.
    """
    if kind == "projects":
        return [
            _members("add-users", "Add users to a project.", remove=False),
            _members("remove-users", "Remove users from a project.", remove=True),
        ]
    if kind == "scaling-groups":
        return [
            _access("allow", "Let a domain, project or key pair use a resource group.", allow=True),
            _access("forbid", "Take back what 'allow' has allowed.", allow=False),
        ]
    if kind == "keypairs":
        return [
            _activation("activate", "Let a key pair's requests in again.", active=True),
            _activation("deactivate", "Let a key pair's requests in no more.", active=False),
        ]
    return []


def _members(name: str, about: str, *, remove: bool) -> click.Command:
    text = (
        f"{about} PROJECT is its name or id, and USERS are email addresses or ids."
        f"\n\n\b\nExamples:\n  backend.ai admin projects {name} physics me@example.com"
    )

    @click.command(name, help=text)
    @click.argument("project", type=NAME)
    @click.argument("users", nargs=-1, required=True, type=NAME)
    @quiet_option
    def members(project: str, users: tuple[str, ...], quiet: bool) -> None:
        config = configured_server("change the users of a project")
        call = partial(change_members, project=project, users=users, remove=remove)
        call_server(config, call)
        Status(quiet=quiet).done(f"The users of {printable(project)} are changed.")

    return members


def _access(name: str, about: str, *, allow: bool) -> click.Command:
    text = (
        f"{about}\n\n\b\nExamples:\n"
        f"  backend.ai admin scaling-groups {name} gpu --domain default\n"
        f"  backend.ai admin scaling-groups {name} gpu --project physics"
    )
    function = allow_resource_group if allow else forbid_resource_group

    @click.command(name, help=text)
    @click.argument("name", type=NAME)
    @click.option("--domain", type=NAME, metavar="NAME", help="Domain.")
    @click.option("--project", "--group", type=NAME, metavar="NAME", help="Project: name or id.")
    @click.option("--keypair", type=NAME, metavar="ACCESS_KEY", help="Key pair.")
    @quiet_option
    def access(
        name: str, domain: str | None, project: str | None, keypair: str | None, quiet: bool
    ) -> None:
        given: dict[Whom, str | None] = {
            "domain": domain,
            "project": project,
            "keypair": keypair,
        }
        chosen = [(whom, key) for whom, key in given.items() if key is not None]
        if len(chosen) != 1:
            raise click.UsageError("give one of --domain, --project and --keypair")
        ((whom, key),) = chosen
        config = configured_server("change who may use a resource group")
        call_server(config, partial(function, resource_group=name, whom=whom, key=key))
        verb = "may use" if allow else "is not allowed any more to use"
        Status(quiet=quiet).done(f"The {whom} {printable(key)} {verb} {printable(name)}.")

    return access


def _activation(name: str, about: str, *, active: bool) -> click.Command:
    text = f"{about}\n\n\b\nExamples:\n  backend.ai admin keypairs {name} AKIA0123456789ABCDEF"

    @click.command(name, help=text)
    @click.argument("key", metavar="ACCESS_KEY", type=NAME)
    @quiet_option
    def activation(key: str, quiet: bool) -> None:
        config = configured_server(f"{name} a key pair")
        values = {"is_active": active}
        call_server(config, partial(update_row, kind="keypairs", key=key, values=values))
        state = "active" if active else "inactive"
        Status(quiet=quiet).done(f"The key pair {printable(key)} is {state}.")

    return activation
