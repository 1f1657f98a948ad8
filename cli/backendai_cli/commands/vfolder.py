"""`backend.ai vfolder`: files that outlive kernels."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Literal, TypeVar

import click

from backendai_trio import Client, TrioVFolder, create_vfolder, list_vfolders
from backendai_trio.files import plan_uploads
from backendai_trio.kernels import FileInfo
from backendai_trio.vfolders import (
    VFolderInfo,
    accept_invitation,
    decline_invitation,
    list_invitations,
)

from ..console import Status
from ..groups import Group
from ..progress_bars import shown
from ..server import ask, open_target
from ..tables import show_rows

__all__ = ["command"]

T = TypeVar("T")
_PERMISSIONS = click.Choice(["ro", "rw", "wd"])

as_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
quiet_option = click.option("-q", "--quiet", is_flag=True, help="Say nothing unless it fails.")
permission_option = click.option(
    "-p",
    "--permission",
    type=_PERMISSIONS,
    default="rw",
    show_default=True,
    help="Read only, read and write, or delete too.",
)


@click.group("vfolder", cls=Group)
@click.option("--local", is_flag=True, help="Those of this machine, whatever server is configured.")
@click.pass_context
def command(ctx: click.Context, local: bool) -> None:
    """Keep files in virtual folders, which outlive kernels.

    'backend.ai run -m NAME' mounts a folder: it appears under its name in the work folder. With no
    server configured, folders are kept on this machine.

    \b
    Examples:
      backend.ai vfolder create data
      backend.ai vfolder upload data train.csv images/ -r
      backend.ai run python -m data -c "print(open('data/train.csv').read())"
      backend.ai vfolder download data results
    """
    ctx.obj = local


@command.command("list")
@as_json_option
def list_command(as_json: bool) -> None:
    """List the folders that you may use.

    \b
    Examples:
      backend.ai vfolder list
      backend.ai vfolder list --json
    """
    show_rows(
        [asdict(item) for item in _run(list_vfolders, quiet=as_json)],
        {
            "name": "Name",
            "folder_id": "ID",
            "permission": "Permission",
            "owner": "Owner",
            "created_at": "Created at",
        },
        as_json=as_json,
        empty="There are no virtual folders. 'backend.ai vfolder create NAME' makes one.",
    )


@command.command()
@click.argument("name")
@click.argument("host", required=False)
@click.option("--group", metavar="NAME", help="Project that shall own it [default: you].")
@click.option(
    "--usage-mode",
    type=click.Choice(["general", "data", "model"]),
    default="general",
    show_default=True,
    help="What it is for.",
)
@click.option(
    "--quota",
    metavar="BYTES",
    type=click.IntRange(min=0),
    default=0,
    help="Most bytes that it may hold [default: the server's limit].",
)
@permission_option
@click.option("--cloneable", is_flag=True, help="Others may clone it.")
@as_json_option
def create(
    name: str,
    host: str | None,
    group: str | None,
    usage_mode: str,
    quota: int,
    permission: Literal["ro", "rw", "wd"],
    cloneable: bool,
    as_json: bool,
) -> None:
    """Make the folder NAME.

    HOST is the storage host to make it on, if the server has several.

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
            group=group,
            usage_mode=usage_mode,
            permission=permission,
            cloneable=cloneable,
            max_bytes=quota,
        )
        return await folder.info()

    made = _run(make, quiet=as_json)
    if as_json:
        click.echo(json.dumps(asdict(made)))
    else:
        Status().done(f"Created the virtual folder {made.name} (ID: {made.folder_id}).")


@command.command()
@click.argument("name")
@as_json_option
def info(name: str, as_json: bool) -> None:
    """Show what the server tells of the folder NAME.

    \b
    Examples:
      backend.ai vfolder info data
      backend.ai vfolder info data --json
    """
    found = _run(lambda client: TrioVFolder(client, name).info(), quiet=as_json)
    if as_json:
        click.echo(json.dumps(asdict(found)))
        return
    for title, value in (
        ("Name", found.name),
        ("ID", found.folder_id),
        ("Files", "?" if found.num_files is None else f"{found.num_files:,}"),
        ("Bytes", "?" if found.used_bytes is None else f"{found.used_bytes:,}"),
        ("Quota", f"{found.max_bytes:,} bytes" if found.max_bytes else "none"),
        ("Permission", found.permission),
        ("Owner", found.owner + (" (you)" if found.is_owner else "")),
        ("Created", _moment(found.created_at)),
    ):
        click.echo(f"{title:<11} {_plain(value)}")


