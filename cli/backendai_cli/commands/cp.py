"""`backend.ai cp`."""

from __future__ import annotations

import posixpath
from dataclasses import replace
from pathlib import Path

import click

from backendai_trio import TrioKernel
from backendai_trio.files import Upload, plan_uploads

from ..progress_bars import shown, split_remote
from ..server import with_kernel

__all__ = ["command"]


@click.command("cp")
@click.argument("sources", metavar="SRC...", nargs=-1, required=True)
@click.argument("target", metavar="DST")
@click.option("-r", "--recursive", is_flag=True, help="Copy folders with all that is in them.")
@click.option("-f", "--overwrite", is_flag=True, help="Replace local files that are there.")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
def command(
    sources: tuple[str, ...], target: str, recursive: bool, overwrite: bool, quiet: bool
) -> None:
    """Copy files to a kernel or from one; one side is written ID:PATH.

    ID is the kernel's token or session id, as 'backend.ai ps' shows them. As with cp, a DST that is
    a folder takes the files in; otherwise it is the copy's name.

    \b
    Examples:
      backend.ai cp data.csv lab1:
      backend.ai cp -r src lab1:project
      backend.ai cp lab1:result.txt .
    """
    remote = split_remote(target)
    theirs = [split_remote(source) for source in sources]
    if remote is not None and not any(theirs):
        paths = [Path(source) for source in sources]
        with_kernel(remote[0], "copy files to or from", _Upload(paths, remote[1], recursive, quiet))
    elif remote is None and all(theirs) and len({pair[0] for pair in theirs if pair}) == 1:
        names = [pair[1] for pair in theirs if pair]
        token = next(pair[0] for pair in theirs if pair)
        with_kernel(
            token,
            "copy files to or from",
            _Download(names, Path(target), recursive, overwrite, quiet),
        )
    else:
        raise click.UsageError("write exactly one side as ID:PATH, and name one kernel")


class _Upload:
    """A copy to the kernel."""

    def __init__(self, paths: list[Path], target: str, recursive: bool, quiet: bool) -> None:
        self._uploads = [
            (path, plan_uploads([path], base=path.resolve().parent, recursive=recursive))
            for path in paths
        ]
        self._target = posixpath.normpath(target)
        self._into = target.endswith("/") or self._target == "."
        self._quiet = quiet

    async def __call__(self, kernel: TrioKernel) -> None:
        uploads = [item for _, planned in self._uploads for item in planned]
        to = self._target
        if not (self._into or await _is_folder(kernel, to)):
            if len(self._uploads) > 1:
                raise click.UsageError(f"{to} is no folder in the kernel, so it takes one file")
            uploads = [_renamed(item, posixpath.basename(to)) for item in uploads]
            to = posixpath.dirname(to)
        async with shown(sum(item.size for item in uploads), quiet=self._quiet) as progress:
            await kernel.upload(uploads, to=to, progress=progress)


def _renamed(item: Upload, name: str) -> Upload:
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
                    raise click.UsageError(f"{name} is a folder; copy it with -r")
        overwrite = self._overwrite
        async with shown(None, quiet=self._quiet) as progress:
            if self._target.is_dir() or len(self._names) > 1:
                await kernel.download(
                    self._names, self._target, overwrite=overwrite, progress=progress
                )
            else:
                await kernel.download_as(
                    self._names[0], self._target, overwrite=overwrite, progress=progress
                )


async def _is_folder(kernel: TrioKernel, path: str) -> bool:
    """Whether there is a folder of that name in the kernel."""
    if posixpath.normpath(path) == ".":
        return True
    parent, name = posixpath.split(posixpath.normpath(path))
    listing = await kernel.list_files(parent or ".")
    return any(file.name == name and file.is_folder for file in listing.files)
