"""`backend.ai vfolder`: where folders can be made, and for whom."""

from __future__ import annotations

import json

import click

from backendai_trio.vfolders import list_folder_types, list_hosts

from ...console import printable
from ...tables import show_rows
from .requests import call_vfolders, json_option, project_option

__all__ = ["COMMANDS"]


@click.command()
@project_option("Project whose folders are meant [default: all that you can use].")
@json_option
def hosts(project: str | None, as_json: bool) -> None:
    """List the storage hosts that you can make folders on.

    \b
    Examples:
      backend.ai vfolder hosts
      backend.ai vfolder hosts -g research --json
    """
    found = call_vfolders(lambda client: list_hosts(client, project=project), quiet=as_json)
    rows = [
        {"name": name, "default": name == found.default, "used_percent": found.usage.get(name)}
        for name in found.allowed
    ]
    if not as_json:
        for row in rows:
            percent = row["used_percent"]
            row["used_percent"] = "" if percent is None else f"{percent:.0f} %"
            row["default"] = "yes" if row["default"] else ""
    show_rows(
        rows,
        {"name": "Name", "default": "Default", "used_percent": "Used"},
        as_json=as_json,
        empty="There is no storage host that you may make folders on.",
    )


@click.command("list-allowed-types")
@json_option
def types(as_json: bool) -> None:
    """List whose folders the server has: those of users, of projects (group) or both.

    \b
    Examples:
      backend.ai vfolder list-allowed-types
    """
    found = call_vfolders(list_folder_types, quiet=as_json)
    if as_json:
        click.echo(json.dumps(found))
    else:
        for name in found:
            click.echo(printable(name))


COMMANDS = (hosts, types)
