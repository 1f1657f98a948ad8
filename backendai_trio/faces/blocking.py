"""Backend.AI for scripts: the same methods as in Trio, and each waits until it is done::

    kern = Kernel.get_or_create("lua5", client_token="abc")
    result = kern.execute('print("hello world")', mode="query")
    print(result["console"])
    kern.destroy()

They work in any thread, also in one that runs an event loop (a cell of a Jupyter notebook, say).
Ctrl-C in a call cancels it: code that runs is interrupted in its kernel, and KeyboardInterrupt is
raised when it has stopped. What the methods do is told at `PlainKernel` and `TrioVFolder`.

The server is that of the environment (`read_config`) unless a `config` is given. With none set, a
gateway is started in this process; its kernels and virtual folders end with it.
"""

from __future__ import annotations

import builtins
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial, wraps
from pathlib import Path
from types import TracebackType
from typing import Any, Concatenate, Literal, ParamSpec, Self, TypeVar

from ..admin import lists as admin
from ..config.settings import Config
from ..files.sources import Links, Upload
from ..kernels.execution import Execution
from ..kernels.terminal import Terminal
from ..vfolders import vfolder
from ..vfolders.vfolder import TrioVFolder
from ..wire.admin_lists import Kind, SessionRow
from ..wire.execution import Event
from ..wire.vfolders import Invitation, Permission, VFolderInfo
from .base import ExecutionFace, Face, KernelFace, TerminalFace, VFolderFace
from .calls import Job, client_job, hold, wait
from .kernel_calls import PlainKernel

__all__ = ["Admin", "Kernel", "StreamExecute", "StreamPty", "VFolder"]

E = TypeVar("E")
T = TypeVar("T")
P = ParamSpec("P")


