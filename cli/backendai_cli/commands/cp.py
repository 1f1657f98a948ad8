"""`backend.ai cp`."""

from __future__ import annotations

from pathlib import Path

import click

from backendai_trio.files import Upload

from ..console import Status
from ..copy_options import (
    SELECTION,
    Selection,
    kernel_selection_options,
    preserve_option,
    refuse_options,
)
from ..kernel_copies import KernelDownload, KernelUpload, StreamDownload, StreamUpload
from ..local_streams import is_stream
from ..parameters import REMOTE_PATH, local_path
from ..progress_bars import split_remote
from ..server import call_kernel

__all__ = ["command"]


@click.command("cp")
@click.argument("sources", metavar="SRC...", nargs=-1, required=True, type=REMOTE_PATH)
@click.argument("target", metavar="DST", type=REMOTE_PATH)
@click.option("-r", "--recursive", is_flag=True, help="Copy folders and their content.")
@click.option("-f", "--overwrite", is_flag=True, help="Replace local files that exist.")
@kernel_selection_options
@preserve_option
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
def command(
    sources: tuple[str, ...],
    target: str,
    recursive: bool,
    overwrite: bool,
    selection: Selection,
    preserve: bool,
    quiet: bool,
) -> None:
    """Copy files to or from a kernel. Either SRC or DST is written ID:PATH.

    ID is the kernel's token or session id ('backend.ai ps'). As with cp, files are copied into DST
    if it is a folder; otherwise DST is the name of the copy. Links in a kernel's folder stay links.
    The local path '-' is standard input or output. A local name with a colon is written ./a:b.

    \b
    Examples:
      backend.ai cp data.csv lab1:
      backend.ai cp -r --exclude .venv src lab1:project
      backend.ai cp lab1:result.txt .
      backend.ai cp lab1:result.txt - | sort
    """
    remote_target = split_remote(target)
    remote_sources = [pair for pair in map(split_remote, sources) if pair is not None]
    if remote_target is not None and not remote_sources:
        token, path = remote_target
        action = f"copy files to the kernel {token}"
        paths = [local_path(source) for source in sources]
        files = [path for path in paths if isinstance(path, Path)]
        if len(files) < len(paths):
            if len(paths) > 1:
                raise click.UsageError("'-' (standard input) cannot be copied with other files")
            refuse_options("a copy of standard input", "preserve", *SELECTION)
            call_kernel(token, action, StreamUpload(path))
            return
        planned = [_plan(path, recursive, selection) for path in files]
        call_kernel(token, action, KernelUpload(planned, path, preserve=preserve, quiet=quiet))
        selection.left_out.report(Status(quiet=quiet))
    elif (
        remote_target is None
        and len(remote_sources) == len(sources)
        and len({token for token, _ in remote_sources}) == 1
    ):
        token = remote_sources[0][0]
        names = [path for _, path in remote_sources]
        action = f"copy files from the kernel {token}"
        local_target = local_path(target)
        if not isinstance(local_target, Path) or is_stream(local_target):
            if len(names) > 1:
                raise click.UsageError(f"only one file can be copied to {target}")
            refuse_options(f"a copy to {target}", "preserve", *SELECTION)
            call_kernel(token, action, StreamDownload(names[0], local_target))
            return
        refuse_options("a copy from a kernel", "links", "exclude_ignored")
        download = KernelDownload(
            names,
            local_target,
            recursive=recursive,
            overwrite=overwrite,
            exclude=selection.exclude,
            preserve=preserve,
            quiet=quiet,
        )
        call_kernel(token, action, download)
    else:
        raise click.UsageError(
            "write either SRC or DST as ID:PATH, with one kernel; "
            "a local name with a colon is written ./NAME"
        )


def _plan(path: Path, recursive: bool, selection: Selection) -> list[Upload]:
    """The uploads of a source."""
    try:
        base = path.resolve().parent
    except FileNotFoundError:
        raise click.ClickException(
            f"cannot copy {path}: the current folder has been removed; change to another"
        ) from None
    return selection.plan([path], base=base, recursive=recursive)