@command.command()
@click.argument("name")
def delete(name: str) -> None:
    """Delete the folder NAME with all that is in it.

    \b
    Examples:
      backend.ai vfolder delete data
    """
    _run(lambda client: TrioVFolder(client, name).delete())
    Status().done(f"Deleted the virtual folder {name}.")


@command.command()
@click.argument("name")
@click.argument("new_name")
def rename(name: str, new_name: str) -> None:
    """Give the folder NAME another name.

    \b
    Examples:
      backend.ai vfolder rename data old-data
    """
    _run(lambda client: TrioVFolder(client, name).rename(new_name))
    Status().done(f"Renamed the virtual folder {name} to {new_name}.")


# -- what is in them ------------------------------------------------------------------------------


@command.command()
@click.argument("name")
@click.argument("paths", nargs=-1, required=True, type=click.Path())
@click.option("-r", "--recursive", is_flag=True, help="Take folders, with all that is in them.")
@click.option("--to", default="", metavar="PATH", help="A folder within NAME to put them into.")
@click.option(
    "-b",
    "--base-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Names are relative to this folder [default: the current one].",
)
@quiet_option
def upload(
    name: str, paths: tuple[str, ...], recursive: bool, to: str, base_dir: Path | None, quiet: bool
) -> None:
    """Put files into the folder NAME, in place of those of the same name.

    A file appears when all of it has arrived. After a connection broke, it goes on where it
    stopped. Ctrl-C leaves no half file.

    \b
    Examples:
      backend.ai vfolder upload data train.csv
      backend.ai vfolder upload data images -r --to raw
    """
    uploads = plan_uploads(paths, base=base_dir, recursive=recursive)
    files = [item for item in uploads if not item.is_folder]

    async def send(client: Client) -> None:
        total = sum(item.size for item in files)
        async with shown(total, quiet=quiet) as progress:
            await TrioVFolder(client, name).upload(uploads, to=to, progress=progress)

    _run(send, quiet=quiet)
    Status(quiet=quiet).done(f"Uploaded {_count(len(files), 'file')} to {name}.")


@command.command()
@click.argument("name")
@click.argument("paths", nargs=-1, required=True)
@click.option(
    "-b",
    "--base-dir",
    default=".",
    type=click.Path(file_okay=False, path_type=Path),
    help="Local folder to put them into [default: the current one].",
)
@click.option("-f", "--overwrite", is_flag=True, help="Replace files that are there.")
@quiet_option
def download(
    name: str, paths: tuple[str, ...], base_dir: Path, overwrite: bool, quiet: bool
) -> None:
    """Get files and folders out of the folder NAME.

    The path '.' is all that is in it. A file appears when all of it has come, and none is replaced
    unless --overwrite says so.

    \b
    Examples:
      backend.ai vfolder download data results/run.csv
      backend.ai vfolder download data . -b backup
    """

    async def get(client: Client) -> list[Path]:
        async with shown(None, quiet=quiet) as progress:
            return await TrioVFolder(client, name).download(
                paths, base_dir, overwrite=overwrite, progress=progress
            )

    written = _run(get, quiet=quiet)
    Status(quiet=quiet).done(f"Downloaded {_count(len(written), 'file')} from {name}.")


@command.command()
@click.argument("name")
@click.argument("path", default=".")
@as_json_option
def ls(name: str, path: str, as_json: bool) -> None:
    """List what is in the folder NAME, or in the folder PATH of it.

    \b
    Examples:
      backend.ai vfolder ls data
      backend.ai vfolder ls data raw/images
    """
    found: list[FileInfo] = _run(
        lambda client: TrioVFolder(client, name).list_files(path), quiet=as_json
    )
    if as_json:
        click.echo(json.dumps([asdict(item) for item in found]))
        return
    for item in found:
        when = datetime.fromtimestamp(item.modified).astimezone().strftime("%Y-%m-%d %H:%M")
        slash = "/" if item.is_folder else ""
        click.echo(f"{item.mode} {item.size:>13,} {when} {_plain(item.name)}{slash}")


@command.command()
@click.argument("name")
@click.argument("path")
@click.option("-p", "--parents", is_flag=True, help="Make those above too; one may be there.")
def mkdir(name: str, path: str, parents: bool) -> None:
    """Make the folder PATH in the folder NAME.

    \b
    Examples:
      backend.ai vfolder mkdir data raw
      backend.ai vfolder mkdir data -p raw/images
    """
    _run(lambda client: TrioVFolder(client, name).mkdir(path, parents=parents, exist_ok=parents))


@command.command()
@click.argument("name")
@click.argument("source")
@click.argument("target")
def mv(name: str, source: str, target: str) -> None:
    """Rename or move SOURCE in the folder NAME.

    If TARGET is a folder, SOURCE is moved into it; else TARGET is its new path.

    \b
    Examples:
      backend.ai vfolder mv data train.csv raw/train-1.csv
    """
    _run(lambda client: TrioVFolder(client, name).move(source, target))


