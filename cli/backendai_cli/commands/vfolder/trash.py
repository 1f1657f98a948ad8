"""`backend.ai vfolder`: deleted folders."""

from __future__ import annotations

import sys

import click
import trio

from backendai_trio import Client, TrioVFolder

from ...confirmation import confirm, yes_option
from ...console import Status, printable
from ...list_options import Columns, column_options
from .requests import call_vfolders, folder_argument, show_folders

__all__ = ["COMMANDS"]


@click.command()
@folder_argument
@click.option("--purge", is_flag=True, help="Do not keep it in the trash.")
@yes_option
def delete(name: str, purge: bool, yes: bool) -> None:
    """Delete the folder NAME and all files in it.

    Managers from 24.03 on move it to the trash, where it keeps its name and its quota until it is
    restored or purged. Other servers have no trash: there it is gone, and a terminal asks before.

    \b
    Examples:
      backend.ai vfolder delete data
      backend.ai vfolder delete --purge --yes data
    """
    # Scripts that know no option --yes delete folders where there is no trash: official clients
    # have no question here. A person who cannot be asked, since standard error goes elsewhere, is
    # refused.
    if purge or (sys.stdin.isatty() and not call_vfolders(_has_trash)):
        _confirm(name, yes=yes)

    async def work(client: Client) -> bool:
        await TrioVFolder(client, name).delete(purge=purge)
        return not purge and client.hello.has_trash

    keeps = call_vfolders(work)
    if keeps:
        Status().done(
            f"Moved the virtual folder {name} to the trash. It keeps its name and its quota until "
            f"'backend.ai vfolder purge {name}'; 'backend.ai vfolder restore {name}' brings it "
            "back."
        )
    else:
        Status().done(f"Deleted the virtual folder {name}.")


@click.command()
@column_options
def trash(columns: Columns) -> None:
    """List the deleted folders that are not gone yet.

    \b
    Examples:
      backend.ai vfolder trash
      backend.ai vfolder trash --json
    """
    show_folders(
        columns,
        lambda item: item.keeps_name,
        titles={"status": "Status"},
        empty="The trash is empty.",
    )


@click.command()
@folder_argument
def restore(name: str) -> None:
    """Take the folder NAME out of the trash, with all its files.

    \b
    Examples:
      backend.ai vfolder restore data
    """
    call_vfolders(lambda client: TrioVFolder(client, name).restore())
    Status().done(f"Restored the virtual folder {name}.")


@click.command()
@folder_argument
@yes_option
def purge(name: str, yes: bool) -> None:
    """Remove the folder NAME in the trash for good. 'delete --purge' deletes and purges a folder.

    \b
    Examples:
      backend.ai vfolder purge data
      backend.ai vfolder purge --yes data
    """
    _confirm(name, yes=yes)
    call_vfolders(lambda client: TrioVFolder(client, name).purge())
    Status().done(f"Purged the virtual folder {name}.")


async def _has_trash(client: Client) -> bool:
    await trio.lowlevel.checkpoint()
    return client.hello.has_trash


def _confirm(name: str, *, yes: bool) -> None:
    folder = f"The virtual folder {printable(name)}"
    confirm(f"{folder} is about to be removed for good, with all its files.", yes=yes)


COMMANDS = (delete, trash, restore, purge)
