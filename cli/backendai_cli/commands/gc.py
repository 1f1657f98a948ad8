"""`backend.ai gc`."""

from __future__ import annotations

import click

from backendai_trio import BackendError, Client, Config, open_client
from backendai_trio.config import Journal, LeftKernel, journal_folder
from backendai_trio.kernels import end_left_kernel

from ..console import Status, count
from ..errors import report_error
from ..server import configured_server
from ..termination import cancel_on_signals, run_async

__all__ = ["command"]


@click.command("gc")
@click.option("-n", "--dry-run", is_flag=True, help="Print their tokens, and end none.")
def command(dry_run: bool) -> int:
    """End kernels that killed commands on this machine left behind.

    A command that is killed, or whose machine goes down, cannot end its kernel. A journal on this
    machine lists the kernels of all commands. Kernels of running commands stay, and so do those
    that shall stay (-t, --keep). The exit code is that of the first failure.

    \b
    Examples:
      backend.ai gc --dry-run
      backend.ai --profile lab gc
    """
    return run_async(_collect, configured_server("end the kernels of killed commands"), dry_run)


async def _collect(config: Config, dry_run: bool) -> int:
    status = Status()
    mine, elsewhere = [], set()
    urls = {endpoint.url for endpoint in config.endpoints}
    for left in Journal(journal_folder()).left():
        if left.url in urls and left.access_key == config.access_key:
            mine.append(left)
        else:
            elsewhere.add(f"{left.url} with {left.access_key}")
    for place in sorted(elsewhere):
        status.warn(f"Kernels were also left behind at {place}; to end them, use these settings.")
    if dry_run:
        for left in mine:
            click.echo(left.token)
        return 0
    ended, code = 0, 0
    if mine:
        async with cancel_on_signals(), open_client(config) as client:
            for left in mine:
                try:
                    ended += await _end(client, left, status)
                except BackendError as exc:
                    code = code or report_error(exc)
                    status.warn(f"{left.token}: not ended; try again with: backend.ai gc")
    if ended or not mine:
        what = f"Cleaned up {count(ended, 'kernel')}." if ended else "No kernel was left behind."
        status.done(what)
    return code


async def _end(client: Client, left: LeftKernel, status: Status) -> bool:
    """End a kernel and forget its entry. False if nothing can be said yet: the entry stays."""
    outcome = await end_left_kernel(client, left)
    if outcome == "unsure":
        status.warn(
            f"{left.token}: not there now, and may still be started, since it was created "
            f"{left.age_seconds:.0f} s ago; try again in a minute"
        )
        return False
    left.forget()
    status.info(f"{left.token}: {'ended' if outcome == 'ended' else 'had ended already'}.")
    return True
