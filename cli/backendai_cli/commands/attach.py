"""`backend.ai attach`."""

from __future__ import annotations

import click

from backendai_trio import Config, find_kernel, open_client

from ..console import Status
from ..keyboard import check_terminal
from ..options import quiet_option
from ..parameters import NAME
from ..run.terminal import Detached, connect
from ..server import configured_server
from ..termination import cancel_on_signals, run_async

__all__ = ["command"]


@click.command("attach")
@click.argument("kernel", metavar="ID", type=NAME)
@quiet_option
def command(kernel: str, quiet: bool) -> int:
    """Attach to the terminal of the running kernel ID.

    ID is its token or session id ('backend.ai ps'). The terminal has the shell that was detached
    from, or a new one. Ctrl-] detaches.

    \b
    Examples:
      backend.ai attach lab1
    """
    check_terminal()
    config = configured_server(f"attach to the kernel {kernel}")
    return run_async(_attach, kernel, config, Status(quiet=quiet))


async def _attach(name: str, config: Config, status: Status) -> int:
    async with cancel_on_signals(), open_client(config) as client:
        kernel = await find_kernel(client, name)
        try:
            return await connect(kernel, status)
        except Detached:
            status.info(f"Detached. To come back:  backend.ai attach {name}")
            return 0
