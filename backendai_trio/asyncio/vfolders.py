"""Virtual folders, for asyncio."""

from __future__ import annotations

import builtins
import os
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Self

from ..config.settings import Config
from ..faces.base import VFolderFace
from ..faces.calls import client_job
from ..files.sources import Links, Upload
from ..vfolders import vfolder
from ..vfolders.vfolder import TrioVFolder
from ..wire.vfolders import Invitation, Permission, VFolderInfo
from ._waiting import awaited, wait

__all__ = ["AsyncVFolder"]


class AsyncVFolder(VFolderFace):
    """A virtual folder: files that outlive kernels, and that kernels mount by name."""

    @classmethod
    async def create(
        cls,
        name: str,
        *,
        host: str | None = None,
        group: str | None = None,
        usage_mode: str = "general",
        permission: Permission = "rw",
        cloneable: bool = False,
        max_bytes: int = 0,
        config: Config | None = None,
    ) -> Self:
        """See `create_vfolder`."""
        make = partial(
            vfolder.create_vfolder,
            name=name,
            host=host,
            group=group,
            usage_mode=usage_mode,
            permission=permission,
            cloneable=cloneable,
            max_bytes=max_bytes,
        )
        return cls(await wait(client_job(config, make)))

    @classmethod
    async def find(cls, name: str, *, config: Config | None = None) -> Self:
        """See `find_vfolder`."""
        return cls(await wait(client_job(config, partial(vfolder.find_vfolder, name=name))))

    @classmethod
    async def get(cls, name: str, *, config: Config | None = None) -> Self:
        """What client 1.1.1 calls `find`."""
        return await cls.find(name, config=config)

    @classmethod
    async def list(cls, *, config: Config | None = None) -> builtins.list[VFolderInfo]:
        """See `list_vfolders`."""
        return await wait(client_job(config, vfolder.list_vfolders))

    @classmethod
    async def list_invitations(cls, *, config: Config | None = None) -> builtins.list[Invitation]:
        """See `backendai_trio.list_invitations`."""
        return await wait(client_job(config, vfolder.list_invitations))

    @classmethod
    async def accept_invitation(cls, invitation_id: str, *, config: Config | None = None) -> None:
        """See `backendai_trio.accept_invitation`."""
        work = partial(vfolder.accept_invitation, invitation_id=invitation_id)
        await wait(client_job(config, work))

    @classmethod
    async def decline_invitation(cls, invitation_id: str, *, config: Config | None = None) -> None:
        """See `backendai_trio.decline_invitation`."""
        work = partial(vfolder.decline_invitation, invitation_id=invitation_id)
        await wait(client_job(config, work))

    info = awaited(TrioVFolder.info)
    rename = awaited(TrioVFolder.rename)
    delete = awaited(TrioVFolder.delete)
    restore = awaited(TrioVFolder.restore)
    purge = awaited(TrioVFolder.purge)

    async def upload(
        self,
        files: Iterable[str | os.PathLike[str] | Upload],
        *,
        to: str = "",
        base: Path | None = None,
        links: Links = "follow",
    ) -> None:
        """See `TrioVFolder.upload`."""
        await wait(self._job(partial(self._engine.upload, files, to=to, base=base, links=links)))

    async def download(
        self,
        paths: Sequence[str],
        into: str | os.PathLike[str] = ".",
        *,
        overwrite: bool = False,
    ) -> builtins.list[Path]:
        """See `TrioVFolder.download`."""
        get = partial(self._engine.download, paths, into, overwrite=overwrite)
        return await wait(self._job(get))

    list_files = awaited(TrioVFolder.list_files)
    mkdir = awaited(TrioVFolder.mkdir)
    move = awaited(TrioVFolder.move)
    remove = awaited(TrioVFolder.remove)
    invite = awaited(TrioVFolder.invite)
    share = awaited(TrioVFolder.share)
    unshare = awaited(TrioVFolder.unshare)
    leave = awaited(TrioVFolder.leave)
