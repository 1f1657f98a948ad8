"""A kernel's folder, processes and files, from its start to its end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import mkdtemp

import trio

from ..._groups import one_error
from ...errors import GatewayError
from ...wire.dotfiles import Dotfile
from ..faults import Faults
from ..kernel_limits import KernelLimits
from ..limits import GatewayLimits
from ..processes.isolation import Isolation
from ..processes.process_host import open_host
from ..shares import Share
from ..storage.vfolders import VFolders
from .dotfiles import write_dotfiles
from .requests import RequestedKernel
from .session import Session

__all__ = ["SessionOpener"]


@dataclass(frozen=True)
class SessionOpener:
    """What kernels are started with.

    Attributes:
        folder: each kernel has a folder in it.
        folders: the virtual folders.
        faults: what goes wrong on purpose.
        kernel_limits: what the programs of each may use.
    """

    folder: Path
    folders: VFolders
    isolation: Isolation
    limits: GatewayLimits
    faults: Faults
    kernel_limits: KernelLimits

    @asynccontextmanager
    async def open(
        self, requested: RequestedKernel, dotfiles: Sequence[Dotfile]
    ) -> AsyncIterator[Session]:
        """Start a kernel; it ends with the block, processes and files.

        Args:
            requested: the kernel.
            dotfiles: files that it gets.

        Raises:
            GatewayError: it cannot be started.
            OSError: its files cannot be made.
        """
        if self.faults.start_failure:
            raise GatewayError(self.faults.start_failure)
        root = Path(await trio.to_thread.run_sync(partial(mkdtemp, dir=self.folder)))
        mounts = requested.mount_points
        shares = [Share(self.folders.files_of(item.folder), item.writable) for item in mounts]
        resources = requested.create.spec.resources
        kernel_limits = self.kernel_limits.with_resources(resources)
        folders = [item.folder for item in mounts]
        # Until its processes have ended, no gateway removes the folders.
        with self.folders.mounting(folders), one_error():
            async with (
                open_host(root, self.isolation, shares, self.limits, kernel_limits) as host,
                trio.open_nursery() as nursery,
            ):
                session = Session(requested, host, nursery, self.limits)
                session.faults = self.faults
                write_dotfiles(host.work, dotfiles, [item.path for item in mounts])
                for item in mounts:
                    # Links: at the kernel's end they are removed, and not what they lead to.
                    place = host.work / item.path
                    place.parent.mkdir(parents=True, exist_ok=True)
                    place.symlink_to(self.folders.files_of(item.folder))
                yield session
                nursery.cancel_scope.cancel()
