"""`backend.ai logs`."""

from __future__ import annotations

import sys

import click
import trio

from backendai_trio import ApiError, Config, NotFound, TrioKernel, find_kernel, open_client

from ..console import Status, write_bytes
from ..parameters import NAME
from ..server import configured_server
from ..termination import cancel_on_signals

__all__ = ["command"]

_PAUSE_SECONDS = 1.0
_OVERLAP = 4096
"""Characters by which the end of what was shown is found again in a log that lost its beginning."""


@click.command("logs")
@click.argument("kernel", metavar="ID", type=NAME)
@click.option("-f", "--follow", is_flag=True, help="Show new output as it comes, until Ctrl-C.")
def command(kernel: str, follow: bool) -> int:
    """Show the output of the kernel ID, as far as the server keeps it.

    ID is its token or session id ('backend.ai ps'). With --follow the command ends when the kernel
    ends.

    \b
    Examples:
      backend.ai logs lab1
      backend.ai logs -f lab1
    """
    config = configured_server(f"show the log of the kernel {kernel}")
    return trio.run(_show, kernel, config, follow)


async def _show(name: str, config: Config, follow: bool) -> int:
    async with cancel_on_signals(), open_client(config) as client:
        kernel = await find_kernel(client, name)
        shown = await kernel.logs()
        await _print(shown)
        ended = False
        while follow and not ended:
            await trio.sleep(_PAUSE_SECONDS)
            # Before the log is read: what it says last comes with it.
            ended = await _has_ended(kernel)
            try:
                text = await kernel.logs()
            except ApiError:
                # Of a kernel that has ended, a manager gives its log, or 404, or 500.
                if not ended and not await _has_ended(kernel):  # noqa: ASYNC120 (a cancel is no less)
                    raise
                ended = True
            else:
                await _print(new_text(shown, text))
                shown = text
        if follow:
            Status().info("The kernel has ended.")
    return 0


async def _has_ended(kernel: TrioKernel) -> bool:
    try:
        return (await kernel.info()).has_ended
    except NotFound:
        return True


def new_text(before: str, now: str) -> str:
    """What was added to a log since it was last read. The server may have dropped its beginning."""
    if now.startswith(before):
        return now[len(before) :]
    tail = before[-_OVERLAP:]
    at = now.rfind(tail)
    return now if at < 0 else now[at + len(tail) :]


async def _print(text: str) -> None:
    data = text.encode("utf-8", "surrogateescape")
    # In a thread: a pager that does not read must not keep Ctrl-C from being handled.
    await trio.to_thread.run_sync(write_bytes, sys.stdout, data, abandon_on_cancel=True)
