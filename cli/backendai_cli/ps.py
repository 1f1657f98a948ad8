"""`backend.ai ps`."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import partial

import click
import trio

from backendai_trio import SessionRow, list_kernels

from .console import Status
from .tables import print_table
from .target import open_target

__all__ = ["command"]


@click.command("ps")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def command(as_json: bool) -> None:
    """List the running kernels of the key pair, newest first."""
    rows = trio.run(partial(_list, Status(quiet=as_json)))
    if as_json:
        click.echo(json.dumps([asdict(row) for row in rows]))
    elif rows:
        print_table(
            ("Session ID", "Lang/runtime", "Created At", "Status"),
            [(row.token, row.runtime, row.created_at, row.status) for row in rows],
        )
    else:
        click.echo("There are no compute sessions currently running.")


async def _list(status: Status) -> list[SessionRow]:
    async with open_target(status) as client:
        return await list_kernels(client)