@command.command()
@click.argument("name")
@click.argument("paths", nargs=-1, required=True)
@click.option("-r", "--recursive", is_flag=True, help="Remove folders, with all in them.")
def rm(name: str, paths: tuple[str, ...], recursive: bool) -> None:
    """Remove files from the folder NAME: all that are named, or none.

    \b
    Examples:
      backend.ai vfolder rm data train.csv
      backend.ai vfolder rm data -r raw
    """
    _run(lambda client: TrioVFolder(client, name).remove(paths, recursive=recursive))


# -- others ---------------------------------------------------------------------------------------


@command.command()
@click.argument("name")
@click.argument("users", nargs=-1, required=True)
@permission_option
def invite(name: str, users: tuple[str, ...], permission: Literal["ro", "rw", "wd"]) -> None:
    """Offer the folder NAME to others.

    USERS are named by e-mail address, and on a local gateway by access key.

    \b
    Examples:
      backend.ai vfolder invite data -p ro kim@example.com
    """
    reached = _run(lambda client: TrioVFolder(client, name).invite(users, permission=permission))
    _tell_reached("Invited", reached, users)


@command.command()
@click.argument("name")
@click.argument("users", nargs=-1, required=True)
@permission_option
def share(name: str, users: tuple[str, ...], permission: Literal["ro", "rw", "wd"]) -> None:
    """Give the folder NAME to others at once.

    USERS are named as for 'invite'. Managers do that for projects' folders alone.

    \b
    Examples:
      backend.ai vfolder share data -p ro kim@example.com
    """
    reached = _run(lambda client: TrioVFolder(client, name).share(users, permission=permission))
    _tell_reached("Shared with", reached, users)


@command.command()
@click.argument("name")
@click.argument("users", nargs=-1, required=True)
def unshare(name: str, users: tuple[str, ...]) -> None:
    """Take the folder NAME back from others.

    \b
    Examples:
      backend.ai vfolder unshare data kim@example.com
    """
    reached = _run(lambda client: TrioVFolder(client, name).unshare(users))
    _tell_reached("Unshared from", reached, users)


@command.command()
@click.argument("name")
def leave(name: str) -> None:
    """Give up the folder NAME, which somebody has shared with you.

    \b
    Examples:
      backend.ai vfolder leave data
    """
    _run(lambda client: TrioVFolder(client, name).leave())
    Status().done(f"Left the virtual folder {name}.")


@command.command()
@as_json_option
def invitations(as_json: bool) -> None:
    """List the folders that others offer you.

    \b
    Examples:
      backend.ai vfolder invitations
    """
    show_rows(
        [asdict(item) for item in _run(list_invitations, quiet=as_json)],
        {
            "invitation_id": "ID",
            "folder_name": "Folder",
            "inviter": "From",
            "permission": "Permission",
        },
        as_json=as_json,
        empty="There are no invitations.",
    )


@command.command()
@click.argument("invitation_id", metavar="ID")
def accept(invitation_id: str) -> None:
    """Take the folder that the invitation ID offers.

    'backend.ai vfolder invitations' lists them.

    \b
    Examples:
      backend.ai vfolder accept 5d40c8a15f4e4a388f0c1f6ad3b5a4de
    """
    _run(lambda client: accept_invitation(client, invitation_id))


@command.command()
@click.argument("invitation_id", metavar="ID")
def decline(invitation_id: str) -> None:
    """Turn the invitation ID down, or take an own one back.

    \b
    Examples:
      backend.ai vfolder decline 5d40c8a15f4e4a388f0c1f6ad3b5a4de
    """
    _run(lambda client: decline_invitation(client, invitation_id))


# -------------------------------------------------------------------------------------------------


def _run(work: Callable[[Client], Awaitable[T]], *, quiet: bool = False) -> T:
    """Do something with the server's folders, or this machine's."""
    local = bool(click.get_current_context().obj)
    with open_target(Status(quiet=quiet), local=local, lasting=True) as config:
        return ask(config, work)


def _tell_reached(done: str, reached: Sequence[str], wanted: Sequence[str]) -> None:
    if not reached:
        raise click.ClickException(f"the server knows none of {', '.join(wanted)}, or all were")
    Status().done(f"{done} {', '.join(map(_plain, reached))}.")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _moment(text: str) -> str:
    return text[:19].replace("T", " ")


def _plain(text: str) -> str:
    """What a server sends must not reach the terminal as a control sequence."""
    return "".join(c if c.isprintable() else "?" for c in text)
