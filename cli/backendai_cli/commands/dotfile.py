"""`backend.ai dotfile`."""

from __future__ import annotations

import sys
from functools import partial
from typing import BinaryIO

import click

from backendai_trio import Client
from backendai_trio.admin import (
    Dotfile,
    delete_dotfile,
    get_dotfile,
    list_dotfiles,
    put_dotfile,
)

from ..console import Status, write_bytes
from ..groups import Group
from ..list_options import Columns, column_options
from ..options import quiet_option
from ..parameters import NAME
from ..server import call_server, configured_server
from ..tables import title_of

__all__ = ["command"]

_COLUMNS = ("path", "permission", "size", "data")
_USUAL = ("path", "permission", "size")


@click.group("dotfile", cls=Group)
def command() -> None:
    """Manage dotfiles: small text files, such as .bashrc, that each new kernel gets. Managers from
    19.09 on have them.

    \b
    Examples:
      backend.ai dotfile set .bashrc bashrc
      echo 'set number' | backend.ai dotfile set .vimrc -
      backend.ai dotfile list
    """


@command.command("list")
@column_options
def list_command(columns: Columns) -> None:
    """List the dotfiles.

    Columns are path, permission, size and data; a table shows data only with --fields.

    \b
    Examples:
      backend.ai dotfile list
      backend.ai dotfile list --json
    """
    columns.check(_COLUMNS)
    found = call_server(configured_server("list dotfiles"), list_dotfiles)
    rows = [
        {
            "path": item.path,
            "permission": item.permission,
            "size": len(item.data.encode("utf-8", "replace")),
            "data": item.data,
        }
        for item in found
    ]
    columns.show(rows, {name: title_of(name) for name in _USUAL}, empty="There are no dotfiles.")


@command.command("get")
@click.argument("path", type=NAME)
def get_command(path: str) -> None:
    """Print the dotfile PATH.

    \b
    Examples:
      backend.ai dotfile get .bashrc
    """
    config = configured_server(f"get the dotfile {path}")
    found = call_server(config, partial(get_dotfile, path=path))
    write_bytes(sys.stdout, found.data.encode("utf-8", "surrogatepass"))


@command.command("set")
@click.argument("path", type=NAME)
@click.argument("file", type=click.File("rb"))
@click.option(
    "--permission", default="644", show_default=True, metavar="OCTAL", help="Its permission."
)
@quiet_option
def set_command(path: str, file: BinaryIO, permission: str, quiet: bool) -> None:
    """Create the dotfile PATH, or replace it, with the text of the local FILE; '-' is standard
    input.

    PATH lies below the work folder of kernels. Those that exist already keep theirs. A key pair has
    room for 100 dotfiles, of 64 KiB in all.

    \b
    Examples:
      backend.ai dotfile set .bashrc bashrc
    """
    from backendai_trio import LocalProtocolError

    try:
        dotfile = Dotfile(path, file.read().decode(), permission)
    except UnicodeDecodeError:
        raise click.UsageError(
            f"{file.name}: a dotfile is text in UTF-8, and this is not"
        ) from None
    except LocalProtocolError as exc:
        raise click.UsageError(str(exc)) from None

    async def put(client: Client) -> bool:
        return await put_dotfile(client, dotfile)

    created = call_server(configured_server(f"set the dotfile {path}"), put)
    Status(quiet=quiet).done(f"The dotfile {path} is {'created' if created else 'replaced'}.")


@command.command("delete")
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=NAME)
@quiet_option
def delete_command(paths: tuple[str, ...], quiet: bool) -> None:
    """Delete the dotfiles PATH. Kernels that exist keep theirs.

    \b
    Examples:
      backend.ai dotfile delete .bashrc .vimrc
    """

    async def delete(client: Client) -> None:
        for path in paths:
            await delete_dotfile(client, path)
            Status(quiet=quiet).done(f"The dotfile {path} is deleted.")

    call_server(configured_server("delete dotfiles"), delete)
