"""`backend.ai sync`."""

from __future__ import annotations

import hashlib
from pathlib import Path

import click
import trio

from backendai_trio import TrioKernel
from backendai_trio.files import Links, Upload, plan_uploads

from ..console import Status, count
from ..links import LeftOut, links_option
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
@click.option("--delete", is_flag=True, help="Remove files in PATH that FOLDER does not have.")
@links_option("follow", "skip", help="Send what symbolic links lead to, or leave links out.")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress and no summary.")
def command(
    folder: Path, target: str, watch: bool, delete: bool, links: Links, quiet: bool
) -> None:
    """Synchronize the local FOLDER to the folder PATH of the kernel ID.

    Only files whose content differs are sent. ID is the kernel's token or session id ('backend.ai
    ps'). The PATH '.' is its work folder.

    \b
    Examples:
      backend.ai sync src lab1:project
      backend.ai sync --watch --delete src lab1:project
    """
    remote = split_remote(target)
    if remote is None:
        raise click.UsageError(f"{target}: write it as ID:PATH")
    if target.endswith(":"):  # "lab1:$FOLDER" without a value; --delete would empty the work folder
        raise click.UsageError(f"{target}: the path is empty; the work folder is {target}.")
    token, path = remote
    sync = Sync(folder, path, watch=watch, delete=delete, links=links, quiet=quiet)
    call_kernel(token, f"send files to the kernel {token}", sync)


class Sync:
    """A local folder and its copy in a kernel."""

    def __init__(
        self, folder: Path, path: str, *, watch: bool, delete: bool, links: Links, quiet: bool
    ) -> None:
        self._folder = folder
        self._path = path
        self._watch = watch
        self._delete = delete
        self._links: Links = links
        self._quiet = quiet
        self._status = Status(quiet=quiet)

    async def __call__(self, kernel: TrioKernel) -> None:
        left_out = LeftOut()
        sent = await self._list_local(left_out)
        left_out.report(self._status)
        await self._send(kernel, sent)
        while self._watch:
            await trio.sleep(_LOOK_SECONDS)
            now = await self._list_local(LeftOut())
            if now != sent:
                await self._send(kernel, now)
                sent = now

    async def _list_local(self, left_out: LeftOut) -> list[Upload]:
        def list_local() -> list[Upload]:
            return plan_uploads(
                [self._folder],
                base=self._folder,
                recursive=True,
                links=self._links,
                on_skip=left_out,
            )

        return await trio.to_thread.run_sync(list_local)

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
            await kernel.upload(changed, to=self._path, progress=progress)
        extra = sorted(remote) if self._delete else []
        if extra:
            await kernel.remove([f"{self._path}/{name}" for name in extra])
        self._status.done(f"{count(len(files), 'file')} sent, {len(extra):,} removed.")


def _parents(name: str) -> list[str]:
    parts = name.split("/")
    return ["/".join(parts[:end]) for end in range(1, len(parts))]


def _digest(item: Upload) -> str:
    digest = hashlib.sha256()
    for chunk in item.read():
        digest.update(chunk)
    return digest.hexdigest()
