"""`backend.ai ls`."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime

import click

from backendai_trio import TrioKernel

from ..server import with_kernel

__all__ = ["command"]


@click.command("ls")
@click.argument("token", metavar="ID")
@click.argument("path", default=".", metavar="[PATH]")
@click.option("-l", "--long", is_flag=True, help="With modes, sizes and times.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def command(token: str, path: str, long: bool, as_json: bool) -> None:
    """List the folder PATH of the kernel ID [default: its work folder].

    ID is its token or session id, as 'backend.ai ps' shows them.

    \b
    Examples:
      backend.ai ls lab1
      backend.ai ls -l lab1 src
    """

    async def act(kernel: TrioKernel) -> None:
        listing = await kernel.list_files(path)
        if listing.problem:
            raise click.ClickException(listing.problem)
        if as_json:
            click.echo(json.dumps([asdict(file) for file in listing.files]))
            return
        for file in listing.files:
            # A name must not act as commands for the terminal.
            name = file.name if file.name.isprintable() else repr(file.name)
            name += "/" if file.is_folder else ""
            if long:
                time = datetime.fromtimestamp(file.modified).strftime("%Y-%m-%d %H:%M")
                name = f"{file.mode} {file.size:>12} {time} {name}"
            click.echo(name)

    with_kernel(token, "list", act)