def _blocking(
    method: Callable[Concatenate[E, P], Awaitable[T]],
) -> Callable[Concatenate[Face[E], P], T]:
    """The engine's method, for a face of it: waits until it is done."""

    @wraps(method)
    def call(face: Face[E], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return wait(face._job(partial(method, face._engine, *args, **kwargs)))

    return call


class Kernel(KernelFace):
    """A kernel. As a context manager, it is destroyed at the end of the block."""

    @classmethod
    def get_or_create(
        cls,
        lang: str,
        client_token: str | None = None,
        mounts: Iterable[str] | None = None,
        envs: Mapping[str, str] | None = None,
        *,
        resources: Mapping[str, str] | None = None,
        config: Config | None = None,
    ) -> Self:
        """See `PlainKernel.get_or_create`."""
        make = partial(
            PlainKernel.get_or_create,
            lang=lang,
            client_token=client_token,
            mounts=mounts,
            envs=envs,
            resources=resources,
        )
        return cls(wait(client_job(config, make, undo=PlainKernel.discard)))

    @classmethod
    def find(cls, token: str, *, config: Config | None = None) -> Self:
        """See `PlainKernel.find`."""
        return cls(wait(client_job(config, partial(PlainKernel.find, token=token))))

    execute = _blocking(PlainKernel.execute)

    def stream_execute(
        self,
        code: str = "",
        *,
        mode: Literal["query", "batch"] = "query",
        opts: Mapping[str, Any] | None = None,
        run_id: str | None = None,
        window: tuple[int, int] | None = None,
    ) -> StreamExecute:
        """Start a run whose events come as they happen; close it, or use it in a ``with`` block."""
        run = partial(
            self._engine.stream_execute, code, mode=mode, opts=opts, run_id=run_id, window=window
        )
        return StreamExecute(wait(hold(run)))

    def stream_pty(self) -> StreamPty:
        """Attach to the terminal; close it, or use it in a ``with`` block."""
        return StreamPty(wait(hold(self._engine.stream_pty)))

    upload = _blocking(PlainKernel.upload)
    download = _blocking(PlainKernel.download)
    list_files = _blocking(PlainKernel.list_files)
    mkdir = _blocking(PlainKernel.mkdir)
    remove = _blocking(PlainKernel.remove)
    interrupt = _blocking(PlainKernel.interrupt)
    restart = _blocking(PlainKernel.restart)
    complete = _blocking(PlainKernel.complete)
    info = _blocking(PlainKernel.info)
    get_info = _blocking(PlainKernel.get_info)
    logs = _blocking(PlainKernel.logs)
    destroy = _blocking(PlainKernel.destroy)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: object, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.destroy()


class VFolder(VFolderFace):
    """A virtual folder: files that outlive kernels, and that kernels mount by name."""

    @classmethod
    def create(
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
        return cls(wait(client_job(config, make)))

    @classmethod
    def find(cls, name: str, *, config: Config | None = None) -> Self:
        """See `find_vfolder`."""
        return cls(wait(client_job(config, partial(vfolder.find_vfolder, name=name))))

    @classmethod
    def get(cls, name: str, *, config: Config | None = None) -> Self:
        """What client 1.1.1 calls `find`."""
        return cls.find(name, config=config)

    @classmethod
    def list(cls, *, config: Config | None = None) -> builtins.list[VFolderInfo]:
        """See `list_vfolders`."""
        return wait(client_job(config, vfolder.list_vfolders))

    @classmethod
    def list_invitations(cls, *, config: Config | None = None) -> builtins.list[Invitation]:
        """See `backendai_trio.list_invitations`."""
        return wait(client_job(config, vfolder.list_invitations))

    @classmethod
    def accept_invitation(cls, invitation_id: str, *, config: Config | None = None) -> None:
        """See `backendai_trio.accept_invitation`."""
        work = partial(vfolder.accept_invitation, invitation_id=invitation_id)
        wait(client_job(config, work))

    @classmethod
    def decline_invitation(cls, invitation_id: str, *, config: Config | None = None) -> None:
        """See `backendai_trio.decline_invitation`."""
        work = partial(vfolder.decline_invitation, invitation_id=invitation_id)
        wait(client_job(config, work))

    info = _blocking(TrioVFolder.info)
    rename = _blocking(TrioVFolder.rename)
    delete = _blocking(TrioVFolder.delete)
    restore = _blocking(TrioVFolder.restore)
    purge = _blocking(TrioVFolder.purge)

    def upload(
        self,
        files: Iterable[str | os.PathLike[str] | Upload],
        *,
        to: str = "",
        base: Path | None = None,
        links: Links = "follow",
    ) -> None:
        """See `TrioVFolder.upload`."""
        wait(self._job(partial(self._engine.upload, files, to=to, base=base, links=links)))

    def download(
        self,
        paths: Sequence[str],
        into: str | os.PathLike[str] = ".",
        *,
        overwrite: bool = False,
    ) -> builtins.list[Path]:
        """See `TrioVFolder.download`."""
        return wait(self._job(partial(self._engine.download, paths, into, overwrite=overwrite)))

    list_files = _blocking(TrioVFolder.list_files)
    mkdir = _blocking(TrioVFolder.mkdir)
    move = _blocking(TrioVFolder.move)
    remove = _blocking(TrioVFolder.remove)
    invite = _blocking(TrioVFolder.invite)
    share = _blocking(TrioVFolder.share)
    unshare = _blocking(TrioVFolder.unshare)
    leave = _blocking(TrioVFolder.leave)


class Admin:
    """Questions to the admin API. An ordinary key pair sees what is its own."""

    @classmethod
    def query(
        cls,
        query: str,
        variables: Mapping[str, Any] | None = None,
        *,
        config: Config | None = None,
    ) -> Mapping[str, Any]:
        """See `backendai_trio.query`."""
        return wait(client_job(config, partial(admin.query, query=query, variables=variables)))

    @classmethod
    def list_kernels(
        cls,
        *,
        status: str | None = "RUNNING",
        access_key: str | None = None,
        config: Config | None = None,
    ) -> list[SessionRow]:
        """See `backendai_trio.list_kernels`."""
        ask = partial(admin.list_kernels, status=status, access_key=access_key)
        return wait(client_job(config, ask))

    @classmethod
    def list_rows(
        cls,
        kind: Kind,
        arguments: Mapping[str, str] | None = None,
        *,
        config: Config | None = None,
    ) -> list[Mapping[str, Any]]:
        """See `backendai_trio.list_rows`."""
        return wait(client_job(config, partial(admin.list_rows, kind=kind, arguments=arguments)))


class StreamPty(TerminalFace):
    """A kernel's terminal: iterate over its output, type into it, from any threads."""

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        data = wait(self._job(partial(self._output.item, self._received + 1)))
        self._received += 1
        if not data:
            raise StopIteration
        return data

    def send_str(self, raw_str: str) -> None:
        """Type a text; waits while the program is far behind."""
        self.send_bytes(raw_str.encode())

    send_bytes = _blocking(Terminal.send_all)
    write = send_all = send_bytes
    send_eof = _blocking(Terminal.send_eof)

    def resize(self, rows: int, cols: int) -> None:
        """Set the window's size in characters."""
        wait(self._job(partial(self._engine.resize, rows, cols)))

    interrupt = _blocking(Terminal.interrupt)
    restart = _blocking(Terminal.restart)

    def close(self) -> None:
        """Detach; what runs in the terminal goes on. May be repeated."""
        wait(Job(self._held.end))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: object, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class StreamExecute(ExecutionFace):
    """A run in progress: iterate over its events, type into it, from any threads."""

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        try:
            event = wait(self._job(partial(self._events.item, self._received + 1)))
        except StopAsyncIteration:
            raise StopIteration from None
        self._received += 1
        return event

    send_input = _blocking(Execution.send_input)
    send_stdin = _blocking(Execution.send_stdin)
    close_stdin = _blocking(Execution.close_stdin)
    resize = _blocking(Execution.resize)
    interrupt = _blocking(Execution.interrupt)

    def close(self) -> None:
        """Stop the run if it goes on, and wait until it has ended. May be repeated."""
        wait(Job(self._held.end))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: object, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
