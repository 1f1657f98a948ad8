"""`backend.ai admin`: what the server has, and questions of one's own."""

from __future__ import annotations

import json
import sys
from difflib import get_close_matches
from functools import partial
from typing import Any, TextIO

import click

from backendai_trio import query
from backendai_trio.admin import KINDS, Kind, list_rows

from ..console import Status
from ..groups import Group
from ..server import ask, open_target
from ..tables import show_rows
from .ps import list_sessions

__all__ = ["command", "images"]

_ABOUT: dict[Kind, str] = {
    "agents": "List the machines that run kernels.",
    "images": "List the images, or runtimes, that kernels can be made from.",
    "keypairs": "List key pairs, without their secrets.",
    "resource-policies": "List what key pairs may use.",
    "scaling-groups": "List groups of machines.",
    "users": "List users.",
    "vfolders": "List virtual folders.",
}
# Of these, not all is for a table. What JSON has is what the server told.
_TITLES: dict[Kind, dict[str, str]] = {
    "images": {"name": "Name", "tag": "Tag", "registry": "Registry", "aliases": "Aliases"},
}
_EXAMPLES: dict[Kind, str] = {
    "agents": "--status ALIVE",
    "vfolders": "--access-key AKIA0123456789ABCDEF",
}
# Of sessions, in managers of 2018 to 2026; most were not there in all of them.
_STATUSES = (
    *("PENDING", "SCHEDULED", "PREPARING", "BUILDING", "PULLING", "PREPARED", "CREATING"),
    *("RUNNING", "RUNNING_DEGRADED", "RESTARTING", "RESIZING", "SUSPENDED", "DEPRIORITIZING"),
    *("RESERVED", "PREEMPTED", "RESCHEDULING", "TERMINATING", "TERMINATED", "ERROR", "CANCELLED"),
)
_json_option = click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
_local_option = click.option(
    "--local", is_flag=True, help="Ask this machine, whatever server is configured."
)


@click.group("admin", cls=Group)
def command() -> None:
    """Ask the server what it has. Some lists are for administrators' key pairs alone.

    \b
    Examples:
      backend.ai admin sessions --status ALL
      backend.ai admin images --json
      backend.ai admin query '{ keypair { access_key } }'
    """


@command.command("sessions")
@click.option(
    "--status",
    default="RUNNING",
    show_default=True,
    metavar="NAME",
    help=f"{', '.join(_STATUSES)}, or ALL; from 20.03 on also several, with commas.",
)
@click.option("--access-key", metavar="KEY", help="Whose; for administrators.")
@_json_option
def sessions(status: str, access_key: str | None, as_json: bool) -> None:
    """List kernels, newest first.

    \b
    Examples:
      backend.ai admin sessions
      backend.ai admin sessions --status TERMINATED --json
    """
    status = status.upper()
    if status != "ALL":
        _check_statuses(status)
    list_sessions(None if status == "ALL" else status, access_key, as_json=as_json)


def _check_statuses(text: str) -> None:
    """Refuse what looks like a slip; the server may know names that are new."""
    for name in text.split(","):
        if name in _STATUSES:
            continue
        close = get_close_matches(name, (*_STATUSES, "ALL"), n=1, cutoff=0.8)
        if close:
            raise click.UsageError(f"there is no status {name!r}; did you mean {close[0]!r}?")
        Status().info(f"{name!r} is no status that this program knows; the server is asked.")


def _list(
    kind: Kind, as_json: bool, local: bool, access_key: str | None = None, status: str | None = None
) -> None:
    which = {"access_key": access_key, "status": status}
    arguments = {name: value for name, value in which.items() if value is not None}
    with open_target(Status(quiet=as_json), local=local) as config:
        rows = ask(config, partial(list_rows, kind=kind, arguments=arguments))
    show_rows(
        [_readable(dict(row)) for row in rows],
        _TITLES.get(kind),
        as_json=as_json,
        empty=f"There are no {kind.replace('-', ' ')}.",
    )


def _listing(kind: Kind) -> click.Command:
    # `backend.ai images` is the same command.
    call = "backend.ai images" if kind == "images" else f"backend.ai admin {kind}"
    text = f"{_ABOUT[kind]}\n\n\b\nExamples:\n  {call}\n  {call} {_EXAMPLES.get(kind, '--json')}"
    listing = click.Command(kind, callback=partial(_list, kind), help=text, params=[])
    options = [_json_option, _local_option]
    if kind == "vfolders":
        options.append(
            click.option("--access-key", metavar="KEY", help="Whose; for administrators.")
        )
    if kind == "agents":
        options.append(
            click.option("--status", metavar="NAME", help="Status they have, e.g. ALIVE.")
        )
    for option in reversed(options):
        option(listing)
    return listing


for _kind in KINDS:
    if _kind != "sessions":
        command.add_command(_listing(_kind))
images = command.commands["images"]
"""`backend.ai images`, for everybody."""


@command.command("query")
@click.argument("text", required=False)
@click.option("-f", "--file", type=click.File("r", encoding="utf-8"), help="File with the query.")
@click.option(
    "--var",
    "variables",
    multiple=True,
    metavar="NAME=VALUE",
    help="Variable of the query; the value is JSON, else text. May be repeated.",
)
@_local_option
def query_command(
    text: str | None, file: TextIO | None, variables: tuple[str, ...], local: bool
) -> None:
    """Ask the admin API a GraphQL query and print the data as JSON.

    The query is TEXT, or the content of a file, or what standard input has.

    \b
    Examples:
      backend.ai admin query '{ scaling_groups { name } }'
      backend.ai admin query -f sessions.graphql --var limit=10 --var status=RUNNING
    """
    if text is not None and file is not None:
        raise click.UsageError("give either TEXT or --file, not both")
    if text is None:
        if file is None and sys.stdin.isatty():
            raise click.UsageError("give a query: as TEXT, with --file, or on standard input")
        text = (file or sys.stdin).read()
    values = dict(map(_variable, variables))
    with open_target(Status(), local=local) as config:
        data = ask(config, partial(query, query=text, variables=values))
    click.echo(json.dumps(data, indent=2, ensure_ascii=False))


def _variable(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise click.UsageError(f"--var {text}: write it as NAME=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _readable(row: dict[str, Any]) -> dict[str, Any]:
    """Maps that the server wrote as text, such as slots, as maps."""
    for name, value in row.items():
        if name.endswith("slots") and isinstance(value, str):
            try:
                row[name] = json.loads(value)
            except ValueError:
                continue
    return row
