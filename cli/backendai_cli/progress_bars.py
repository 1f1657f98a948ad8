"""Progress bars of the commands that move files, and how these commands name their sides."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial

import click
import trio

from backendai_trio import DownloadError
from backendai_trio.files import Progress
from backendai_trio.kernels import one_error

from .console import moves_cursor, printable, rich_console

__all__ = ["progress_bars", "split_remote", "suggesting_overwrite"]

ProgressChannel = trio.MemorySendChannel[Progress] | None
_NAME_WIDTH = 40


def split_remote(text: str) -> tuple[str, str] | None:
    """The kernel and the path of ``ID:PATH``; None for a local path.

    As with scp, a path with a slash before its first colon is local. An empty path is the work
    folder.
    """
    token, colon, path = text.partition(":")
    if not colon or not token or "/" in token or os.sep in token:
        return None
    return token, path or "."


@contextmanager
def suggesting_overwrite(overwrite: bool) -> Iterator[None]:
    """Name the option that replaces files in the error for a file that exists.

    Args:
        overwrite: whether the option was given; then something else is in the way.

    Raises:
        click.ClickException: a local file exists.
    """
    try:
        yield
    except DownloadError as exc:
        exists = isinstance(exc.__cause__, FileExistsError) or "nothing was changed" in str(exc)
        if overwrite or not exists:
            raise
        raise click.ClickException(
            f"{exc.path} exists already, and nothing was changed; -f (--overwrite) replaces files"
        ) from None


@asynccontextmanager
async def progress_bars(
    total: int | None, *, quiet: bool = False
) -> AsyncIterator[ProgressChannel]:
    """Provide a channel for the progress of a transfer, which is shown as bars on a terminal.

    Args:
        total: size of all files in bytes; None if unknown.
        quiet: show nothing.

    Returns:
        The channel; None if no bars are shown.
    """
    if quiet or not moves_cursor(sys.stderr):
        yield None
        return
    send, receive = trio.open_memory_channel[Progress](0)
    with one_error():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(_show, receive, total))
            async with send:
                yield send


async def _show(receive: trio.MemoryReceiveChannel[Progress], total: int | None) -> None:
    """Show a bar for the whole transfer, and one for each file in progress."""
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        TaskID,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    done: dict[str, int] = {}
    with Bars(*columns, console=rich_console(sys.stderr), transient=True) as bars:
        whole = bars.add_task("total", total=total)
        tasks: dict[str, TaskID] = {}
        async with receive:
            async for update in receive:
                name = update.name
                bars.advance(whole, update.done - done.get(name, 0))
                done[name] = update.done
                if update.complete or update.done == update.size:
                    if name in tasks:
                        bars.remove_task(tasks.pop(name))
                elif name not in tasks:
                    tasks[name] = bars.add_task(printable(name)[-_NAME_WIDTH:], total=update.size)
                if name in tasks:
                    bars.update(tasks[name], completed=update.done)
