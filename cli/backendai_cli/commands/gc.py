"""`backend.ai gc`."""

from __future__ import annotations

import click
import trio

from backendai_trio import Config, NotFound, find_kernel, open_client
from backendai_trio.config import Journal, LeftKernel, journal_folder

from .. import exit_codes
from ..console import Status
from ..server import configured_server

__all__ = ["command"]


@click.command("gc")
@click.option("-n", "--dry-run", is_flag=True, help="Only print their tokens.")
def command(dry_run: bool) -> int:
    """End the kernels that commands on this machine have left behind.

    A command that is killed, or whose machine goes down, cannot end its kernel. Which kernels
    those are is known from a journal; those of commands that still run are left alone, and so
    are those that were meant to stay (-t, --keep).

    \b
    Examples:
      backend.ai gc --dry-run
      backend.ai --profile lab gc
    """
    return trio.run(_collect, configured_server("clean up"), dry_run)


async def _collect(config: Config, dry_run: bool) -> int:
    status = Status()
    mine, elsewhere = [], set()
    for left in Journal(journal_folder()).left():
        if (left.url, left.access_key) == (config.endpoint.url, config.access_key):
            mine.append(left)
        else:
            elsewhere.add(f"{left.url} with {left.access_key}")
    for place in sorted(elsewhere):
        status.info(f"There are kernels left at {place}; use these settings to end them.")
    if dry_run:
        for left in mine:
            click.echo(left.token)
        return 0
    if mine:
        async with exit_codes.ending_on_signals(), open_client(config) as client:
            for left in mine:
                try:
                    await (await find_kernel(client, left.token)).destroy()
                    _tell(left, status, "ended")
                except NotFound:
                    _tell(left, status, "had ended already")
    status.done(f"{len(mine)} kernels were left behind; none is now.")
    return 0


def _tell(left: LeftKernel, status: Status, what: str) -> None:
    left.forget()
    status.info(f"{left.token}: {what}.")
