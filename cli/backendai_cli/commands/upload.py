"""`backend.ai upload`."""

from __future__ import annotations

from pathlib import Path

import click

from backendai_trio import TrioKernel

from ..console import Status
from ..copy_options import (
    SELECTION,
    Selection,
    kernel_selection_options,
    preserve_option,
    refuse_options,
)
from ..local_streams import read_stdin, stream_name
from ..parameters import NAME, REMOTE_FOLDER, LocalPath, Stream
from ..progress_bars import progress_bars
from ..server import call_kernel

__all__ = ["command"]


@click.command("upload")
@click.argument("token", metavar="ID", type=NAME)
@click.argument("paths", nargs=-1, required=True, type=LocalPath(or_stream=True))
@click.option(
    "--to",
    metavar="DIR",
    type=REMOTE_FOLDER,
    help="Folder below the work folder [default: the work folder].",
)
@kernel_selection_options
@preserve_option
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
def command(
    token: str,
    paths: tuple[Path | Stream, ...],
    to: str | None,
    selection: Selection,
    preserve: bool,
    quiet: bool,
) -> None:
    """Upload files and folders to the work folder of the kernel ID.

    ID is its token or session id ('backend.ai ps'). Paths below the current folder keep their
    names; others are called by their last component. Files that exist are replaced. If one file
    fails, none of them arrives. The path '-' is standard input; --to is then the file's name.

    \b
    Examples:
      backend.ai upload lab1 data.csv src
      backend.ai upload lab1 data.csv --to input
      backend.ai upload lab1 . --exclude .venv --exclude '*.log'
      tar c src | backend.ai upload lab1 - --to src.tar
    """
    action = f"upload files to the kernel {token}"
    files = [path for path in paths if isinstance(path, Path)]
    if len(files) < len(paths):
        name = stream_name(paths, to)
        refuse_options("an upload of standard input", "preserve", *SELECTION)
        call_kernel(token, action, lambda kernel: kernel.upload_stream(name, read_stdin()))
        return
    uploads = selection.plan(files, base=None, recursive=True)

    async def upload(kernel: TrioKernel) -> None:
        async with progress_bars(sum(item.size for item in uploads), quiet=quiet) as progress:
            await kernel.upload(uploads, to=to or "", preserve=preserve, progress=progress)

    call_kernel(token, action, upload)
    selection.left_out.report(Status(quiet=quiet))
