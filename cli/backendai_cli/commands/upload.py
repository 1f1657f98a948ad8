"""`backend.ai upload`."""

from __future__ import annotations

from pathlib import Path

import click

from backendai_trio import TrioKernel
from backendai_trio.files import Links, plan_uploads

from ..console import Status
from ..links import LeftOut, upload_links_option
from ..parameters import NAME, REMOTE_PATH, LocalPath
from ..progress_bars import progress_bars
from ..server import call_kernel

__all__ = ["command"]


@click.command("upload")
@click.argument("token", metavar="ID", type=NAME)
@click.argument("paths", nargs=-1, required=True, type=LocalPath())
@click.option(
    "--to",
    metavar="DIR",
    type=REMOTE_PATH,
    help="Folder below the work folder [default: the work folder].",
)
@upload_links_option
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
def command(token: str, paths: tuple[Path, ...], to: str | None, links: Links, quiet: bool) -> None:
    """Upload files and folders to the work folder of the kernel ID.

    ID is its token or session id ('backend.ai ps'). Paths below the current folder keep their
    names; others are called by their last component. Files that exist are replaced. If one file
    fails, none of them arrives.

    \b
    Examples:
      backend.ai upload lab1 data.csv src
      backend.ai upload lab1 data.csv --to input
    """
    left_out = LeftOut()
    uploads = plan_uploads(paths, recursive=True, links=links, on_skip=left_out)

    async def upload(kernel: TrioKernel) -> None:
        async with progress_bars(sum(item.size for item in uploads), quiet=quiet) as progress:
            await kernel.upload(uploads, to=to or "", progress=progress)

    call_kernel(token, f"upload files to the kernel {token}", upload)
    left_out.report(Status(quiet=quiet))
