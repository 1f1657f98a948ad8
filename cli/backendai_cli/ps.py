"""`backend.ai ps`."""

from __future__ import annotations

import json
from dataclasses import asdict

import click
import trio

from backendai_trio import Config, SessionRow, list_kernels, open_client, read_config

from .console import Status

__all__ = ["command"]


@click.command("ps")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def command(as_json: bool) -> None:
    """List the running kernels of the key pair, newest first."""
    config = read_config()
    if config is None:
        Status(quiet=as_json).info("No server is configured (BACKEND_ENDPOINT).")
    rows = [] if config is None else trio.run(_list, config)
    if as_json:
        click.echo(json.dumps([asdict(row) for row in rows]))
    elif rows:
        _print_table(rows)
    else:
        click.echo("There are no compute sessions currently running.")


async def _list(config: Config) -> list[SessionRow]:
    async with open_client(config) as client:
        return await list_kernels(client)


def _print_table(rows: list[SessionRow]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("Session ID", "Lang/runtime", "Created At", "Status"):
        table.add_column(title, overflow="fold")
    for row in rows:
        table.add_row(row.token, row.runtime, row.created_at, row.status)
    console = Console()
    # In a pipe there is no window to fit: every row stays one line.
    console.print(table, width=None if console.is_terminal else 200)
