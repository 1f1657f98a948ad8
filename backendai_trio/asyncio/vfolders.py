"""Virtual folders, for asyncio."""

from __future__ import annotations

from ..faces import transfers
from ..faces.base import VFolderFace
from ..vfolders import sharing
from ..vfolders.hosts import list_folder_types, list_hosts
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
    list_hosts = of_class(list_hosts)
    list_folder_types = of_class(list_folder_types)
    list_invitations = of_class(sharing.list_invitations)
    accept_invitation = of_class(sharing.accept_invitation)
    decline_invitation = of_class(sharing.decline_invitation)

    info = awaited(TrioVFolder.info)
    rename = awaited(TrioVFolder.rename)
    update_options = awaited(TrioVFolder.update_options)
    clone = awaited(TrioVFolder.clone)
    delete = awaited(TrioVFolder.delete)
    restore = awaited(TrioVFolder.restore)
    purge = awaited(TrioVFolder.purge)
    upload = awaited(transfers.upload_to_folder)
    download = awaited(transfers.download_from_folder)
    download_archive = awaited(transfers.download_archive)
    list_files = awaited(TrioVFolder.list_files)
    mkdir = awaited(TrioVFolder.mkdir)
    move = awaited(TrioVFolder.move)
    rename_file = awaited(TrioVFolder.rename_file)
    remove = awaited(TrioVFolder.remove)
    invite = awaited(TrioVFolder.invite)
    share = awaited(TrioVFolder.share)
    unshare = awaited(TrioVFolder.unshare)
    leave = awaited(TrioVFolder.leave)
