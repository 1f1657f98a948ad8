"""Kernels and the admin API, for asyncio."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from ..admin import (
    administration,
    announcements,
    dotfiles,
    images,
    lists,
    resource_groups,
    resources,
    ssh_keypair,
)
from ..faces import batch, compat, rescans, transfers
from ..faces.base import KernelFace
from ..kernels import templates
from ..kernels.app_list import list_apps
from ..kernels.apps import open_app
from ..kernels.enqueueing import enqueue_kernel
from ..kernels.kernel import TrioKernel
from ..kernels.opening import find_kernel
from ..kernels.services import shutdown_service, start_service
from ..kernels.ssh import ssh_login
from ._waiting import awaited, making, of_class
from .streams import ForwardedApp, StreamExecute, StreamPty, opening

__all__ = ["AsyncAdmin", "AsyncKernel"]


class AsyncKernel(KernelFace):
    """A kernel.

    As a context manager, it is destroyed at the end of the block if `get_or_create` created it; a
    kernel that was only joined stays, and `destroy` ends that one, too.
    """

    get_or_create = making(compat.get_or_create, undo=compat.discard)
    find = making(find_kernel)
    enqueue = making(enqueue_kernel, undo=compat.discard)
    run_batch = of_class(batch.run_batch)

    execute = awaited(compat.execute)
    run = awaited(TrioKernel.run)
    stream_execute = opening(compat.stream_execute, StreamExecute)
    stream_pty = opening(compat.stream_pty, StreamPty)
    complete = awaited(compat.complete)
    get_info = awaited(compat.get_info)
    upload = awaited(transfers.upload)
    download = awaited(transfers.download)
    download_as = awaited(transfers.download_as)
    list_files = awaited(TrioKernel.list_files)
    list_digests = awaited(TrioKernel.list_digests)
    mkdir = awaited(TrioKernel.mkdir)
    remove = awaited(TrioKernel.remove)
    interrupt = awaited(TrioKernel.interrupt)
    restart = awaited(TrioKernel.restart)
    rename = awaited(TrioKernel.rename)
    info = awaited(TrioKernel.info)
    logs = awaited(TrioKernel.logs)
    list_apps = awaited(list_apps)
    open_app = opening(open_app, ForwardedApp)
    start_service = awaited(start_service)
    shutdown_service = awaited(shutdown_service)
    ssh_login = awaited(ssh_login)
    destroy = awaited(TrioKernel.destroy)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: object, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.created:
            await self.destroy()  # noqa: ASYNC102 (is not cut short by a cancellation)


class AsyncAdmin:
    """The admin API. An ordinary key pair sees what is its own, and changes nothing."""

    query = of_class(lists.query)
    list_kernels = of_class(lists.list_kernels)
    list_rows = of_class(lists.list_rows)
    check_resources = of_class(resources.check_resources)
    list_resource_groups = of_class(resources.list_resource_groups)
    key_pair_limits = of_class(resources.key_pair_limits)
    list_dotfiles = of_class(dotfiles.list_dotfiles)
    get_dotfile = of_class(dotfiles.get_dotfile)
    put_dotfile = of_class(dotfiles.put_dotfile)
    delete_dotfile = of_class(dotfiles.delete_dotfile)
    list_templates = of_class(templates.list_templates)
    get_template = of_class(templates.get_template)
    create_template = of_class(templates.create_template)
    replace_template = of_class(templates.replace_template)
    delete_template = of_class(templates.delete_template)
    get_ssh_public_key = of_class(ssh_keypair.get_ssh_public_key)
    generate_ssh_keypair = of_class(ssh_keypair.generate_ssh_keypair)
    upload_ssh_keypair = of_class(ssh_keypair.upload_ssh_keypair)
    get_announcement = of_class(announcements.get_announcement)
    announce = of_class(announcements.announce)
    get_row = of_class(administration.get_row)
    create_row = of_class(administration.create_row)
    update_row = of_class(administration.update_row)
    delete_row = of_class(administration.delete_row)
    purge_row = of_class(administration.purge_row)
    preview_change = of_class(administration.preview_change)
    change_members = of_class(administration.change_members)
    allow_resource_group = of_class(resource_groups.allow_resource_group)
    forbid_resource_group = of_class(resource_groups.forbid_resource_group)
    rescan_images = of_class(rescans.rescan_images)
    alias_image = of_class(images.alias_image)
    dealias_image = of_class(images.dealias_image)
    forget_image = of_class(images.forget_image)
