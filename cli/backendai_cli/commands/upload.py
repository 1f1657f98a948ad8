"""`backend.ai upload`."""

from __future__ import annotations

from pathlib import Path

import click

from backendai_trio import TrioKernel
from backendai_trio.files import plan_uploads

from ..progress_bars import shown
from ..server import with_kernel

__all__ = ["command"]


@click.command("upload")
@click.argument("token", metavar="ID")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--to", default="", metavar="DIR", help="Folder below the work folder.")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
def command(token: str, paths: tuple[Path, ...], to: str, quiet: bool) -> None:
    """Put files and folders into the work folder of the kernel ID.

    Paths below the current folder keep their names, others go by their last component. What is
    there already is replaced. All of them arrive, or none. ID is its token or session id, as
    'backend.ai ps' shows them.

    \b
    Examples:
      backend.ai upload lab1 data.csv src
      backend.ai upload lab1 data.csv --to input
    """
    uploads = plan_uploads(paths, recursive=True)

    async def act(kernel: TrioKernel) -> None:
        async with shown(sum(item.size for item in uploads), quiet=quiet) as progress:
            await kernel.upload(uploads, to=to, progress=progress)

    with_kernel(token, "send files to", act)
