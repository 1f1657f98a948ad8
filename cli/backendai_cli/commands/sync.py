"""`backend.ai sync`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import click
import trio

from backendai_trio import TrioKernel
from backendai_trio.files import Upload

from ..console import Status, count
from ..copy_options import Selection, preserve_option, selection_options
from ..parameters import REMOTE_PATH, LocalPath
from ..progress_bars import progress_bars, split_remote
from ..server import call_kernel

__all__ = ["Sync", "command"]

_LOOK_SECONDS = 0.5
"""How often --watch lists the folder. Notifications of operating systems differ, and miss network
file systems; to list 10,000 files takes less than 0.1 s."""


@click.command("sync")
@click.argument("folder", type=LocalPath(exists=True, file_okay=False))
@click.argument("target", metavar="ID:PATH", type=REMOTE_PATH)
@click.option("--watch", is_flag=True, help="Go on, and send files when they change.")
@click.option(
    "--delete",
    is_flag=True,
    help="Remove files in PATH that FOLDER does not have; excluded ones stay.",
)
@selection_options("follow", "skip", help="Send what symbolic links lead to, or leave links out.")
@preserve_option
@click.option("-q", "--quiet", is_flag=True, help="Show no progress and no summary.")
def command(
    folder: Path,
    target: str,
    watch: bool,
    delete: bool,
    selection: Selection,
    preserve: bool,
    quiet: bool,
) -> None:
    """Synchronize the local FOLDER to the folder PATH of the kernel ID.

    Only files whose content differs are sent. ID is the kernel's token or session id ('backend.ai
    ps'). The PATH '.' is its work folder.

    \b
    Examples:
      backend.ai sync src lab1:project
      backend.ai sync --watch --delete src lab1:project
      backend.ai sync --exclude-ignored . lab1:project
    """
    remote = split_remote(target)
    if remote is None:
        raise click.UsageError(f"{target}: write it as ID:PATH")
    if target.endswith(":"):  # "lab1:$FOLDER" without a value; --delete would empty the work folder
        raise click.UsageError(f"the path in {target!r} is empty; the work folder is '{target}.'")
    token, path = remote
    sync = Sync(
        folder,
        path,
        watch=watch,
        delete=delete,
        selection=selection,
        preserve=preserve,
        quiet=quiet,
    )
    call_kernel(token, f"send files to the kernel {token}", sync)


class Sync:
    """A local folder and its copy in a kernel."""

    def __init__(
        self,
        folder: Path,
        path: str,
        *,
        watch: bool,
        delete: bool,
        selection: Selection,
        preserve: bool,
        quiet: bool,
    ) -> None:
        self._folder = folder
        self._path = path
        self._watch = watch
        self._delete = delete
        self._selection = selection
        self._preserve = preserve
        self._quiet = quiet
        self._status = Status(quiet=quiet)

    async def __call__(self, kernel: TrioKernel) -> None:
        sent = await self._list_local()
        self._selection.left_out.report(self._status)
        await self._send(kernel, sent)
        while self._watch:
            await trio.sleep(_LOOK_SECONDS)
            now = await self._list_local()
            if now != sent:
                await self._send(kernel, now)
                sent = now

    async def _list_local(self) -> list[Upload]:
        plan = partial(self._selection.plan, [self._folder], base=self._folder, recursive=True)
        return await trio.to_thread.run_sync(plan)

    async def _send(self, kernel: TrioKernel, local: list[Upload]) -> None:
        remote = {item.name: item for item in await kernel.list_digests(self._path)}
        changed: list[Upload] = []
        for item in local:
            old = remote.pop(item.name, None)
            if item.is_folder:
                continue
            if old is not None and old.size == item.size:
                digest = await trio.to_thread.run_sync(_digest, item)
                if digest == old.sha256:
                    continue
            changed.append(item)
        # A folder is made with the files in it; only an empty one is sent.
        parents = {name for item in local for name in _parents(item.name)}
        changed += [item for item in local if item.is_folder and item.name not in parents]
        files = [item for item in changed if not item.is_folder]
        total = sum(item.size for item in files)
        async with progress_bars(total, quiet=self._quiet) as progress:
            await kernel.upload(changed, to=self._path, preserve=self._preserve, progress=progress)
        extra = await trio.to_thread.run_sync(self._superfluous, remote) if self._delete else []
        if extra:
            await kernel.remove([f"{self._path}/{name}" for name in extra])
        self._status.done(f"{count(len(files), 'file')} sent, {len(extra):,} removed.")

    def _superfluous(self, names: Iterable[str]) -> list[str]:
        """Those of the kernel's files that are to be removed."""
        exclusions = self._selection.exclusions(self._folder)
        return sorted(name for name in names if not (exclusions and exclusions.covers(name)))


def _parents(name: str) -> list[str]:
    parts = name.split("/")
    return ["/".join(parts[:end]) for end in range(1, len(parts))]


def _digest(item: Upload) -> str:
    digest = hashlib.sha256()
    for chunk in item.read():
        digest.update(chunk)
    return digest.hexdigest()
