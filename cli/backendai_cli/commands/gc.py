"""`backend.ai gc`."""

from __future__ import annotations

import click
import trio

from backendai_trio import Config, NotFound, find_kernel, open_client
from backendai_trio.config import Journal, LeftKernel, journal_folder

from ..console import Status, count
from ..server import configured_server
from ..termination import cancel_on_signals

__all__ = ["command"]


@click.command("gc")
@click.option("-n", "--dry-run", is_flag=True, help="Print their tokens, and end none.")
def command(dry_run: bool) -> int:
    """End kernels that killed commands on this machine left behind.

    A command that is killed, or whose machine goes down, cannot end its kernel. A journal on this
    machine lists the kernels of all commands. Kernels of running commands stay, and so do those
    that shall stay (-t, --keep).

    \b
    Examples:
      backend.ai gc --dry-run
      backend.ai --profile lab gc
    """
    return trio.run(_collect, configured_server("end the kernels of killed commands"), dry_run)


async def _collect(config: Config, dry_run: bool) -> int:
    status = Status()
    mine, elsewhere = [], set()
    for left in Journal(journal_folder()).left():
        if (left.url, left.access_key) == (config.endpoint.url, config.access_key):
            mine.append(left)
        else:
            elsewhere.add(f"{left.url} with {left.access_key}")
    for place in sorted(elsewhere):
        status.warn(f"Kernels were also left behind at {place}; to end them, use these settings.")
    if dry_run:
        for left in mine:
            click.echo(left.token)
        return 0
    if mine:
        async with cancel_on_signals(), open_client(config) as client:
            for left in mine:
                try:
                    await (await find_kernel(client, left.token)).destroy()
                    _report(left, status, "ended")
                except NotFound:
                    _report(left, status, "had ended already")
    if mine:
        status.done(f"Cleaned up {count(len(mine), 'kernel')}.")
    else:
        status.done("No kernel was left behind.")
    return 0


def _report(left: LeftKernel, status: Status, outcome: str) -> None:
    left.forget()
    status.info(f"{left.token}: {outcome}.")
