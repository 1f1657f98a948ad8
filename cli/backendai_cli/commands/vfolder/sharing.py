"""`backend.ai vfolder`: sharing folders with other users."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Literal

import click

from backendai_trio import TrioVFolder
from backendai_trio.vfolders import (
    Invitation,
    accept_invitation,
    decline_invitation,
    list_invitations,
)

from ...console import Status, printable
from ...list_options import Columns, column_options
from ...parameters import NAME
from .requests import call_vfolders, folder_argument, permission_option

__all__ = ["COMMANDS"]

_users_argument = click.argument("users", nargs=-1, required=True, type=NAME)
_invitation_argument = click.argument("invitation_id", metavar="ID", type=NAME)


@click.command()
@folder_argument
@_users_argument
@permission_option
def invite(name: str, users: tuple[str, ...], permission: Literal["ro", "rw", "wd"]) -> None:
    """Invite USERS to the folder NAME.

    Users are named by e-mail address, and on a local gateway by access key.

    \b
    Examples:
      backend.ai vfolder invite data -p ro kim@example.com
    """
    invited = call_vfolders(
        lambda client: TrioVFolder(client, name).invite(users, permission=permission)
    )
    _report("Invited", invited, users)


@click.command()
@folder_argument
@_users_argument
@permission_option
def share(name: str, users: tuple[str, ...], permission: Literal["ro", "rw", "wd"]) -> None:
    """Share the folder NAME with USERS, without an invitation.

    Users are named as for 'invite'. Managers share only folders of projects in this way.

    \b
    Examples:
      backend.ai vfolder share data -p ro kim@example.com
    """
    shared = call_vfolders(
        lambda client: TrioVFolder(client, name).share(users, permission=permission)
    )
    _report("Shared with", shared, users)


@click.command()
@folder_argument
@_users_argument
def unshare(name: str, users: tuple[str, ...]) -> None:
    """Stop sharing the folder NAME with USERS.

    \b
    Examples:
      backend.ai vfolder unshare data kim@example.com
    """
    unshared = call_vfolders(lambda client: TrioVFolder(client, name).unshare(users))
    _report("Unshared from", unshared, users)


@click.command()
@folder_argument
def leave(name: str) -> None:
    """Leave the folder NAME that another user shares with you.

    \b
    Examples:
      backend.ai vfolder leave data
    """
    call_vfolders(lambda client: TrioVFolder(client, name).leave())
    Status().done(f"Left the virtual folder {name}.")


@click.command()
@column_options
def invitations(columns: Columns) -> None:
    """List the invitations that you received.

    \b
    Examples:
      backend.ai vfolder invitations
    """
    columns.check([item.name for item in fields(Invitation)])
    columns.show(
        [asdict(item) for item in call_vfolders(list_invitations, quiet=columns.as_json)],
        {
            "invitation_id": "ID",
            "folder_name": "Folder",
            "inviter": "From",
            "permission": "Permission",
        },
        empty="There are no invitations.",
    )


@click.command()
@_invitation_argument
def accept(invitation_id: str) -> None:
    """Accept the invitation ID ('backend.ai vfolder invitations').

    \b
    Examples:
      backend.ai vfolder accept 5d40c8a15f4e4a388f0c1f6ad3b5a4de
    """
    call_vfolders(lambda client: accept_invitation(client, invitation_id))


@click.command()
@_invitation_argument
def decline(invitation_id: str) -> None:
    """Decline the invitation ID, or cancel one that you sent.

    \b
    Examples:
      backend.ai vfolder decline 5d40c8a15f4e4a388f0c1f6ad3b5a4de
    """
    call_vfolders(lambda client: decline_invitation(client, invitation_id))


def _report(action: str, reached: Sequence[str], requested: Sequence[str]) -> None:
    if not reached:
        raise click.ClickException(
            f"nothing was changed: the server does not know {', '.join(requested)}, or had "
            "nothing to change"
        )
    Status().done(f"{action} {', '.join(map(printable, reached))}.")


COMMANDS = (invite, share, unshare, leave, invitations, accept, decline)
