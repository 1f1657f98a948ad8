"""`backend.ai download`."""

from __future__ import annotations

from pathlib import Path

import click

from backendai_trio import TrioKernel

from ..copy_options import preserve_option, refuse_options
from ..kernel_copies import StreamDownload
from ..parameters import NAME, REMOTE_PATH, LocalPath, Stream
from ..progress_bars import progress_bars, suggesting_overwrite
from ..server import call_kernel

__all__ = ["command"]


@click.command("download")
@click.argument("token", metavar="ID", type=NAME)
@click.argument("paths", nargs=-1, required=True, type=REMOTE_PATH)
@click.option(
    "--dest",
    default=".",
    metavar="DIR",
    type=LocalPath(or_stream=True),
    help="Local folder for the files [default: the current one].",
)
@click.option("-f", "--overwrite", is_flag=True, help="Replace files that exist.")
@preserve_option
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
def command(
    token: str,
    paths: tuple[str, ...],
    dest: Path | Stream,
    overwrite: bool,
    preserve: bool,
    quiet: bool,
) -> None:
    """Download files and folders of the kernel ID. PATHS are relative to its work folder.

    ID is its token or session id ('backend.ai ps'). A file appears when it has arrived completely.
    With --dest -, one file is written to standard output.

    \b
    Examples:
      backend.ai download lab1 result.txt
      backend.ai download lab1 models logs/run.txt --dest out
    """

    action = f"download files from the kernel {token}"
    if not isinstance(dest, Path):
        if len(paths) > 1:
            raise click.UsageError("standard output takes one file (--dest -)")
        refuse_options("a download to standard output", "preserve")
        call_kernel(token, action, StreamDownload(paths[0], dest))
        return

    async def download(kernel: TrioKernel) -> None:
        with suggesting_overwrite(overwrite):
            async with progress_bars(None, quiet=quiet) as progress:
                await kernel.download(
                    paths, dest, overwrite=overwrite, preserve=preserve, progress=progress
                )

    call_kernel(token, action, download)
