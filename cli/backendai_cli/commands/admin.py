"""`backend.ai admin`: lists of the server, and GraphQL queries of the user."""

from __future__ import annotations

import json
import sys
from functools import partial
from typing import Any, TextIO

import click

from backendai_trio import query
from backendai_trio.admin import KINDS, Kind, list_rows

from ..console import Status
from ..groups import Group
from ..list_options import Columns, Page, column_options, page_options
from ..server import call_server, open_server
from .ps import list_sessions, status_option

__all__ = ["command", "images"]

_ABOUT: dict[Kind, str] = {
    "agents": "List the machines that run kernels.",
    "images": "List the images (runtimes) for kernels.",
    "keypairs": "List key pairs, without their secrets.",
    "resource-policies": "List the limits of key pairs.",
    "scaling-groups": "List groups of machines.",
    "users": "List users.",
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
_local_option = click.option(
    "--local", is_flag=True, help="Ask this machine, even if a server is configured."
)


@click.group("admin", cls=Group)
def command() -> None:
    """List what the server has, and query its admin API. Some lists need the key pair of an
    administrator.

    \b
    Examples:
      backend.ai admin sessions --status ALL
      backend.ai admin images --json
      backend.ai admin query '{ keypair { access_key } }'
    """


@command.command("sessions")
@status_option
@click.option("--access-key", metavar="KEY", help="Owner; for administrators.")
@page_options
@column_options
def sessions(status: str, access_key: str | None, page: Page, columns: Columns) -> None:
    """List kernels, newest first: those of all owners that you may see. Servers before 19.03 list
    those of one key pair: --access-key.

    \b
    Examples:
      backend.ai admin sessions
      backend.ai admin sessions --status TERMINATED --json
    """
    list_sessions(status, access_key, page, columns, everybody=access_key is None)


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
        click.option("--access-key", metavar="KEY", help="Owner; for administrators.")(listing)
    if kind == "agents":
        click.option("-s", "--status", metavar="NAME", help="Status of the agents, e.g. ALIVE.")(
            listing
        )
    return listing


for _kind in KINDS:
    if _kind != "sessions":
        command.add_command(_listing(_kind))
images = command.commands["images"]
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
        if file is None and sys.stdin.isatty():
            raise click.UsageError("no query: give it as TEXT, with --file, or on standard input")
        text = (file or sys.stdin).read()
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
