"""Virtual folders of other users: shares and invitations."""

from __future__ import annotations

from collections.abc import Callable

from ...wire.vfolder_sharing import Invitation, Invite
from ..refusals import Refused
from .folder_refusals import name_is_taken
from .index import Folder, FolderIndex

__all__ = ["accept_invitation", "find_invitation", "share_folder"]


def share_folder(
    index: FolderIndex,
    folder: Folder,
    request: Invite,
    *,
    at_once: bool,
    known: Callable[[str], bool],
) -> list[str]:
    """Share a folder with users, or invite them.

    Users are named by access key, in upper or lower case. Unknown users are ignored, as
    managers do.

    Args:
        index: the folders of all users.
        folder: the folder.
        request: the users, and their permission.
        at_once: share it without an invitation.
        known: whether there is a user with an access key.

    Returns:
        The users that were invited, or now have the folder.
    """
    users = []
    for text in dict.fromkeys(request.users):
        user = text.strip().upper()
        if user == folder.owner or not known(user):
            continue
        if at_once:
            index.share(folder.folder_id, user, request.permission)
        elif not index.invite(folder, user, request.permission):
            continue
        users.append(user)
    return users


def find_invitation(
    index: FolderIndex, user: str, invitation_id: str, *, sent: bool = False
) -> Invitation:
    """An invitation that a user has received (with `sent`: or sent).

    Raises:
        Refused: there is none.
    """
    found = index.invitations(invitee=user, inviter=user if sent else None)
    for item in found:
        if item.invitation_id == invitation_id:
            return item
    raise Refused(404, "generic-not-found", "No such invitation", repr(invitation_id))


def accept_invitation(index: FolderIndex, user: str, invitation_id: str) -> Invitation:
    """Accept an invitation.

    Raises:
        Refused: there is none, or the user has a folder of that name.
    """
    found = find_invitation(index, user, invitation_id)
    if any(folder.name == found.folder_name for folder in index.of_user(user)):
        raise name_is_taken(found.folder_name)
    index.share(found.folder_id, user, found.permission)
    return found
