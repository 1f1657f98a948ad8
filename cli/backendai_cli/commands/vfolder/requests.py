"""What the commands of `vfolder` share: parameters, calls to the server, the list of folders."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, fields
from typing import TypeVar

import click

from backendai_trio import Client, list_vfolders
from backendai_trio.vfolders import VFolderInfo

from ...console import Status
from ...list_options import Columns
from ...parameters import NAME
from ...server import call_server, open_server

__all__ = [
    "call_vfolders",
    "folder_argument",
    "json_option",
    "permission_option",
    "project_option",
    "quiet_option",
    "show_folders",
]

T = TypeVar("T")
R = TypeVar("R")

_TITLES = {
    "name": "Name",
    "folder_id": "ID",
    "permission": "Permission",
    "owner": "Owner",
    "created_at": "Created at",
}

folder_argument = click.argument("name", type=NAME)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
quiet_option = click.option("-q", "--quiet", is_flag=True, help="Show only errors.")
permission_option = click.option(
    "-p",
    "--permission",
    "--perm",
    type=click.Choice(["ro", "rw", "wd"]),
    default="rw",
    show_default=True,
    help="Read only; read and write; or write and delete.",
)


def project_option(help: str) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """Add ``--project``, which a command gets as its argument `project`.

    Args:
        help: its meaning for the command, with its default.
    """
    return click.option(
        "-g", "--project", "--group", "project", metavar="NAME", type=NAME, help=help
    )


def call_vfolders(call: Callable[[Client], Awaitable[T]], *, quiet: bool = False) -> T:
    """Call the server, or this machine as the options say, and return the result of `call`."""
    local = bool(click.get_current_context().obj)
    with open_server(Status(quiet=quiet), local=local, lasting=True) as config:
        return call_server(config, call)


def show_folders(
    columns: Columns,
    shows: Callable[[VFolderInfo], bool],
    *,
    project: str | None = None,
    titles: Mapping[str, str] | None = None,
    empty: str,
) -> None:
    """Print the folders that the user may see.

    Args:
        columns: to show of them.
        shows: whether a folder is one of the list.
        project: whose folders are meant; None for all that the server lists without one.
        titles: of further columns of the table.
        empty: the line to print where there are none.
    """
    columns.check([item.name for item in fields(VFolderInfo)])
    found = call_vfolders(
        lambda client: list_vfolders(client, project=project), quiet=columns.as_json
    )
    rows = [asdict(item) for item in found if shows(item)]
    columns.show(rows, _TITLES | dict(titles or {}), empty=empty)
