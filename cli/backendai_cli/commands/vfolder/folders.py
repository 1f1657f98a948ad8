"""`backend.ai vfolder`: the folders themselves."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Literal

import click

from backendai_trio import Client, TrioVFolder, create_vfolder
from backendai_trio.vfolders import VFolderInfo

from ...console import Status, printable
from ...list_options import Columns, column_options
from ...parameters import NAME
from .requests import (
    call_vfolders,
    folder_argument,
    json_option,
    permission_option,
    project_option,
    show_folders,
)

__all__ = ["COMMANDS"]


@click.command("list")
@project_option("Project whose folders are meant [default: what you can use].")
@column_options
def list_command(project: str | None, columns: Columns) -> None:
    """List the folders that you can use. Deleted ones are listed by 'backend.ai vfolder trash'.

    Managers from 24.03 on list the folders of a project only with -g.

    \b
    Examples:
      backend.ai vfolder list
      backend.ai vfolder list -g research
      backend.ai vfolder list -f name,host,usage_mode
    """
    show_folders(
        columns,
        lambda item: item.is_usable,
        project=project,
        empty="There are no virtual folders. 'backend.ai vfolder create NAME' makes one.",
    )


@click.command()
@folder_argument
@click.argument("host", required=False)
@project_option("Project that owns it [default: you].")
@click.option(
    "-m",
    "--usage-mode",
    type=click.Choice(["general", "data", "model"]),
    default="general",
    show_default=True,
    help="Purpose of the folder.",
)
@click.option(
    "--quota",
    metavar="BYTES",
    type=click.IntRange(min=0),
    default=0,
    help="Size limit [default: the server's].",
)
@permission_option
@click.option("--cloneable", "--allow-clone", is_flag=True, help="Let others clone it.")
@json_option
def create(
    name: str,
    host: str | None,
    project: str | None,
    usage_mode: str,
    quota: int,
    permission: Literal["ro", "rw", "wd"],
    cloneable: bool,
    as_json: bool,
) -> None:
    """Create the folder NAME, on the storage host HOST if the server has several.

    \b
    Examples:
      backend.ai vfolder create data
      backend.ai vfolder create models nas1 --group research --quota 10000000000
    """

    async def make(client: Client) -> VFolderInfo:
        folder = await create_vfolder(
            client,
            name,
            host=host,
            group=project,
            usage_mode=usage_mode,
            permission=permission,
            cloneable=cloneable,
            max_bytes=quota,
        )
        return await folder.info()

    created = call_vfolders(make, quiet=as_json)
    if as_json:
        click.echo(json.dumps(asdict(created)))
    else:
        Status().done(f"Created the virtual folder {created.name} (ID: {created.folder_id}).")


@click.command()
@folder_argument
@json_option
def info(name: str, as_json: bool) -> None:
    """Show information about the folder NAME.

    \b
    Examples:
      backend.ai vfolder info data
      backend.ai vfolder info data --json
    """
    found = call_vfolders(lambda client: TrioVFolder(client, name).info(), quiet=as_json)
    if as_json:
        click.echo(json.dumps(asdict(found)))
        return
    for title, value in (
        ("Name", found.name),
        ("ID", found.folder_id),
        ("Files", "?" if found.num_files is None else f"{found.num_files:,}"),
        ("Bytes", "?" if found.used_bytes is None else f"{found.used_bytes:,}"),
        ("Quota", f"{found.max_bytes:,} bytes" if found.max_bytes else "none"),
        ("Quota scope", found.quota_scope),
        ("Host", found.host),
        ("Usage mode", found.usage_mode),
        ("Permission", found.permission),
        ("Cloneable", "yes" if found.cloneable else "no"),
        ("Owner", found.owner + (" (you)" if found.is_owner else "")),
        ("Project", found.project if found.ownership == "group" else ""),
        ("Status", found.status),
        ("Created", found.created_at[:19].replace("T", " ")),
    ):
        if value:
            click.echo(f"{title:<11} {printable(value)}")


@click.command()
@folder_argument
@click.argument("new_name", type=NAME)
@click.argument("host", required=False)
@click.option(
    "-m",
    "--usage-mode",
    type=click.Choice(["general", "data", "model"]),
    help="Purpose of the new folder [default: that of NAME].",
)
@permission_option
@click.option("--cloneable", is_flag=True, help="Let others clone the new folder.")
@json_option
def clone(
    name: str,
    new_name: str,
    host: str | None,
    usage_mode: str | None,
    permission: Literal["ro", "rw", "wd"],
    cloneable: bool,
    as_json: bool,
) -> None:
    """Copy the folder NAME with all its files to the new folder NEW_NAME, which is yours.

    NAME must be cloneable ('create --cloneable', 'update-options --cloneable'). The copy is on the
    storage host HOST if one is given, else on that of NAME. The command ends when all files are
    copied; Ctrl-C leaves the copying to the server.

    \b
    Examples:
      backend.ai vfolder clone data data-2
    """

    async def copy(client: Client) -> VFolderInfo:
        made = await TrioVFolder(client, name).clone(
            new_name, host=host, usage_mode=usage_mode, permission=permission, cloneable=cloneable
        )
        return await TrioVFolder(client, made).info()

    status = Status(quiet=as_json)
    status.wait(f"Cloning the virtual folder {name}...")
    made = call_vfolders(copy, quiet=as_json)
    if as_json:
        click.echo(json.dumps(asdict(made)))
    else:
        status.done(f"Cloned the virtual folder {name} to {made.name} (ID: {made.folder_id}).")


@click.command("update-options")
@folder_argument
@click.option(
    "-p",
    "--permission",
    type=click.Choice(["ro", "rw", "wd"]),
    help="What other members of its project may do: read only; read and write; or write and "
    "delete.",
)
@click.option("--cloneable/--not-cloneable", default=None, help="Let others clone it, or not.")
@click.option("--set-cloneable", type=bool, hidden=True)  # of the official client
def update_options(
    name: str,
    permission: Literal["ro", "rw", "wd"] | None,
    cloneable: bool | None,
    set_cloneable: bool | None,
) -> None:
    """Change options of the folder NAME.

    \b
    Examples:
      backend.ai vfolder update-options data --cloneable
      backend.ai vfolder update-options models -p ro
    """
    allowed = set_cloneable if cloneable is None else cloneable
    if permission is None and allowed is None:
        raise click.UsageError("name an option to change: --permission, --cloneable")
    call_vfolders(
        lambda client: TrioVFolder(client, name).update_options(
            permission=permission, cloneable=allowed
        )
    )
    Status().done(f"Changed the options of the virtual folder {name}.")


@click.command()
@folder_argument
@click.argument("new_name", type=NAME)
def rename(name: str, new_name: str) -> None:
    """Rename the folder NAME to NEW_NAME.

    \b
    Examples:
      backend.ai vfolder rename data old-data
    """
    call_vfolders(lambda client: TrioVFolder(client, name).rename(new_name))
    Status().done(f"Renamed the virtual folder {name} to {new_name}.")


COMMANDS = (
    list_command,
    create,
    info,
    clone,
    update_options,
    rename,
)
