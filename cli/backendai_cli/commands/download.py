"""`backend.ai download`."""

from __future__ import annotations

from pathlib import Path

import click

from backendai_trio import TrioKernel

from ..progress_bars import shown
from ..server import with_kernel

__all__ = ["command"]


@click.command("download")
@click.argument("token", metavar="ID")
@click.argument("paths", nargs=-1, required=True)
@click.option(
    "--dest",
    default=".",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Local folder to put them into [default: the current one].",
)
@click.option("-f", "--overwrite", is_flag=True, help="Replace files that are there.")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
def command(token: str, paths: tuple[str, ...], dest: Path, overwrite: bool, quiet: bool) -> None:
    """Get files and folders of the kernel ID, named relative to its work folder.

    ID is its token or session id, as 'backend.ai ps' shows them. Of each file all arrives, or
    nothing.

    \b
    Examples:
      backend.ai download lab1 result.txt
      backend.ai download lab1 models logs/run.txt --dest out
    """

    async def act(kernel: TrioKernel) -> None:
        async with shown(None, quiet=quiet) as progress:
            await kernel.download(paths, dest, overwrite=overwrite, progress=progress)

    with_kernel(token, "get files from", act)
