"""`backend.ai admin`: lists of the server, what administrators change, and GraphQL queries."""

from __future__ import annotations

import json
import sys
from functools import partial
from typing import Any, Literal, TextIO

import click

from backendai_trio import query
from backendai_trio.admin import KINDS, MANAGED_KINDS, Kind, list_rows

from ..console import Status
from ..groups import Group
from ..list_options import Columns, Page, column_options, page_options, status_option
from ..parameters import NAME
from ..server import call_server, open_server
from .admin_changes import add_changes
from .admin_images import image_commands
from .ps import list_sessions

__all__ = ["command", "images"]

_ABOUT: dict[Kind, str] = {
    "agents": "List the machines that run kernels.",
    "domains": "List domains, or change them.",
    "images": "List the images (runtimes) for kernels, or change the list.",
    "keypairs": "List key pairs, without their secrets, or change them.",
    "projects": "List projects (groups of users), or change them.",
    "resource-policies": "List the limits of key pairs, or change them.",
    "resource-presets": "List amounts of resources that have names, or change them.",
    "scaling-groups": "List groups of machines (resource groups), or change them.",
    "users": "List users, or change them.",
    "vfolders": "List virtual folders.",
}
# The columns of tables that do not show all keys. JSON has all that the server sent.
_TITLES: dict[Kind, dict[str, str]] = {
    "images": {"name": "Name", "tag": "Tag", "registry": "Registry", "aliases": "Aliases"},
}
_EXAMPLES: dict[Kind, str] = {
    "agents": "--status ALIVE",
    "images": "-f name,tag,digest",
    "keypairs": "--filter 'is_active == true' --order -last_used",
    "users": "--limit 20 --order +email",
    "vfolders": "--access-key AKIA0123456789ABCDEF",
}
_ALIASES = {
    "agent": "agents",
    "domain": "domains",
    "group": "projects",
    "image": "images",
    "keypair": "keypairs",
    "keypair-resource-policy": "resource-policies",
    "resource-groups": "scaling-groups",
    "scaling-group": "scaling-groups",
    "session": "sessions",
    "user": "users",
    "vfolder": "vfolders",
}
_local_option = click.option(
    "--local", is_flag=True, help="Ask this machine, even if a server is configured."
)


class _AdminGroup(Group):
    """The group, with the names that the official client has for its commands as well."""

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        return super().get_command(ctx, _ALIASES.get(name, name))


@click.group("admin", cls=_AdminGroup)
def command() -> None:
    """List what the server has, change it, and query its admin API. Changes and some lists need the
    key pair of an administrator.

    \b
    Examples:
      backend.ai admin sessions --status ALL
      backend.ai admin images --json
      backend.ai admin users create me@example.com --groups physics
      backend.ai admin query '{ keypair { access_key } }'
    """


@command.command("sessions")
@status_option
@click.option("--access-key", metavar="KEY", type=NAME, help="Owner; for administrators.")
@page_options
@column_options
def sessions(status: str, access_key: str | None, page: Page, columns: Columns) -> None:
    """List kernels, newest first: those of all owners that you may see. Servers before 19.03 list
    those of one key pair: your own, or --access-key.

    \b
    Examples:
      backend.ai admin sessions
      backend.ai admin sessions --status TERMINATED --json
    """
    everybody: bool | Literal["where listed"] = "where listed" if access_key is None else False
    list_sessions(status, access_key, page, columns, everybody=everybody)


def _list(
    kind: Kind,
    local: bool,
    page: Page,
    columns: Columns,
    access_key: str | None = None,
    status: str | None = None,
) -> None:
    filters = {"access_key": access_key, "status": status}
    arguments = {name: value for name, value in filters.items() if value is not None}
    fields = columns.names
    call = partial(list_rows, kind=kind, arguments=arguments, fields=fields, **page.arguments())
    with open_server(Status(quiet=columns.as_json), local=local) as config:
        rows = call_server(config, call)
    columns.show(rows, _TITLES.get(kind), empty=f"There are no {kind.replace('-', ' ')}.")


def _listing(kind: Kind) -> click.Command:
    # It is also `backend.ai images`.
    call = "backend.ai images" if kind == "images" else f"backend.ai admin {kind}"
    text = (
        f"{_ABOUT[kind]} --fields takes names of columns, and of all fields that the server has."
        f"\n\n\b\nExamples:\n  {call}\n  {call} {_EXAMPLES.get(kind, '--json')}"
    )

    @click.command(kind, help=text)
    @page_options
    @column_options
    @_local_option
    def listing(**parameters: Any) -> None:
        _list(kind, **parameters)

    if kind == "vfolders":
        click.option("--access-key", metavar="KEY", type=NAME, help="Owner; for administrators.")(
            listing
        )
    if kind == "agents":
        click.option("-s", "--status", metavar="NAME", help="Status of the agents, e.g. ALIVE.")(
            listing
        )
    return listing


_listings = {kind: _listing(kind) for kind in KINDS if kind != "sessions"}
for _name, _command in _listings.items():
    command.add_command(_command, _name)
for _managed in MANAGED_KINDS:
    command.add_command(add_changes(_managed, _listings[_managed]))
command.add_command(image_commands(_listings["images"]))
images = _listings["images"]
"""`backend.ai images`."""


@command.command("query")
@click.argument("text", required=False)
@click.option(
    "-f", "--file", type=click.File("r", encoding="utf-8"), help="File that holds the query."
)
@click.option(
    "--var",
    "variables",
    multiple=True,
    metavar="NAME=VALUE",
    help="Variable of the query; VALUE is JSON or text. May be repeated.",
)
@_local_option
def query_command(
    text: str | None, file: TextIO | None, variables: tuple[str, ...], local: bool
) -> None:
    """Send a GraphQL query to the admin API, and print the data as JSON.

    The query is TEXT, or the content of --file, or standard input.

    \b
    Examples:
      backend.ai admin query '{ scaling_groups { name } }'
      backend.ai admin query -f sessions.graphql --var limit=10 --var status=RUNNING
    """
    if text is not None and file is not None:
        raise click.UsageError("give either TEXT or --file, not both")
    if text is None:
        text = "" if file is None and sys.stdin.isatty() else (file or sys.stdin).read()
    if not text.strip():
        raise click.UsageError("no query: give it as TEXT, with --file, or on standard input")
    values = dict(map(_variable, variables))
    with open_server(Status(), local=local) as config:
        data = call_server(config, partial(query, query=text, variables=values))
    click.echo(json.dumps(data, indent=2, ensure_ascii=False))


def _variable(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise click.UsageError(f"--var {text}: write it as NAME=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
