"""`backend.ai attach`."""

from __future__ import annotations

import click
import trio

from backendai_trio import Config, find_kernel, open_client

from .. import exit_codes
from ..console import Status, check_terminal
from ..options import quiet_option
from ..run.terminal import Detached, connect
from ..server import configured_server

__all__ = ["command"]


@click.command("attach")
@click.argument("kernel", metavar="ID")
@quiet_option
def command(kernel: str, quiet: bool) -> int:
    """Attach to the terminal of the running kernel ID.

    ID is its token or session id, as 'backend.ai ps' shows them. The shell in it is the one that
    was detached from, or a fresh one. Ctrl-] detaches.

    \b
    Examples:
      backend.ai attach lab1
    """
    check_terminal()
    return trio.run(_attach, kernel, configured_server("attach to"), Status(quiet=quiet))


async def _attach(name: str, config: Config, status: Status) -> int:
    async with exit_codes.ending_on_signals(), open_client(config) as client:
        kernel = await find_kernel(client, name)
        try:
            return await connect(kernel, status)
        except Detached:
            status.info(f"Detached. To come back:  backend.ai attach {name}")
            return 0
