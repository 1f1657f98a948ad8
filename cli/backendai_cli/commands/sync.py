"""`backend.ai sync`."""

from __future__ import annotations

import hashlib
from pathlib import Path

import click
import trio

from backendai_trio import TrioKernel
from backendai_trio.files import Upload, plan_uploads

from ..console import Status
from ..progress_bars import shown, split_remote
from ..server import with_kernel

__all__ = ["command"]

_LOOK_SECONDS = 0.5
"""How often --watch looks. The operating systems' own ways to be told differ, and miss network
file systems; a look at 10,000 files takes less than 0.1 s."""


@click.command("sync")
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("target", metavar="ID:PATH")
@click.option("--watch", is_flag=True, help="Stay, and send again what changes.")
@click.option("--delete", is_flag=True, help="Remove files there that are not here.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing.")
def command(folder: Path, target: str, watch: bool, delete: bool, quiet: bool) -> None:
    """Make the folder PATH of the kernel ID like the local FOLDER.

    Only files whose content differs are sent. ID is the kernel's token or session id, as
    'backend.ai ps' shows them.

    \b
    Examples:
      backend.ai sync src lab1:project
      backend.ai sync --watch --delete src lab1:project
    """
    remote = split_remote(target)
    if remote is None:
        raise click.UsageError(f"{target}: write it as ID:PATH")
    token, path = remote
    with_kernel(
        token, "send files to", _Sync(folder, path, watch, delete, Status(quiet=quiet), quiet)
    )


class _Sync:
    """A folder and its copy."""

    def __init__(
        self, folder: Path, path: str, watch: bool, delete: bool, status: Status, quiet: bool
    ) -> None:
        self._folder = folder
        self._path = path
        self._watch = watch
        self._delete = delete
        self._status = status
        self._quiet = quiet

    async def __call__(self, kernel: TrioKernel) -> None:
        seen = await self._look()
        await self._send(kernel, seen)
        while self._watch:
            await trio.sleep(_LOOK_SECONDS)
            now = await self._look()
            if now != seen:
                await self._send(kernel, now)
                seen = now

    async def _look(self) -> list[Upload]:
        def look() -> list[Upload]:
            return plan_uploads([self._folder], base=self._folder, recursive=True)

        return await trio.to_thread.run_sync(look)

    async def _send(self, kernel: TrioKernel, here: list[Upload]) -> None:
        there = {item.name: item for item in await kernel.list_digests(self._path)}
        changed: list[Upload] = []
        for item in here:
            old = there.pop(item.name, None)
            if item.is_folder:
                continue
            if old is not None and old.size == item.size:
                digest = await trio.to_thread.run_sync(_digest, item)
                if digest == old.sha256:
                    continue
            changed.append(item)
        # Folders are sent with their files; empty ones for themselves.
        used = {name for item in here for name in _parents(item.name)}
        changed += [item for item in here if item.is_folder and item.name not in used]
        files = [item for item in changed if not item.is_folder]
        async with shown(sum(item.size for item in files), quiet=self._quiet) as progress:
            await kernel.upload(changed, to=self._path, progress=progress)
        gone = sorted(there) if self._delete else []
        if gone:
            await kernel.remove([f"{self._path}/{name}" for name in gone])
        self._status.done(f"{len(files):,} files sent, {len(gone):,} removed.")


def _parents(name: str) -> list[str]:
    parts = name.split("/")
    return ["/".join(parts[:end]) for end in range(1, len(parts))]


def _digest(item: Upload) -> str:
    digest = hashlib.sha256()
    for piece in item.read():
        digest.update(piece)
    return digest.hexdigest()
