"""How far a transfer is: bars on a terminal, nothing in a pipe."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio

from backendai_trio import Progress, one_error

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

__all__ = ["showing_progress"]


@asynccontextmanager
async def showing_progress(
    total: int | None, *, quiet: bool = False
) -> AsyncIterator[trio.MemorySendChannel[Progress] | None]:
    """Show what comes through a channel: a bar for all, and one for each file under way.

    Args:
        total: bytes of all files, if that is known.
        quiet: show nothing, as on no terminal; the channel is None then.
    """
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )
    from rich.progress import Progress as Bars

    bars = Bars(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    send, receive = trio.open_memory_channel[Progress](0)
    with one_error(), bars:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_follow, receive, bars, total)
            async with send:
                yield send


async def _follow(news: trio.MemoryReceiveChannel[Progress], bars: Bars, total: int | None) -> None:
    everything = bars.add_task("all files", total=total)
    shown: dict[str, TaskID] = {}
    done: dict[str, int] = {}
    async for item in news:
        # One that starts anew has done less than before; the sum follows.
        bars.advance(everything, item.done - done.get(item.name, 0))
        done[item.name] = item.done
        if item.complete:
            if (task := shown.pop(item.name, None)) is not None:
                bars.remove_task(task)
            continue
        if item.name not in shown:
            # What a server calls its files must not reach the terminal as a control sequence.
            name = "".join(c if c.isprintable() else "?" for c in item.name)
            shown[item.name] = bars.add_task(name, total=item.size)
        bars.update(shown[item.name], completed=item.done, total=item.size)
