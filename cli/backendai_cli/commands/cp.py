"""`backend.ai cp`."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click

from backendai_trio import LocalProtocolError, TrioKernel
from backendai_trio.files import Links, Upload, plan_uploads

from ..console import Status
from ..links import LeftOut, upload_links_option
from ..parameters import REMOTE_PATH
from ..progress_bars import progress_bars, split_remote, suggesting_overwrite
from ..server import call_kernel

__all__ = ["command"]


@click.command("cp")
@click.argument("sources", metavar="SRC...", nargs=-1, required=True, type=REMOTE_PATH)
@click.argument("target", metavar="DST", type=REMOTE_PATH)
@click.option("-r", "--recursive", is_flag=True, help="Copy folders and their content.")
@click.option("-f", "--overwrite", is_flag=True, help="Replace local files that exist.")
@upload_links_option
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
def command(
    sources: tuple[str, ...],
    target: str,
    recursive: bool,
    overwrite: bool,
    links: Links,
    quiet: bool,
) -> None:
    """Copy files to or from a kernel. Either SRC or DST is written ID:PATH.

    ID is the kernel's token or session id ('backend.ai ps'). As with cp, files are copied into DST
    if it is a folder; otherwise DST is the name of the copy. Links in a kernel's folder stay links.

    \b
    Examples:
      backend.ai cp data.csv lab1:
      backend.ai cp -r src lab1:project
      backend.ai cp lab1:result.txt .
    """
    remote_target = split_remote(target)
    remote_sources = [pair for pair in map(split_remote, sources) if pair is not None]
    if remote_target is not None and not remote_sources:
        token, path = remote_target
        left_out = LeftOut()
        upload = _Upload(_plan(sources, recursive, links, left_out), path, quiet)
        call_kernel(token, f"copy files to the kernel {token}", upload)
        left_out.report(Status(quiet=quiet))
    elif (
        remote_target is None
        and len(remote_sources) == len(sources)
        and len({token for token, _ in remote_sources}) == 1
    ):
        token = remote_sources[0][0]
        names = [path for _, path in remote_sources]
        download = _Download(names, Path(target), recursive, overwrite, quiet)
        call_kernel(token, f"copy files from the kernel {token}", download)
    else:
        raise click.UsageError("write either SRC or DST as ID:PATH, with one kernel")


def _plan(
    sources: Sequence[str], recursive: bool, links: Links, left_out: LeftOut
) -> list[list[Upload]]:
    """The uploads of each source."""
    return [
        plan_uploads(
            [path],
            base=path.resolve().parent,
            recursive=recursive,
            links=links,
            on_skip=left_out,
        )
        for path in map(Path, sources)
    ]


class _Upload:
    """A copy to the kernel."""

    def __init__(self, sources: list[list[Upload]], target: str, quiet: bool) -> None:
        self._sources = sources
        self._target = posixpath.normpath(target)
        self._is_folder = target.endswith("/") or self._target == "."
        self._quiet = quiet

    async def __call__(self, kernel: TrioKernel) -> None:
        uploads = [item for planned in self._sources for item in planned]
        to = self._target
        if not (self._is_folder or await self._names_folder(kernel)):
            if len(self._sources) > 1:
                raise click.UsageError(f"{to} is not a folder in the kernel, so SRC must be one")
            uploads = [_renamed(item, posixpath.basename(to)) for item in uploads]
            to = posixpath.dirname(to)
        total = sum(item.size for item in uploads)
        async with progress_bars(total, quiet=self._quiet) as progress:
            await kernel.upload(uploads, to=to, progress=progress)

    async def _names_folder(self, kernel: TrioKernel) -> bool:
        """Whether the target is a folder already. Managers before 1.4 do not say; there only a
        slash at the end makes it one."""
        try:
            return await _is_folder(kernel, self._target)
        except LocalProtocolError:
            return False


def _renamed(item: Upload, name: str) -> Upload:
    """An upload with another first component of its name."""
    _, slash, rest = item.name.partition("/")
    return replace(item, name=f"{name}{slash}{rest}")


class _Download:
    """A copy from the kernel."""

    def __init__(
        self, names: list[str], target: Path, recursive: bool, overwrite: bool, quiet: bool
    ) -> None:
        self._names = names
        self._target = target
        self._recursive = recursive
        self._overwrite = overwrite
        self._quiet = quiet

    async def __call__(self, kernel: TrioKernel) -> None:
        if not self._recursive:
            for name in self._names:
                if await _is_folder(kernel, name):
                    raise click.UsageError(f"{name} is a folder; copy it with -r (--recursive)")
        overwrite = self._overwrite
        with suggesting_overwrite():
            async with progress_bars(None, quiet=self._quiet) as progress:
                if self._target.is_dir() or len(self._names) > 1:
                    await kernel.download(
                        self._names, self._target, overwrite=overwrite, progress=progress
                    )
                else:
                    await kernel.download_as(
                        self._names[0], self._target, overwrite=overwrite, progress=progress
                    )


async def _is_folder(kernel: TrioKernel, path: str) -> bool:
    """Whether a path in the kernel is a folder."""
    if posixpath.normpath(path) == ".":
        return True
    parent, name = posixpath.split(posixpath.normpath(path))
    listing = await kernel.list_files(parent or ".")
    return any(file.name == name and file.is_folder for file in listing.files)
