"""Parameters that the commands of `vfolder` share, and their calls to the server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import click

from backendai_trio import Client

from ...console import Status
from ...parameters import NAME
from ...server import call_server, open_server

__all__ = [
    "call_vfolders",
    "folder_argument",
    "json_option",
    "permission_option",
    "quiet_option",
]

T = TypeVar("T")

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


def call_vfolders(call: Callable[[Client], Awaitable[T]], *, quiet: bool = False) -> T:
    """Call the server, or this machine as the options say, and return the result of `call`."""
    local = bool(click.get_current_context().obj)
    with open_server(Status(quiet=quiet), local=local, lasting=True) as config:
        return call_server(config, call)
