"""What the commands that move files share: where to, and how far it is."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import trio

from backendai_trio.files import Progress
from backendai_trio.kernels import one_error

__all__ = ["shown", "split_remote"]

Channel = trio.MemorySendChannel[Progress] | None


def split_remote(text: str) -> tuple[str, str] | None:
    """The kernel and the path of ``ID:PATH``; None for a local path.

    As with scp, a path with a slash before its first colon is local.
    """
    token, colon, path = text.partition(":")
    if not colon or not token or "/" in token or os.sep in token:
        return None
    return token, path or "."


@asynccontextmanager
async def shown(total: int | None, *, quiet: bool = False) -> AsyncIterator[Channel]:
    """A channel for news of a transfer, shown as bars on a terminal; None where there is none.

    Args:
        total: bytes of all of it, if known.
        quiet: show nothing.
    """
    if quiet or not sys.stderr.isatty():
        yield None
        return
    send, receive = trio.open_memory_channel[Progress](0)
    with one_error():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(_show, receive, total))
            async with send:
                yield send


async def _show(receive: trio.MemoryReceiveChannel[Progress], total: int | None) -> None:
    """One bar for all, and one for each file that is under way."""
    from rich.console import Console
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
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        whole = bars.add_task("total", total=total)
        tasks: dict[str, TaskID] = {}
        async with receive:
            async for news in receive:
                bars.advance(whole, news.done - done.get(news.name, 0))
                done[news.name] = news.done
                if news.complete or news.done == news.size:
                    if news.name in tasks:
                        bars.remove_task(tasks.pop(news.name))
                elif news.name not in tasks:
                    tasks[news.name] = bars.add_task(_safe(news.name), total=news.size)
                if news.name in tasks:
                    bars.update(tasks[news.name], completed=news.done)


def _safe(name: str) -> str:
    """A name that no terminal takes for a command."""
    return "".join(char if char.isprintable() else "?" for char in name)[-40:]
