"""`backend.ai ls`."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime

import click

from backendai_trio import TrioKernel
from backendai_trio.kernels import Listing

from ..parameters import NAME, REMOTE_PATH
from ..server import call_kernel

__all__ = ["command"]


@click.command("ls")
@click.argument("token", metavar="ID", type=NAME)
@click.argument("path", default=".", metavar="[PATH]", type=REMOTE_PATH)
@click.option("-l", "--long", is_flag=True, help="Show modes, sizes and times.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def command(token: str, path: str, long: bool, as_json: bool) -> None:
    """List the folder PATH of the kernel ID [default: its work folder].

    ID is its token or session id ('backend.ai ps').

    \b
    Examples:
      backend.ai ls lab1
      backend.ai ls -l lab1 src
    """

    async def list_files(kernel: TrioKernel) -> Listing:
        return await kernel.list_files(path)

    listing = call_kernel(token, f"list files of the kernel {token}", list_files)
    if listing.problem:
        raise click.ClickException(f"cannot list {path} in the kernel {token}: {listing.problem}")
    if as_json:
        click.echo(json.dumps([asdict(file) for file in listing.files]))
        return
    for file in listing.files:
        # A name must not be taken for commands by the terminal.
        name = file.name if file.name.isprintable() else repr(file.name)
        name += "/" if file.is_folder else ""
        if long:
            time = datetime.fromtimestamp(file.modified).strftime("%Y-%m-%d %H:%M")
            name = f"{file.mode} {file.size:>12} {time} {name}"
        click.echo(name)
