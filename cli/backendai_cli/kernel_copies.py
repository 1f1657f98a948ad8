"""Copies between this machine and a kernel, as `cp` makes them: what DST means, and streams."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click

from backendai_trio import LocalProtocolError, TrioKernel
from backendai_trio.files import Upload

from .local_streams import read_stdin, write_stream
from .parameters import Stream
from .progress_bars import progress_bars, suggesting_overwrite

__all__ = ["KernelDownload", "KernelUpload", "StreamDownload", "StreamUpload"]


class KernelUpload:
    """A copy to a kernel.

    Args:
        sources: the uploads of each source.
        target: DST in the kernel.
        preserve: whether times of modification are kept.
        quiet: show no progress.
    """

    def __init__(
        self, sources: Sequence[Sequence[Upload]], target: str, *, preserve: bool, quiet: bool
    ) -> None:
        self._sources = sources
        self._target = target
        self._preserve = preserve
        self._quiet = quiet

    async def __call__(self, kernel: TrioKernel) -> None:
        uploads = [item for planned in self._sources for item in planned]
        to = posixpath.normpath(self._target)
        if not await _names_folder(kernel, self._target):
            if len(self._sources) > 1:
                raise click.UsageError(
                    f"{to} is not a folder in the kernel, so only one SRC can be copied there"
                )
            uploads = [_renamed(item, posixpath.basename(to)) for item in uploads]
            to = posixpath.dirname(to)
        total = sum(item.size for item in uploads)
        async with progress_bars(total, quiet=self._quiet) as progress:
            await kernel.upload(uploads, to=to, preserve=self._preserve, progress=progress)


class StreamUpload:
    """A copy of standard input to a kernel.

    Args:
        target: DST in the kernel.
    """

    def __init__(self, target: str) -> None:
        self._target = target

    async def __call__(self, kernel: TrioKernel) -> None:
        if await _names_folder(kernel, self._target):
            raise click.UsageError(
                f"{self._target!r} is a folder in the kernel; name the file that standard input "
                "becomes"
            )
        await kernel.upload_stream(posixpath.normpath(self._target), read_stdin())


class KernelDownload:
    """A copy from a kernel.

    Args:
        names: paths in the kernel.
        target: DST on this machine.
        recursive: whether folders are copied.
        overwrite: whether files that exist are replaced.
        exclude: patterns of what is left out of folders, which are well formed.
        preserve: whether times of modification are kept.
        quiet: show no progress.
    """

    def __init__(
        self,
        names: Sequence[str],
        target: Path,
        *,
        recursive: bool,
        overwrite: bool,
        exclude: Sequence[str],
        preserve: bool,
        quiet: bool,
    ) -> None:
        self._names = names
        self._target = target
        self._recursive = recursive
        self._overwrite = overwrite
        self._exclude = exclude
        self._preserve = preserve
        self._quiet = quiet

    async def __call__(self, kernel: TrioKernel) -> None:
        if not self._recursive:
            for name in self._names:
                if await _is_folder(kernel, name):
                    raise click.UsageError(f"{name} is a folder; copy it with -r (--recursive)")
        with suggesting_overwrite(self._overwrite):
            await self._download(kernel)

    async def _download(self, kernel: TrioKernel) -> None:
        async with progress_bars(None, quiet=self._quiet) as progress:
            if self._target.is_dir() or len(self._names) > 1:
                await kernel.download(
                    self._names,
                    self._target,
                    overwrite=self._overwrite,
                    preserve=self._preserve,
                    exclude=self._exclude,
                    progress=progress,
                )
            else:
                await kernel.download_as(
                    self._names[0],
                    self._target,
                    overwrite=self._overwrite,
                    preserve=self._preserve,
                    exclude=self._exclude,
                    progress=progress,
                )


class StreamDownload:
    """A copy of a kernel's file to standard output, a pipe or a device.

    Args:
        name: path in the kernel.
        target: where the content is written.
    """

    def __init__(self, name: str, target: Path | Stream) -> None:
        self._name = name
        self._target = target

    async def __call__(self, kernel: TrioKernel) -> None:
        if await _is_folder(kernel, self._name):
            raise click.UsageError(f"{self._name} is a folder; only a file can be a stream")
        async with kernel.open_download(self._name) as chunks:
            await write_stream(self._target, chunks)


async def _names_folder(kernel: TrioKernel, target: str) -> bool:
    """Whether DST is a folder of the kernel. Managers before 1.4 do not say; there only a slash at
    the end makes it one.

    Raises:
        click.UsageError: it is outside of the work folder.
    """
    path = posixpath.normpath(target)
    if path == ".." or path.startswith(("/", "../")):
        raise click.UsageError(f"{target!r} is not below the work folder of the kernel")
    try:
        return target.endswith("/") or await _is_folder(kernel, target)
    except LocalProtocolError:
        return False


async def _is_folder(kernel: TrioKernel, path: str) -> bool:
    """Whether a path in the kernel is a folder."""
    if posixpath.normpath(path) == ".":
        return True
    parent, name = posixpath.split(posixpath.normpath(path))
    listing = await kernel.list_files(parent or ".")
    return any(file.name == name and file.is_folder for file in listing.files)


def _renamed(item: Upload, name: str) -> Upload:
    """An upload with another first component of its name."""
    _, slash, rest = item.name.partition("/")
    return replace(item, name=f"{name}{slash}{rest}")
