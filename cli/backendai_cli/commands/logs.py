"""`backend.ai logs`."""

from __future__ import annotations

import sys

import click
import trio

from backendai_trio import Config, NotFound, find_kernel, open_client

from .. import exit_codes
from ..console import Status, write_bytes
from ..server import configured_server

__all__ = ["command"]

_PAUSE_SECONDS = 1.0
_OVERLAP = 4096
"""Characters at the end of what was shown, by which the place is found again in a log that has
lost its beginning."""


@click.command("logs")
@click.argument("kernel", metavar="ID")
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, until Ctrl-C.")
def command(kernel: str, follow: bool) -> int:
    """Show what the kernel ID has printed, as far as the server keeps it.

    ID is its token or session id, as 'backend.ai ps' shows them. With --follow the command ends
    when the kernel has ended.

    \b
    Examples:
      backend.ai logs lab1
      backend.ai logs -f lab1
    """
    return trio.run(_show, kernel, configured_server("show"), follow)


async def _show(name: str, config: Config, follow: bool) -> int:
    async with exit_codes.ending_on_signals(), open_client(config) as client:
        kernel = await find_kernel(client, name)
        shown = await kernel.logs()
        await _print(shown)
        while follow:
            await trio.sleep(_PAUSE_SECONDS)
            try:
                text = await kernel.logs()
            except NotFound:
                Status().info("The kernel has ended.")
                break
            await _print(news(shown, text))
            shown = text
    return 0


def news(before: str, now: str) -> str:
    """What a log has got since it was read last; its beginning may have been dropped meanwhile."""
    if now.startswith(before):
        return now[len(before) :]
    tail = before[-_OVERLAP:]
    at = now.rfind(tail)
    return now if at < 0 else now[at + len(tail) :]


async def _print(text: str) -> None:
    data = text.encode("utf-8", "surrogateescape")
    # In a thread: a pager that does not read must not stop Ctrl-C from being heard.
    await trio.to_thread.run_sync(write_bytes, sys.stdout, data, abandon_on_cancel=True)
