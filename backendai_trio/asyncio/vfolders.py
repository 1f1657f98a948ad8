"""Virtual folders, for asyncio."""

from __future__ import annotations

from ..faces import transfers
from ..faces.base import VFolderFace
from ..vfolders import sharing
from ..vfolders.listing import list_vfolders
from ..vfolders.vfolder import TrioVFolder, create_vfolder, find_vfolder
from ._waiting import awaited, making, of_class

__all__ = ["AsyncVFolder"]


class AsyncVFolder(VFolderFace):
    """A virtual folder: files that outlive kernels, and that kernels mount by name."""

    create = making(create_vfolder)
    find = making(find_vfolder)
    get = find  # its name in client 1.1.1
    list = of_class(list_vfolders)
    list_invitations = of_class(sharing.list_invitations)
    accept_invitation = of_class(sharing.accept_invitation)
    decline_invitation = of_class(sharing.decline_invitation)

    info = awaited(TrioVFolder.info)
    rename = awaited(TrioVFolder.rename)
    delete = awaited(TrioVFolder.delete)
    restore = awaited(TrioVFolder.restore)
    purge = awaited(TrioVFolder.purge)
    upload = awaited(transfers.upload_to_folder)
    download = awaited(transfers.download_from_folder)
    list_files = awaited(TrioVFolder.list_files)
    mkdir = awaited(TrioVFolder.mkdir)
    move = awaited(TrioVFolder.move)
    remove = awaited(TrioVFolder.remove)
    invite = awaited(TrioVFolder.invite)
    share = awaited(TrioVFolder.share)
    unshare = awaited(TrioVFolder.unshare)
    leave = awaited(TrioVFolder.leave)
