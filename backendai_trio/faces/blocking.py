"""Backend.AI for scripts: the same methods as in Trio, and each waits until it is done::

    kern = Kernel.get_or_create("lua5", client_token="abc")
    result = kern.execute('print("hello world")', mode="query")
    print(result["console"])
    kern.destroy()

They work in any thread, also in one that runs an event loop (a cell of a Jupyter notebook, say).
Ctrl-C in a call cancels it: code that runs is interrupted in its kernel, and KeyboardInterrupt is
raised when it has stopped. Context variables of the caller are visible in the call.

The server is that of the environment (`read_config`) unless a `config` is given. With none set, a
gateway is started in this process; its kernels and virtual folders end with it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar, cast

import trio

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
from ..config.settings import Config
from ..errors import BackendError
from ..kernels import templates
from ..kernels.app_list import list_apps
from ..kernels.apps import open_app
from ..kernels.enqueueing import enqueue_kernel
from ..kernels.execution import Execution
from ..kernels.kernel import TrioKernel
from ..kernels.opening import find_kernel
from ..kernels.services import shutdown_service, start_service
from ..kernels.ssh import ssh_login
from ..kernels.terminal import Terminal
from ..transport.client import Client
from ..vfolders import sharing
from ..vfolders.hosts import list_folder_types, list_hosts
from ..vfolders.listing import list_vfolders
from ..vfolders.vfolder import TrioVFolder, create_vfolder, find_vfolder
from ..wire.run_events import Event
from . import batch, compat, rescans, transfers
from .base import AppFace, ExecutionFace, Face, KernelFace, TerminalFace, VFolderFace
from .binding import ClassCall, Maker, adopt_function, adopt_method
from .calls import client_call
from .resources import Resource
from .waiting import wait

__all__ = ["Admin", "ForwardedApp", "Kernel", "StreamExecute", "StreamPty", "VFolder"]

E = TypeVar("E")
R = TypeVar("R")
S = TypeVar("S")
T = TypeVar("T")
P = ParamSpec("P")


def _blocking(
    function: Callable[Concatenate[E, P], Awaitable[T]],
) -> Callable[Concatenate[Face[E], P], T]:
    """A function of the engine, as a method of its face: waits until it is done."""

    def call(face: Face[E], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return wait(face._call(partial(function, face._engine, *args, **kwargs)))

    adopt_method(call, function)
    return call


def _opening(
    function: Callable[Concatenate[TrioKernel, P], AbstractAsyncContextManager[R]],
    stream: Callable[[Resource[R]], S],
) -> Callable[Concatenate[KernelFace, P], S]:
    """A function that opens something in a kernel, as a method: waits until it is open."""

    def call(face: KernelFace, /, *args: P.args, **kwargs: P.kwargs) -> S:
        return stream(wait(face._open(partial(function, face._engine, *args, **kwargs))))

    adopt_method(call, function, returns=stream)
    return call


def _of_class(function: Callable[Concatenate[Client, P], Awaitable[T]]) -> ClassCall[P, T]:
    """A function that takes a client, as a class method: waits until it is done."""

    def call(_: type, /, *args: Any, config: Config | None = None, **kwargs: Any) -> T:
        return wait(client_call(config, lambda client: function(client, *args, **kwargs)))

    adopt_function(call, function)
    return cast(ClassCall[P, T], classmethod(call))


def _making(
    function: Callable[Concatenate[Client, P], Awaitable[E]],
    undo: Callable[[E], Awaitable[object]] | None = None,
) -> Maker[P]:
    """A function that makes or finds an engine, as a class method that returns its face."""

    def call(
        face: Callable[[E], Face[E]],
        /,
        *args: Any,
        config: Config | None = None,
        **kwargs: Any,
    ) -> Face[E]:
        engine = client_call(config, lambda client: function(client, *args, **kwargs), undo=undo)
        return face(wait(engine))

    adopt_function(call, function, returns=Self)
    return cast(Maker[P], classmethod(call))


class _Block(ABC):
    """An iterator that is closed at the end of a ``with`` block."""

    @abstractmethod
    def close(self) -> None: ...

    def __iter__(self) -> Self:
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: object, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class StreamPty(_Block, TerminalFace):
    """A kernel's terminal: iterate over its output, type into it.

    Any threads may iterate over it, each piece of output goes to one of them. One thread sends at a
    time. Close it, or use it in a ``with`` block.
    """

    def __next__(self) -> bytes:
        _, data = wait(self._next())
        if not data:
            raise StopIteration
        return data

    def send_str(self, raw_str: str) -> None:
        """Type a text; waits while the program is far behind.

        Args:
            raw_str: the text, which is sent as UTF-8.

        Raises:
            ClosedResourceError: the terminal was closed.
            BrokenResourceError: the connection is gone for good; its cause says why.
        """
        self.send_bytes(raw_str.encode())

    send_bytes = _blocking(Terminal.send_all)
    write = send_all = send_bytes
    send_eof = _blocking(Terminal.send_eof)

    def resize(self, rows: int, cols: int) -> None:
        """Set the window's size. The same size again makes programs paint anew.

        Args:
            rows: height in characters.
            cols: width in characters.

        Raises:
            LocalProtocolError: one of them is not between 1 and 10,000.
            ClosedResourceError: the terminal was closed.
            BrokenResourceError: the connection is gone for good; its cause says why.
        """
        wait(self._call(partial(self._engine.resize, rows, cols)))

    interrupt = _blocking(Terminal.interrupt)
    restart = _blocking(Terminal.restart)

    def close(self) -> None:
        """Detach; what runs in the terminal goes on. May be repeated."""
        wait(self._close())


class StreamExecute(_Block, ExecutionFace):
    """A run in progress: iterate over its events, type into it.

    Any threads may iterate over it, each event goes to one of them. Close it, or use it in a
    ``with`` block.
    """

    def __next__(self) -> Event:
        try:
            _, event = wait(self._next())
        except StopAsyncIteration:
            raise StopIteration from None
        return event

    send_input = _blocking(Execution.send_input)
    send_stdin = _blocking(Execution.send_stdin)
    close_stdin = _blocking(Execution.close_stdin)
    resize = _blocking(Execution.resize)
    interrupt = _blocking(Execution.interrupt)

    def close(self) -> None:
        """Stop the run if it goes on, and wait until it has ended. May be repeated."""
        wait(self._close())


class ForwardedApp(_Block, AppFace):
    """A local TCP port that leads to a service in a kernel.

    Iterate over it for the errors of connections that fail, as they happen, until it is closed.
    Close it, or use it in a ``with`` block.
    """

    def __next__(self) -> BackendError:
        try:
            _, problem = wait(self._next())
        except trio.ClosedResourceError:
            raise StopIteration from None
        return problem

    def close(self) -> None:
        """Close the port and all its connections. May be repeated."""
        wait(self._close())


class Kernel(KernelFace):
    """A kernel.

    As a context manager, it is destroyed at the end of the block if `get_or_create` created it; a
    kernel that was only joined stays, and `destroy` ends that one, too.
    """

    get_or_create = _making(compat.get_or_create, undo=compat.discard)
    find = _making(find_kernel)
    enqueue = _making(enqueue_kernel, undo=compat.discard)
    run_batch = _of_class(batch.run_batch)

    execute = _blocking(compat.execute)
    run = _blocking(TrioKernel.run)
    stream_execute = _opening(compat.stream_execute, StreamExecute)
    stream_pty = _opening(compat.stream_pty, StreamPty)
    complete = _blocking(compat.complete)
    get_info = _blocking(compat.get_info)
    upload = _blocking(transfers.upload)
    download = _blocking(transfers.download)
    download_as = _blocking(transfers.download_as)
    list_files = _blocking(TrioKernel.list_files)
    list_digests = _blocking(TrioKernel.list_digests)
    mkdir = _blocking(TrioKernel.mkdir)
    remove = _blocking(TrioKernel.remove)
    interrupt = _blocking(TrioKernel.interrupt)
    restart = _blocking(TrioKernel.restart)
    rename = _blocking(TrioKernel.rename)
    info = _blocking(TrioKernel.info)
    logs = _blocking(TrioKernel.logs)
    list_apps = _blocking(list_apps)
    open_app = _opening(open_app, ForwardedApp)
    start_service = _blocking(start_service)
    shutdown_service = _blocking(shutdown_service)
    ssh_login = _blocking(ssh_login)
    destroy = _blocking(TrioKernel.destroy)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: object, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.created:
            self.destroy()


class VFolder(VFolderFace):
    """A virtual folder: files that outlive kernels, and that kernels mount by name."""

    create = _making(create_vfolder)
    find = _making(find_vfolder)
    get = find  # its name in client 1.1.1
    list = _of_class(list_vfolders)
    list_hosts = _of_class(list_hosts)
    list_folder_types = _of_class(list_folder_types)
    list_invitations = _of_class(sharing.list_invitations)
    accept_invitation = _of_class(sharing.accept_invitation)
    decline_invitation = _of_class(sharing.decline_invitation)

    info = _blocking(TrioVFolder.info)
    rename = _blocking(TrioVFolder.rename)
    update_options = _blocking(TrioVFolder.update_options)
    clone = _blocking(TrioVFolder.clone)
    delete = _blocking(TrioVFolder.delete)
    restore = _blocking(TrioVFolder.restore)
    purge = _blocking(TrioVFolder.purge)
    upload = _blocking(transfers.upload_to_folder)
    download = _blocking(transfers.download_from_folder)
    download_archive = _blocking(transfers.download_archive)
    list_files = _blocking(TrioVFolder.list_files)
    mkdir = _blocking(TrioVFolder.mkdir)
    move = _blocking(TrioVFolder.move)
    rename_file = _blocking(TrioVFolder.rename_file)
    remove = _blocking(TrioVFolder.remove)
    invite = _blocking(TrioVFolder.invite)
    share = _blocking(TrioVFolder.share)
    unshare = _blocking(TrioVFolder.unshare)
    leave = _blocking(TrioVFolder.leave)


class Admin:
    """The admin API. An ordinary key pair sees what is its own, and changes nothing."""

    query = _of_class(lists.query)
    list_kernels = _of_class(lists.list_kernels)
    list_rows = _of_class(lists.list_rows)
    check_resources = _of_class(resources.check_resources)
    list_resource_groups = _of_class(resources.list_resource_groups)
    key_pair_limits = _of_class(resources.key_pair_limits)
    list_dotfiles = _of_class(dotfiles.list_dotfiles)
    get_dotfile = _of_class(dotfiles.get_dotfile)
    put_dotfile = _of_class(dotfiles.put_dotfile)
    delete_dotfile = _of_class(dotfiles.delete_dotfile)
    list_templates = _of_class(templates.list_templates)
    get_template = _of_class(templates.get_template)
    create_template = _of_class(templates.create_template)
    replace_template = _of_class(templates.replace_template)
    delete_template = _of_class(templates.delete_template)
    get_ssh_public_key = _of_class(ssh_keypair.get_ssh_public_key)
    generate_ssh_keypair = _of_class(ssh_keypair.generate_ssh_keypair)
    upload_ssh_keypair = _of_class(ssh_keypair.upload_ssh_keypair)
    get_announcement = _of_class(announcements.get_announcement)
    announce = _of_class(announcements.announce)
    get_row = _of_class(administration.get_row)
    create_row = _of_class(administration.create_row)
    update_row = _of_class(administration.update_row)
    delete_row = _of_class(administration.delete_row)
    purge_row = _of_class(administration.purge_row)
    preview_change = _of_class(administration.preview_change)
    change_members = _of_class(administration.change_members)
    allow_resource_group = _of_class(resource_groups.allow_resource_group)
    forbid_resource_group = _of_class(resource_groups.forbid_resource_group)
    rescan_images = _of_class(rescans.rescan_images)
    alias_image = _of_class(images.alias_image)
    dealias_image = _of_class(images.dealias_image)
    forget_image = _of_class(images.forget_image)
