"""`backend.ai logs`."""

from __future__ import annotations

import sys

import click
import trio

from backendai_trio import ApiError, Client, Config, NotFound, TrioKernel, find_kernel, open_client
from backendai_trio.kernels import kernel_logs, new_text, task_log

from ..console import Status, write_bytes
from ..parameters import NAME
from ..server import configured_server
from ..termination import cancel_on_signals, run_async

__all__ = ["command"]

_PAUSE_SECONDS = 1.0


@click.command("logs")
@click.argument("kernel", metavar="ID", type=NAME)
@click.option("-f", "--follow", is_flag=True, help="Show new output as it comes, until Ctrl-C.")
@click.option(
    "-k",
    "--kernel",
    "--kernel-id",
    "container",
    metavar="CONTAINER",
    type=NAME,
    help="Of a cluster, the container whose output to show: its host name, such as sub1, or id.",
)
@click.option(
    "--task",
    is_flag=True,
    help="Show what was written to the virtual folder .logs; ID is the id of a container.",
)
def command(kernel: str, follow: bool, container: str | None, task: bool) -> int:
    """Show the output of the kernel ID, as far as the server keeps it.

    ID is its token or session id ('backend.ai ps'). With --follow the command ends when the kernel
    ends. Of a batch session that has ended the output is there as well, for a while.

    \b
    Examples:
      backend.ai logs lab1
      backend.ai logs -f lab1
      backend.ai logs lab1 --kernel sub1
    """
    if task and (follow or container):
        raise click.UsageError("--task shows a whole log: it goes with neither -f nor --kernel")
    config = configured_server(f"show the log of the kernel {kernel}")
    if task:
        return run_async(_show_task, kernel, config)
    return run_async(_show, kernel, config, follow, container or "")


async def _show_task(container_id: str, config: Config) -> int:
    async with cancel_on_signals(), open_client(config) as client:
        await _print(await task_log(client, container_id))
    return 0


async def _show(name: str, config: Config, follow: bool, container: str) -> int:
    async with cancel_on_signals(), open_client(config) as client:
        try:
            kernel = await find_kernel(client, name)
        except NotFound as exc:
            await _show_ended(client, name, exc)  # noqa: ASYNC120 (a cancel is no less)
            return 0
        shown = await kernel.logs(container)
        await _print(shown)
        ended = False
        while follow and not ended:
            await trio.sleep(_PAUSE_SECONDS)
            # Before the log is read: what it says last comes with it.
            ended = await _has_ended(kernel)
            try:
                text = await kernel.logs(container)
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


async def _show_ended(client: Client, name: str, unknown: NotFound) -> None:
    """Show the log of a kernel that has ended, if there is one."""
    try:
        text = await kernel_logs(client, name, name)
    except ApiError:
        raise unknown from None
    await _print(text)


async def _has_ended(kernel: TrioKernel) -> bool:
    try:
        return (await kernel.info()).has_ended
    except NotFound:
        return True


async def _print(text: str) -> None:
    data = text.encode("utf-8", "surrogateescape")
    # In a thread: a pager that does not read must not keep Ctrl-C from being handled.
    await trio.to_thread.run_sync(write_bytes, sys.stdout, data, abandon_on_cancel=True)
